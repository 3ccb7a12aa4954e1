//! Runs a target over stored inputs on a plain toolchain: each argument is a file, or a directory of files.

use std::{fs, io, path::Path};

/// Runs `target` over all files that the program's arguments name.
pub fn main(target: fn(&[u8])) -> io::Result<()> {
    std::env::args_os().skip(1).try_for_each(|argument| run(Path::new(&argument), target))
}

fn run(path: &Path, target: fn(&[u8])) -> io::Result<()> {
    if !path.is_dir() {
        target(&fs::read(path)?);
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| run(entry, target))
}
