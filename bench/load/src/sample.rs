//! What a process tree has used: CPU from the scheduler, memory as the kernel shares it out.

use std::{fs, path::Path};

use crate::Outcome;

/// The processes under measure; the caller lists the whole tree.
#[derive(Clone, Default)]
pub(crate) struct Processes(Vec<u32>);

impl Processes {
    /// From `12,34`; empty when nothing is to be measured.
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let numbers = text.split(',').filter(|p| !p.is_empty());
        Ok(Self(numbers.map(str::parse).collect::<Result<_, _>>()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// CPU time so far in nanoseconds, over all threads alive: user and kernel together, not in ticks.
    pub(crate) fn cpu_ns(&self) -> Outcome<u64> {
        let mut sum = 0;
        for pid in &self.0 {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread that ends between listing and reading has nothing more to say.
                sum += on_cpu(&thread?.path()).unwrap_or(0);
            }
        }
        Ok(sum)
    }

    /// Proportional set size in KiB.
    pub(crate) fn pss_kib(&self) -> Outcome<u64> {
        let mut sum = 0;
        for pid in &self.0 {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            sum += pss(&rollup).ok_or_else(|| format!("no Pss in smaps_rollup of {pid}"))?;
        }
        Ok(sum)
    }
}

/// First number of `schedstat`: nanoseconds spent on a CPU.
fn on_cpu(thread: &Path) -> Option<u64> {
    fs::read_to_string(thread.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
}

fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|l| l.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_cpu_and_memory() {
        let me = Processes(vec![std::process::id()]);
        assert!(me.cpu_ns().unwrap() > 0);
        assert!(me.pss_kib().unwrap() > 100);
    }

    #[test]
    fn pss_is_read_from_its_own_line() {
        assert_eq!(pss("Rss:  9 kB\nPss:     42 kB\nPss_Dirty: 7 kB\n"), Some(42));
    }
}
