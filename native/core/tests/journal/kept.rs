//! The journal as a process has it: a thread, a real disk, answers that wait.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering::Relaxed, mpsc},
    time::Duration,
};

use penstock_core::{
    clock::Clock,
    journal::{
        Durability, Event, Journal, Kind, Options, Position, RING_BYTES, Reader, Settings, WhenFull,
        disk::{Disk, RealDisk},
        verify::verify,
    },
};

use crate::{made::settings, sim::Sim};

/// A directory of one test, removed with it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("penstock-journal-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("journal/one")).unwrap();
        std::fs::write(path.join("journal/one/lock"), b"").unwrap();
        Self(path)
    }

    fn settings(&self, durability: Durability) -> Settings {
        let dir = self.0.join("journal/one");
        let options =
            Options { dir, durability, when_full: WhenFull::Drop, max_bytes: 0, retain_ms: 86_400_000, pinned: false };
        Settings::of(&options, "one", &RealDisk::default()).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn what_many_threads_append_is_there_once_and_verifies() {
    for durability in [Durability::Flush, Durability::Group, Durability::Os] {
        let dir = Dir::new(&format!("threads-{durability:?}"));
        let disk = if durability == Durability::Group { RealDisk::direct() } else { RealDisk::default() };
        let journal = Journal::start(dir.settings(durability), Arc::new(disk), Clock::System, [1; 32], |event| {
            panic!("{event:?}")
        });
        let journal = Arc::new(journal.unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_500 {
                        let number = journal.number().to_le_bytes();
                        let ticket = journal.append(Kind::Record, &number, b"private").unwrap();
                        if journal.holds_answers() && number[0].is_multiple_of(16) {
                            wait(journal.kept(ticket));
                            assert!(journal.lag_us() < 60_000_000);
                        }
                    }
                });
            }
        });
        assert_eq!(journal.stop(), 0);
        assert_eq!(journal.append(Kind::Record, b"late", b""), None);
        // Several pieces, by either way to read.
        for disk in [RealDisk::default(), RealDisk::direct()] {
            let reader = Reader::new(Arc::new(disk), &dir.0.join("journal/one"));
            let batch = reader.read(Position::default(), usize::MAX, true).unwrap();
            let records = batch.entries.iter().filter(|entry| entry.kind == Kind::Record as u8);
            let mut numbers: Vec<_> = records.map(|e| u64::from_le_bytes(e.public[..8].try_into().unwrap())).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=6_000).collect::<Vec<_>>());
            let sequences: Vec<_> = batch.entries.iter().map(|entry| entry.sequence).collect();
            assert!(sequences.is_sorted_by(|a, b| a + 1 == *b));
            assert!(batch.next.offset > 512 << 10, "{:?}", batch.next);
        }
        let reports = verify(&RealDisk::default(), &dir.0.join("journal"), &[], |_| false).unwrap();
        assert_eq!((reports.len(), &reports[0].fault, reports[0].ended), (1, &None, true));
        assert_eq!(journal.facts().records.load(Relaxed), 6_000);
    }
}

#[test]
fn a_disk_that_refuses_is_told_once_and_holds_answers_no_longer_than_it_may() {
    let sim = Sim::new(Clock::System);
    let told = Arc::<Mutex<Vec<String>>>::default();
    for when_full in [WhenFull::Drop, WhenFull::Shed] {
        sim.set_read_only(true);
        let settings = Settings { when_full, ..settings("one", Durability::Flush) };
        let (disk, hear) = (Arc::new(sim.clone()) as Arc<dyn Disk>, told.clone());
        let tell = move |event| {
            hear.lock().unwrap().push(match event {
                Event::Failed(_) => "failed".to_owned(),
                other => format!("{other:?}"),
            });
        };
        let journal = Arc::new(Journal::start(settings, disk, Clock::System, [1; 32], tell).unwrap());
        assert!(journal.admit().is_some());
        let ticket = journal.append(Kind::Record, b"x", b"").unwrap();
        let kept = wait(async { tokio::time::timeout(Duration::from_millis(400), journal.kept(ticket)).await });
        assert_eq!(kept.is_ok(), when_full == WhenFull::Drop, "only where records may be dropped is it given up");
        assert_eq!(journal.trouble(), Some("the journal cannot be written"));
        assert_eq!(journal.admit().is_some(), when_full == WhenFull::Drop);
        sim.set_read_only(false);
        wait(journal.kept(ticket));
        while journal.trouble().is_some() {
            std::thread::yield_now();
        }
        assert!(journal.admit().is_some());
        journal.stop();
        assert_eq!(std::mem::take(&mut *told.lock().unwrap()), ["failed", "Recovered"]);
        std::thread::yield_now();
    }
}

#[test]
fn a_journal_says_at_its_end_how_many_entries_the_disk_did_not_take() {
    let sim = Sim::new(Clock::System);
    let settings = settings("one", Durability::Group);
    let journal = Journal::start(settings, Arc::new(sim.clone()), Clock::System, [1; 32], |_| {}).unwrap();
    wait(journal.kept(journal.append(Kind::Record, b"kept", b"").unwrap()));
    sim.set_read_only(true);
    journal.append(Kind::Record, b"one", b"").unwrap();
    journal.append(Kind::Record, b"two", b"").unwrap();
    while journal.trouble().is_none() {
        std::thread::yield_now(); // from now on nothing more is taken
    }
    assert_eq!(journal.append(Kind::Record, &vec![b'x'; RING_BYTES], b""), None);
    assert_eq!(journal.facts().lost_memory.load(Relaxed), 1, "it counts at once");
    assert_eq!((journal.stop(), journal.stop()), (3, 0), "two that the disk did not take, and one without room");
    assert_eq!(journal.append(Kind::Record, b"late", b""), None);
    assert_eq!((journal.stop(), journal.stop()), (1, 0));
}

