//! The room that all journals below one directory take: what may go first, and what a process that is gone left behind.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::{Disk, Listed, parent},
    entry::Chain,
    facts::Why,
    recover::{Recovered, recover},
    segment::{ASIDE, HEADER_BYTES, Header},
    walk::{COMMITTED, File, Walk, files, header},
};

/// The lock that a process holds in the directory of its journal.
pub const LOCK: &str = "lock";

/// Whose it is, the journal's directory, the file.
pub type Segment = (String, PathBuf, File);

/// A segment that is to go.
#[derive(Clone, Debug)]
pub struct Removal {
    pub instance: String,
    pub dir: PathBuf,
    pub file: File,
    /// Sequence number of its first entry.
    pub first: u64,
    /// Where the chain stands behind it.
    pub last: Chain,
}

/// The journals beside the one in `own`, sorted, and whether the process of each is gone as far as that can be seen.
pub fn others(disk: &dyn Disk, own: &Path) -> io::Result<Vec<(String, bool)>> {
    let others = journals(disk, &parent(own))?.into_iter().filter(|(_, dir)| dir != own);
    Ok(others.map(|(name, dir)| (name, is_dead(disk, &dir))).collect())
}

fn journals(disk: &dyn Disk, all: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let listed = disk.list(all)?.into_iter().filter(|each| each.is_dir && !each.name.starts_with('.'));
    let mut journals: Vec<_> = listed.map(|each| (each.name.clone(), all.join(each.name))).collect();
    journals.sort();
    Ok(journals)
}

fn is_dead(disk: &dyn Disk, dir: &Path) -> bool {
    disk.is_unlocked(&dir.join(LOCK)).unwrap_or(false)
}

/// The directory of this journal, among those of others.
pub struct Space {
    disk: Arc<dyn Disk>,
    own: PathBuf,
    all: PathBuf,
    adopted: HashSet<String>,
}

impl Space {
    pub fn new(disk: Arc<dyn Disk>, own: &Path) -> Self {
        Self { disk, own: own.to_owned(), all: parent(own), adopted: HashSet::new() }
    }

