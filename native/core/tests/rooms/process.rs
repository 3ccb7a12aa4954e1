//! What this process holds (threads, descriptors), and tests that need a process of their own to see it.

use std::{collections::BTreeSet, env, fs, process::Command};

/// Names of the workers' threads that live now.
pub(crate) fn workers() -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    names.filter_map(|t| fs::read_to_string(t.path().join("comm")).ok()).filter(|n| n.starts_with("penstock-")).count()
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Open descriptors, what they are, sorted.
pub(crate) fn descriptors() -> Vec<String> {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|d| fs::read_link(d.path()).ok());
    let mut names: Vec<String> =
        links.map(|l| l.to_string_lossy().into_owned()).filter(|l| !l.contains("/fd")).collect();
    names.sort_unstable();
    names
}

/// Runs one ignored test of this binary alone in a process; all that it said.
pub(crate) fn alone(test: &str) -> String {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--test-threads", "1", "--nocapture"])
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text
}

/// How many sockets each event queue of this process watches.
pub(crate) fn sockets_by_epoll() -> Vec<usize> {
    let link = |fd: &str| {
        fs::read_link(format!("/proc/self/fd/{fd}")).map(|l| l.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let open: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .map(|d| d.file_name().to_string_lossy().into_owned())
        .collect();
    // A queue that was duplicated shows the same descriptors twice.
    let queues: BTreeSet<Vec<String>> = open
        .iter()
        .filter(|fd| link(fd).contains("eventpoll"))
        .map(|fd| {
            let watched = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
            let numbers = watched.lines().filter_map(|l| l.strip_prefix("tfd:")?.split_whitespace().next());
            numbers.map(str::to_owned).collect()
        })
        .collect();
    queues.iter().map(|q| q.iter().filter(|fd| link(fd).starts_with("socket:")).count()).collect()
}