#[test]
fn a_directory_that_cannot_be_looked_after_is_tried_again_soon_and_told_of_once() {
    let (sim, all) = (Sim::new(Clock::System), Path::new("/data/journal"));
    let (tell, told) = mpsc::channel();
    sim.close(all);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let tell = move |event| drop(tell.send(event));
    let journal = Journal::start(settings("one", Durability::Flush), disk, Clock::System, [1; 32], tell).unwrap();
    let next = || told.recv_timeout(Duration::from_secs(30));
    assert!(matches!(next(), Ok(Event::Untidy(_))));
    let ticket = journal.append(Kind::Record, b"x", b"").unwrap();
    wait(journal.kept(ticket));
    assert!(told.try_recv().is_err(), "it is written, but the directory is as it was");
    assert!(journal.trouble().is_none(), "what comes is written");
    sim.open(all);
    assert!(matches!(next(), Ok(Event::Tidy)));
    journal.stop();
    assert!(told.try_recv().is_err());
}

#[test]
fn with_shed_each_request_that_is_in_keeps_room_for_its_record() {
    let settings = Settings { when_full: WhenFull::Shed, ..settings("one", Durability::Os) };
    let disk = Arc::new(Sim::new(Clock::System));
    let journal = Arc::new(Journal::start(settings, disk, Clock::System, [1; 32], |_| {}).unwrap());
    let held: Vec<_> = std::iter::from_fn(|| journal.admit()).take(100_000).collect();
    assert_eq!(held.len(), 16 << 20 >> 11);
    drop(held);
    assert!(journal.admit().is_some());
}

#[test]
fn a_journal_of_another_process_is_left_alone() {
    let dir = Dir::new("locks");
    let (disk, one) = (RealDisk::default(), dir.0.join("journal/one"));
    let lock = one.join("lock");
    let file = std::fs::File::open(&lock).unwrap();
    file.lock().unwrap();
    assert!(!disk.is_unlocked(&lock).unwrap());
    file.unlock().unwrap();
    file.lock_shared().unwrap();
    assert!(disk.is_unlocked(&lock).unwrap(), "another that looks");
    assert!(!disk.is_unlocked(&dir.0.join("journal/none/lock")).unwrap());
    let held = disk.take(&one).unwrap();
    assert!(held.is_some() && disk.is_unlocked(&lock).unwrap(), "who takes it is not taken for its process");
    assert!(disk.take(&one).unwrap().is_none());
    drop(held);
    assert!(disk.take(&one).unwrap().is_some());
}

#[test]
fn what_could_be_left_out_leaves_half_of_the_memory_free_and_what_records_may_need() {
    let sim = Sim::new(Clock::System);
    let settings = Settings { when_full: WhenFull::Shed, ..settings("one", Durability::Group) };
    let journal = Arc::new(Journal::start(settings, Arc::new(sim.clone()), Clock::System, [1; 32], |_| {}).unwrap());
    assert!(journal.has_spare(RING_BYTES / 2) && !journal.has_spare(RING_BYTES / 2 + 1));
    let inside: Vec<_> = (0..6_000).map(|_| journal.admit().unwrap()).collect();
    assert!(journal.has_spare(4_000_000) && !journal.has_spare(5_000_000), "2 KiB for each that is in");
    drop(inside);
    sim.set_read_only(true);
    journal.append(Kind::Record, &[0; 10_000], b"").unwrap();
    assert!(journal.has_spare(RING_BYTES / 2 - 20_000) && !journal.has_spare(RING_BYTES / 2 - 10_000));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the thread is a real one, and so is its time")]
fn what_comes_alone_is_on_disk_soon_and_readers_see_it_though_nothing_follows() {
    let dir = Dir::new("alone");
    let settings = dir.settings(Durability::Group);
    let journal =
        Journal::start(settings, Arc::new(RealDisk::direct()), Clock::System, [1; 32], |event| panic!("{event:?}"));
    let journal = journal.unwrap();
    let reader = Reader::new(Arc::new(RealDisk::default()), &dir.0.join("journal/one"));
    let mut from = Position::default();
    for number in 0..10_u64 {
        std::thread::sleep(Duration::from_millis(30)); // the writer sleeps
        let begun = std::time::Instant::now();
        let append = || wait(journal.kept(journal.append(Kind::Record, &number.to_le_bytes(), b"").unwrap()));
        // Readers are told of the first with it, of the second later.
        append();
        let mut batch = reader.read(from, usize::MAX, true).unwrap();
        assert_eq!(batch.entries.len(), 1);
        from = batch.next;
        append();
        while from == batch.next {
            batch = reader.read(from, usize::MAX, true).unwrap();
            assert!(begun.elapsed() < Duration::from_millis(1_500), "nobody told before the next sweep");
        }
        assert_eq!(batch.entries.len(), 1);
        from = batch.next;
    }
}
