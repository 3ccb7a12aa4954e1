//! Directories for tests that need a disk.

use std::{env, fs, path::PathBuf, process};

/// A directory of its own where the build is: there is a disk, whatever `/tmp` is.
pub(super) struct Scratch(pub PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let program = env::current_exe().unwrap();
        let path = program.with_file_name(format!("penstock-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
