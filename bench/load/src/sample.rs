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
            sum += kib(&rollup, "Pss:").ok_or_else(|| format!("no Pss in smaps_rollup of {pid}"))?;
        }
        Ok(sum)
    }

    /// Resident memory in KiB: now, and the most since the last [`Self::forget_peak`]. Reading it holds nobody up, as
    /// the walk over all pages that a proportional set takes would.
    pub(crate) fn resident_kib(&self) -> Outcome<(u64, u64)> {
        let (mut now, mut peak) = (0, 0);
        for pid in &self.0 {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let of = |name| kib(&status, name).ok_or_else(|| format!("no {name} in status of {pid}"));
            now += of("VmRSS:")?;
            peak += of("VmHWM:")?;
        }
        Ok((now, peak))
    }

    /// Has the kernel begin again with the most of resident memory, as `proc_pid_clear_refs(5)` says.
    pub(crate) fn forget_peak(&self) -> Outcome<()> {
        for pid in &self.0 {
            fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        }
        Ok(())
    }
}

/// First number of `schedstat`: nanoseconds spent on a CPU.
fn on_cpu(thread: &Path) -> Option<u64> {
    fs::read_to_string(thread.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
}

/// The number behind a name at the begin of a line.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
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
    fn the_most_memory_is_remembered_until_told_to_forget() {
        let me = Processes(vec![std::process::id()]);
        me.forget_peak().unwrap();
        let (before, _) = me.resident_kib().unwrap();
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        let (after, peak) = me.resident_kib().unwrap();
        assert!(peak > before + (60 << 10) && after < peak, "{before} {after} {peak}");
        me.forget_peak().unwrap();
        assert!(me.resident_kib().unwrap().1 < peak);
    }

    #[test]
    fn pss_is_read_from_its_own_line() {
        assert_eq!(kib("Rss:  9 kB\nPss:     42 kB\nPss_Dirty: 7 kB\n", "Pss:"), Some(42));
    }
}
