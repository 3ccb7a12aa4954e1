//! A disk in memory that forgets what was not synchronised: it drops, reorders and tears it when the power is cut.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use penstock_core::{
    clock::Clock,
    journal::disk::{Disk, Listed, Mark, Target},
};

/// What a disk writes at once, or not at all.
const SECTOR: usize = 512;
/// How much longer a segment is than what is in it, where it may be.
const AHEAD: usize = 700;

#[derive(Clone, Debug, Default)]
struct File {
    /// What lasts, and what readers see.
    durable: Vec<u8>,
    live: Vec<u8>,
    /// How long it is, with zeros, if that is longer.
    room: usize,
    /// Its name lasts.
    is_named: bool,
    /// A failed fsync has forgotten what was to be written: later ones say well done and do nothing.
    is_poisoned: bool,
    changed_us: u64,
    /// Where it stands, as whoever has it open knows.
    path: Arc<Mutex<PathBuf>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, File>,
    locked: BTreeSet<PathBuf>,
    /// Directories that somebody holds.
    taken: BTreeSet<PathBuf>,
    /// Which of the next syncs fail, one a bit, the lowest first.
    failing_syncs: u64,
    /// Whoever has a segment synchronised does not come back from there, once so many have.
    syncs_left: Option<u32>,
    /// Directories and files that nobody may look into.
    closed: BTreeSet<PathBuf>,
    /// Nothing can be removed.
    keeps_all: bool,
    /// How old what takes another file's place appeared to be just then, microseconds UTC.
    replaced_us: Vec<u64>,
    /// Bytes that still fit.
    room: Option<u64>,
    is_read_only: bool,
    syncs: u64,
}

/// What happens once, behind the next reading of a file.
#[derive(Default)]
struct Meanwhile(Option<(PathBuf, Box<dyn FnOnce() + Send>)>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Meanwhile").field(&self.0.is_some()).finish()
    }
}

/// Shared by whoever holds a clone.
#[derive(Clone, Debug)]
pub(crate) struct Sim {
    state: Arc<Mutex<State>>,
    meanwhile: Arc<Mutex<Meanwhile>>,
    clock: Clock,
}

