//! The journal in figures: nanoseconds of a request's thread for an entry, entries a second with one and two threads, by
//! durability, on the disk of the directory that is named; how long one fsync takes there. With a durability named behind
//! it, that one alone.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

use penstock_core::{
    clock::Clock,
    journal::{Durability, Journal, Kind, Options, Settings, WhenFull, disk::RealDisk},
};

/// As large as the record of a usual request.
const PUBLIC: [u8; 260] = [b'x'; 260];
const PRIVATE: [u8; 14] = [b'y'; 14];
const ENTRIES: u64 = 400_000;
/// What may wait while a thread pushes as fast as it can.
const AHEAD_BYTES: usize = 8 << 20;

fn start(dir: &Path, durability: Durability) -> io::Result<Journal> {
    std::fs::create_dir_all(dir)?;
    let options = Options {
        dir: dir.to_owned(),
        durability,
        when_full: WhenFull::Drop,
        max_bytes: 4 << 30,
        retain_ms: 86_400_000,
        pinned: false,
    };
    let settings = Settings::of(&options, "measure", &RealDisk::default())?;
    let disk = if durability == Durability::Group { RealDisk::direct() } else { RealDisk::default() };
    Journal::start(settings, Arc::new(disk), Clock::System, [1; 32], |event| println!("{event:?}"))
}

/// Pushes entries as fast as the journal takes them; nanoseconds spent pushing, of each.
fn push(journal: &Journal, entries: u64) -> u64 {
    let (mut ns, batch) = (0, 100);
    for _ in 0..entries / batch {
        while journal.held_bytes() > AHEAD_BYTES {
            thread::yield_now();
        }
        let begun_us = Clock::System.boot_us();
        for _ in 0..batch {
            journal.append(Kind::Record, &PUBLIC, &PRIVATE);
        }
        ns += (Clock::System.boot_us() - begun_us) * 1_000;
    }
    ns / entries
}

fn measure(dir: &Path, durability: Durability, threads: u64) -> io::Result<()> {
    let journal = start(dir, durability)?;
    let begun_us = Clock::System.boot_us();
    let ns = thread::scope(|scope| {
        let pushing: Vec<_> = (0..threads).map(|_| scope.spawn(|| push(&journal, ENTRIES))).collect();
        pushing.into_iter().filter_map(|thread| thread.join().ok()).max().unwrap_or(0)
    });
    journal.stop();
    let us = Clock::System.boot_us() - begun_us;
    let facts = journal.facts();
    let (records, bytes) = (facts.records.load(Relaxed), facts.bytes.load(Relaxed));
    println!(
        "{durability:?}, {threads} thread(s): {} records/s, {} MB/s, {ns} ns a push",
        records * 1_000_000 / us,
        bytes / us
    );
    std::fs::remove_dir_all(dir)
}

fn main() -> io::Result<()> {
    let root = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = root.join(format!("penstock-journal-measure-{}", std::process::id())).join("measure");
    let only = std::env::args().nth(2);
    for durability in [Durability::Os, Durability::Group, Durability::Flush] {
        if only.as_deref().is_some_and(|only| !format!("{durability:?}").eq_ignore_ascii_case(only)) {
            continue;
        }
        measure(&dir, durability, 1)?;
        measure(&dir, durability, 2)?;
    }
    let file = std::fs::File::create(dir.with_extension("sync"))?;
    let begun_us = Clock::System.boot_us();
    for at in 0..200 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4_096], at * 4_096)?;
        file.sync_data()?;
    }
    println!("one fsync of 4 KiB: {} us", (Clock::System.boot_us() - begun_us) / 200);
    std::fs::remove_dir_all(root.join(format!("penstock-journal-measure-{}", std::process::id())))
}