    /// Bytes of all segments, those of other live processes aside: they have a bound of their own.
    pub fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for (_, dir) in self.journals()? {
            if dir == self.own || self.is_dead(&dir) {
                bytes += files(&*self.disk, &dir)?.iter().map(|file| file.bytes).sum::<u64>();
            }
        }
        Ok(bytes)
    }

    /// The journals of others that were not looked through yet.
    pub fn strangers(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut journals = self.journals()?;
        journals.retain(|(instance, dir)| *dir != self.own && !self.adopted.contains(instance));
        Ok(journals)
    }

    /// Looks through the journal of a process that is gone, once. `None`: it lives, or left nothing.
    pub fn adopt(&mut self, instance: &str, dir: &Path) -> Option<Recovered> {
        if !self.is_dead(dir) {
            return None;
        }
        let _taken = self.disk.take(dir).ok().flatten()?;
        // One that cannot be read stays as it is, and holds up nothing.
        let found = recover(&*self.disk, dir).ok()?;
        self.adopted.insert(instance.to_owned());
        Some(found).filter(|found| found.segments > 0)
    }

    /// Removes what a forgetting left that was broken off before a time.
    pub fn tidy(&self, before_us: u64) -> io::Result<()> {
        for (_, dir) in self.journals()? {
            // One that cannot be listed is none of ours, and holds up nothing.
            if self.asides(&dir, before_us).is_ok_and(|left| left.is_empty()) {
                continue;
            }
            // Whoever is at a forgetting makes its file look as old as the segment is.
            let Ok(Some(_taken)) = self.disk.take(&dir) else { continue };
            for name in self.asides(&dir, before_us).unwrap_or_default() {
                let _ = self.disk.remove(&dir.join(name));
            }
        }
        Ok(())
    }

    fn asides(&self, dir: &Path, before_us: u64) -> io::Result<Vec<String>> {
        let is_left =
            |each: &Listed| each.changed_us < before_us && Path::new(&each.name).extension() == Some(ASIDE.as_ref());
        Ok(self.disk.list(dir)?.into_iter().filter(is_left).map(|each| each.name).collect())
    }

    /// Whole segments that are to go, and why; of the own journal those before number `open`.
    pub fn which(&self, open: u64, goes: impl Fn(&str, &File) -> Option<Why>) -> io::Result<Vec<(Segment, Why)>> {
        let closed = self.closed(open)?.into_iter();
        Ok(closed.filter_map(|segment| goes(&segment.0, &segment.2).map(|why| (segment, why))).collect())
    }

    /// The oldest of them that take `bytes` together, or all there are that can be read. `goes`: whether one may, and only
    /// behind the others.
    pub fn oldest(
        &self,
        bytes: u64,
        open: u64,
        goes: impl Fn(&str, &File) -> Option<bool>,
    ) -> io::Result<Vec<Removal>> {
        let order = |segment: Segment| Some((goes(&segment.0, &segment.2)?, segment.2.changed_us, segment));
        let mut closed: Vec<_> = self.closed(open)?.into_iter().filter_map(order).collect();
        closed.sort_by_key(|(is_last, changed_us, _)| (*is_last, *changed_us));
        let (mut left, mut found, mut unread) = (bytes, Vec::new(), Ok(()));
        for (_, _, segment) in closed {
            if left == 0 {
                break;
            }
            match self.removal(segment) {
                Ok(removal) => {
                    left = left.saturating_sub(removal.file.bytes);
                    found.push(removal);
                }
                Err(error) => unread = Err(error),
            }
        }
        // Where none can be read there may be one to go all the same.
        if found.is_empty() { unread.map(|()| found) } else { Ok(found) }
    }

    /// The instances of which there are journals, sorted.
    pub fn instances(&self) -> io::Result<Vec<String>> {
        Ok(self.journals()?.into_iter().map(|(instance, _)| instance).collect())
    }

    /// Removes a segment, and the journal of a process that is gone with its last one. `false`: it stays.
    pub fn remove(&self, removal: &Removal) -> bool {
        let is_own = removal.dir == self.own;
        // That another holds the directory is no matter: who takes it over finds one less, and what a forgetting has put
        // back goes the next time.
        if !is_own && !self.is_dead(&removal.dir) || self.disk.remove(&removal.file.path).is_err() {
            return false;
        }
        if !is_own && files(&*self.disk, &removal.dir).is_ok_and(|files| files.is_empty()) {
            // The directory itself goes when the next process starts.
            let _ = self.disk.remove(&removal.dir.join(COMMITTED));
        }
        true
    }

    fn journals(&self) -> io::Result<Vec<(String, PathBuf)>> {
        journals(&*self.disk, &self.all)
    }

    /// Whether its process is gone, as far as that can be seen.
    fn is_dead(&self, dir: &Path) -> bool {
        is_dead(&*self.disk, dir)
    }

    /// Segments that nobody writes any more.
    fn closed(&self, open: u64) -> io::Result<Vec<Segment>> {
        let mut closed = Vec::new();
        for (instance, dir) in self.journals()? {
            let is_own = dir == self.own;
            if is_own || self.is_dead(&dir) {
                let files = files(&*self.disk, &dir)?.into_iter().filter(|file| !is_own || file.number < open);
                closed.extend(files.map(|file| (instance.clone(), dir.clone(), file)));
            }
        }
        Ok(closed)
    }

    /// What its removal is told with. The last one of a journal is read for that, up to 64 MiB.
    pub fn removal(&self, (instance, dir, file): Segment) -> io::Result<Removal> {
        let first = header(&*self.disk, &file)?.map_or(0, |header| header.chain.sequence + 1);
        let last = self.last(&dir, &file)?;
        Ok(Removal { instance, dir, file, first, last })
    }

    /// Where the chain stands behind a segment: its successor says, else its last entry.
    fn last(&self, dir: &Path, file: &File) -> io::Result<Chain> {
        let files = files(&*self.disk, dir)?;
        if let Some(next) = files.iter().find(|next| next.number == file.number + 1)
            && let Ok(Some(header)) = header(&*self.disk, next)
        {
            return Ok(header.chain);
        }
        let bytes = self.disk.read(&file.path, 0, usize::MAX)?;
        let begin = Header::read(&bytes).map_or(Chain { sequence: 0, hash: [0; 32] }, |header| header.chain);
        let last = Walk::new(&bytes, HEADER_BYTES).last();
        Ok(last.map_or(begin, |(_, entry)| Chain::after(&entry)))
    }
}