impl Sim {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), meanwhile: Arc::default(), clock }
    }

    /// Another process holds this lock from now on, or no longer.
    pub(crate) fn set_locked(&self, path: &Path, locked: bool) {
        let mut state = self.state.lock().unwrap();
        state.files.entry(path.to_owned()).or_default().is_named = true;
        if locked {
            state.locked.insert(path.to_owned());
        } else {
            state.locked.remove(path);
        }
    }

    /// Has something happen as soon as `path` was read.
    pub(crate) fn after_reading(&self, path: PathBuf, happens: impl FnOnce() + Send + 'static) {
        self.meanwhile.lock().unwrap().0 = Some((path, Box::new(happens)));
    }

    pub(crate) fn fail_syncs(&self, count: u32) {
        self.fail_syncs_after(0, count);
    }

    /// The same once so many have done well.
    pub(crate) fn fail_syncs_after(&self, good: u32, count: u32) {
        self.fail_syncs_at(((1 << count) - 1) << good);
    }

    /// The same of those whose bit is set, that of the next one being the lowest.
    pub(crate) fn fail_syncs_at(&self, which: u64) {
        self.state.lock().unwrap().failing_syncs = which;
    }

    /// Has the process end, as an unwinding panic, in the middle of a segment's sync once so many are over; `None`: no longer.
    pub(crate) fn end_in_sync(&self, after: Option<u32>) {
        self.state.lock().unwrap().syncs_left = after;
    }

    pub(crate) fn close(&self, dir: &Path) {
        self.state.lock().unwrap().closed.insert(dir.to_owned());
    }

    pub(crate) fn open(&self, dir: &Path) {
        self.state.lock().unwrap().closed.remove(dir);
    }

    pub(crate) fn set_keeps_all(&self, does: bool) {
        self.state.lock().unwrap().keeps_all = does;
    }

    pub(crate) fn replaced_us(&self) -> Vec<u64> {
        self.state.lock().unwrap().replaced_us.clone()
    }

    pub(crate) fn set_room(&self, bytes: Option<u64>) {
        self.state.lock().unwrap().room = bytes;
    }

    pub(crate) fn set_read_only(&self, is: bool) {
        self.state.lock().unwrap().is_read_only = is;
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state.lock().unwrap().syncs
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        self.state.lock().unwrap().files[path].live.clone()
    }

    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let file = File { durable: bytes.to_vec(), live: bytes.to_vec(), is_named: true, ..File::default() };
        self.state.lock().unwrap().files.insert(path.to_owned(), file);
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().unwrap().files.keys().cloned().collect()
    }

    /// The power is cut: of what was not synchronised any part may be there, or nothing. `spares`: nothing is.
    pub(crate) fn cut_power(&self, random: &mut fastrand::Rng, spares: bool) {
        let mut state = self.state.lock().unwrap();
        state.locked.clear();
        (state.failing_syncs, state.room, state.is_read_only) = (0, None, false);
        state.files.retain(|_, file| file.is_named || !spares && random.bool());
        for file in state.files.values_mut() {
            let longest = file.live.len().max(file.durable.len());
            let length = if spares { file.durable.len() } else { random.usize(file.durable.len()..=longest) };
            let mut bytes = vec![0; length];
            for at in (0..length).step_by(SECTOR) {
                let end = (at + SECTOR).min(length);
                let from = if !spares && random.bool() { &file.live } else { &file.durable };
                let end_here = end.min(from.len());
                if at < end_here {
                    bytes[at..end_here].copy_from_slice(&from[at..end_here]);
                }
            }
            if random.bool() {
                bytes.resize(length.max(file.room), 0);
            }
            (file.durable, file.live, file.room) = (bytes.clone(), bytes, 0);
            file.is_poisoned = false;
        }
    }

    fn handle(&self, path: &Path, most: usize) -> io::Result<Box<Handle>> {
        let mut state = self.state.lock().unwrap();
        Self::spend(&mut state, 0).1?;
        let named = Arc::new(Mutex::new(path.to_owned()));
        let file = File { changed_us: self.clock.utc_us(), path: named.clone(), ..File::default() };
        state.files.insert(path.to_owned(), file);
        Ok(Box::new(Handle { sim: self.clone(), path: named, most }))
    }

    /// How many of so many bytes the disk takes, and what it says: one that fills up takes the beginning.
    fn spend(state: &mut State, bytes: usize) -> (usize, io::Result<()>) {
        if state.is_read_only {
            return (0, Err(ErrorKind::ReadOnlyFilesystem.into()));
        }
        let Some(room) = &mut state.room else { return (bytes, Ok(())) };
        let is_enough = *room >= bytes as u64;
        let taken = if is_enough { bytes } else { (*room as usize).min(bytes / 2) };
        *room -= taken as u64;
        (taken, if is_enough { Ok(()) } else { Err(ErrorKind::StorageFull.into()) })
    }
}

impl Disk for Sim {
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let state = self.state.lock().unwrap();
        if state.closed.contains(dir) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let mut listed = BTreeMap::new();
        for (path, file) in &state.files {
            let Ok(rest) = path.strip_prefix(dir) else { continue };
            let mut parts = rest.iter();
            let name = parts.next().unwrap().to_str().unwrap().to_owned();
            let is_dir = parts.next().is_some();
            let bytes = file.live.len().max(file.room) as u64;
            listed.insert(name.clone(), Listed { name, bytes, changed_us: file.changed_us, is_dir });
        }
        Ok(listed.into_values().collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Target>> {
        Ok(self.handle(path, 0)?)
    }

    /// One that is longer than what is in it.
    fn create_segment(&self, path: &Path, head: &[u8], most_bytes: u64) -> io::Result<Box<dyn Target>> {
        let mut handle = self.handle(path, usize::try_from(most_bytes).unwrap().max(1))?;
        handle.append(head)?;
        Ok(handle)
    }

    fn create_mark(&self, path: &Path) -> io::Result<Box<dyn Mark>> {
        Ok(self.handle(path, 0)?)
    }

    fn read(&self, path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let state = self.state.lock().unwrap();
        if state.closed.contains(path) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let file = state.files.get(path).ok_or(ErrorKind::NotFound)?;
        let mut bytes = file.live.clone();
        bytes.resize(bytes.len().max(file.room), 0);
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let found = rest[..rest.len().min(most)].to_vec();
        drop(state);
        let happens = self.meanwhile.lock().unwrap().0.take_if(|(of, _)| of == path);
        if let Some((_, happens)) = happens {
            happens();
        }
        Ok(found)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        Self::spend(&mut state, 0).1?;
        let file = state.files.get_mut(path).ok_or(ErrorKind::NotFound)?;
        let before = file.live.len();
        file.live.truncate(usize::try_from(bytes).unwrap());
        let freed = before - file.live.len();
        file.room = 0;
        file.durable = file.live.clone();
        state.room = state.room.map(|room| room + freed as u64);
        Ok(())
    }

    fn set_changed(&self, path: &Path, us: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.files.get_mut(path).ok_or(ErrorKind::NotFound)?.changed_us = us;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let file = state.files.remove(from).ok_or(ErrorKind::NotFound)?;
        if state.files.contains_key(to) {
            state.replaced_us.push(file.changed_us);
        }
        // Whoever has it open has it still.
        to.clone_into(&mut file.path.lock().unwrap());
        state.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.keeps_all {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let file = state.files.remove(path).ok_or(ErrorKind::NotFound)?;
        if let Some(room) = &mut state.room {
            *room += file.live.len() as u64;
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let inside = state.files.iter_mut().filter(|(path, _)| path.parent() == Some(dir));
        inside.for_each(|(_, file)| file.is_named = true);
        Ok(())
    }

    fn is_unlocked(&self, path: &Path) -> io::Result<bool> {
        let state = self.state.lock().unwrap();
        Ok(state.files.contains_key(path) && !state.locked.contains(path))
    }

    fn take(&self, dir: &Path) -> io::Result<Option<Box<dyn Any + Send>>> {
        let mut state = self.state.lock().unwrap();
        if state.closed.contains(dir) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let is_taken = state.taken.insert(dir.to_owned());
        Ok(is_taken.then(|| Box::new(Taken(self.clone(), dir.to_owned())) as Box<dyn Any + Send>))
    }

    fn volume_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 30)
    }
}

struct Taken(Sim, PathBuf);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().taken.remove(&self.1);
    }
}

struct Handle {
    sim: Sim,
    path: Arc<Mutex<PathBuf>>,
    /// Of a segment: how long it may be made ahead.
    most: usize,
}

impl Handle {
    fn with<T>(&self, then: impl FnOnce(&mut File) -> T) -> T {
        let mut state = self.sim.state.lock().unwrap();
        then(state.files.get_mut(&*self.path.lock().unwrap()).unwrap())
    }
}

impl Target for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (taken, spent) = Sim::spend(&mut self.sim.state.lock().unwrap(), bytes.len());
        let now_us = self.sim.clock.utc_us();
        let most = self.most;
        self.with(|file| {
            file.live.extend(&bytes[..taken]);
            file.room = most.min(file.live.len() + AHEAD);
            file.changed_us = now_us;
        });
        spent
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.sim.state.lock().unwrap();
        if let Some(left) = state.syncs_left.as_mut().filter(|_| self.most > 0) {
            if *left == 0 {
                drop(state);
                resume_unwind(Box::new("the power is cut"));
            }
            *left -= 1;
        }
        state.syncs += 1;
        let fails = state.failing_syncs & 1 == 1;
        state.failing_syncs >>= 1;
        let file = state.files.get_mut(&*self.path.lock().unwrap()).unwrap();
        if fails {
            file.is_poisoned = true;
            return Err(io::Error::from_raw_os_error(5)); // EIO
        }
        if !file.is_poisoned {
            file.durable = file.live.clone();
        }
        Ok(())
    }

    fn ahead(&self) -> u64 {
        let state = self.sim.state.lock().unwrap();
        let file = state.files.get(&*self.path.lock().unwrap());
        file.map_or(0, |file| file.room.saturating_sub(file.live.len()) as u64)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Ok(mut state) = self.sim.state.lock()
            && let Some(file) = state.files.get_mut(&*self.path.lock().unwrap()).filter(|_| self.most > 0)
        {
            file.room = 0;
        }
    }
}

impl Mark for Handle {
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|file| {
            file.live.resize(file.live.len().max(bytes.len()), 0);
            file.live[..bytes.len()].copy_from_slice(bytes);
        });
        Ok(())
    }
}
