//! Room on disk: what goes for others to find some, and what is too old.

use std::{io, sync::atomic::Ordering::Relaxed};

use super::{LAST_BYTES, Writer};
use crate::journal::{Event, Kind, WhenFull, Why, recover::Recovered, space::Removal, tell, walk::File};

/// Segments that may go and could not be read are looked at again after this.
const LOOK_US: u64 = 1_000_000;
/// Their notes fit into the room that is kept free.
const REMOVALS_AT_ONCE: usize = 8;
/// What the store has stays so long for those who read the journal itself.
const STAYS_US: u64 = 3_600_000_000;
/// What was to take a segment's place, and is older than this, never will.
const ASIDE_US: u64 = 3_600_000_000;

impl Writer {
    /// Looks for what is too old, for other journals' segments, and for journals whose process is gone.
    pub fn sweep(&mut self) -> io::Result<()> {
        std::mem::take(&mut self.stuck).into_iter().for_each(|removal| self.remove(removal));
        self.measure()?;
        self.look_for_room();
        for (instance, dir) in self.space.strangers()? {
            let Some(Recovered { cut_bytes, is_damaged, .. }) = self.space.adopt(&instance, &dir) else { continue };
            self.events.push(Event::Adopted { instance, cut_bytes, is_damaged });
            // A journal takes up to a second, and there may be many.
            self.commit()?;
            if self.ring.stops() {
                break;
            }
        }
        self.renew()?;
        let mut unread = Ok(());
        if self.removals.is_empty() {
            let now_us = self.clock.utc_us();
            let too_old_us = now_us.saturating_sub(self.settings.retain_us);
            // Where requests are refused for want of room nothing stays for readers.
            let stays_us = if self.is_full(WhenFull::Shed) { u64::MAX } else { now_us.saturating_sub(STAYS_US) };
            // Before requests are refused what others want goes, too.
            let most = self.settings.max_bytes.saturating_sub(2 * self.settings.segment_bytes);
            let has_room = self.settings.when_full == WhenFull::Drop || self.facts.disk_bytes.load(Relaxed) <= most;
            let why = |instance: &str, file: &File| match file.changed_us {
                _ if !self.is_free(instance, file) => None,
                changed_us if changed_us < too_old_us => Some(Why::Age),
                changed_us if self.settings.pinned && changed_us < stays_us => {
                    (!has_room || !self.is_wanted(instance)).then_some(Why::Shipped)
                }
                _ => None,
            };
            for (segment, why) in self.space.which(self.open_number(), why)? {
                if !self.is_free(&segment.0, &segment.2) {
                    continue; // it was to go for others to find room, and could not
                }
                match self.space.removal(segment) {
                    Ok(removal) => self.note_removal(removal, why),
                    // It went for others to find room.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    // It stays, and holds up no other.
                    Err(error) => unread = Err(error),
                }
                // To read a segment may take long, and there may be many: what came meanwhile waits for this one alone.
                self.write_all()?;
                self.commit()?;
                if self.ring.stops() {
                    break;
                }
            }
        }
        self.shipped.keep(&self.space.instances()?);
        self.space.tidy(self.clock.utc_us().saturating_sub(ASIDE_US))?;
        self.measure().and(unread).and(self.unread.take().map_or(Ok(()), Err))
    }

    /// Sees to it that so many bytes more stay within `max_bytes`. `false`: they do not.
    pub(super) fn make_room(&mut self, more: u64) -> io::Result<bool> {
        let most = self.settings.max_bytes;
        let used = self.facts.disk_bytes.load(Relaxed) + more;
        // One segment's room is kept free, as it is only whole ones that can be removed.
        let is_full = used + self.settings.segment_bytes > most;
        if self.settings.when_full == WhenFull::Shed {
            self.set_full(is_full);
            return Ok(true);
        }
        let shipped = self.shipped.changes();
        if is_full && self.in_vain != Some(shipped) {
            let over = (used + self.settings.segment_bytes).saturating_sub(most);
            // Notes of what goes need room, too.
            let is_room = used + self.settings.segment_bytes / 2 <= most;
            if is_room && self.clock.boot_us() < self.look_us {
                return Ok(true);
            }
            self.unread = None;
            let oldest = match self.oldest(over) {
                Err(error) if is_room => {
                    self.look_us = self.clock.boot_us() + LOOK_US;
                    self.unread = Some(error);
                    return Ok(true);
                }
                oldest => oldest?,
            };
            self.in_vain = (self.settings.pinned && oldest.is_empty()).then_some(shipped);
            // What goes is told, and gone, before what comes is written.
            let why = if self.settings.pinned { Why::Shipped } else { Why::Disk };
            for some in oldest.chunks(REMOVALS_AT_ONCE) {
                some.iter().for_each(|removal| self.note_removal(removal.clone(), why));
                self.write_all()?;
            }
        }
        Ok(self.facts.disk_bytes.load(Relaxed) + more + self.disk.block_bytes() <= most)
    }

    fn is_full(&self, when_full: WhenFull) -> bool {
        self.settings.when_full == when_full && self.facts.is_full.load(Relaxed)
    }

    /// Looks again where there was none, though nothing comes; whoever only looked at the journal of a process that is gone
    /// may have held its lock before. What fails is tried with what comes.
    fn look_for_room(&mut self) {
        self.in_vain = None;
        if self.is_full(WhenFull::Drop) && self.work.is_empty() && self.removals.is_empty() {
            let _ = self.make_room(self.settings.segment_bytes / 2);
        }
    }

    /// Told once until it is over.
    pub(super) fn set_full(&mut self, is_full: bool) {
        if self.facts.is_full.swap(is_full, Relaxed) != is_full {
            let when_full = self.settings.when_full;
            self.events.push(if is_full { Event::Full(when_full) } else { Event::HasRoom });
        }
    }

    /// The oldest segments that may go for others to find room; last those that somebody wants.
    fn oldest(&self, bytes: u64) -> io::Result<Vec<Removal>> {
        self.space.oldest(bytes, self.open_number(), |instance, file| {
            self.is_free(instance, file).then(|| self.is_wanted(instance))
        })
    }

    fn is_wanted(&self, instance: &str) -> bool {
        (self.settings.wanted.0)(instance)
    }

    /// Whether no store waits for a segment, and it was not to go before.
    fn is_free(&self, instance: &str, file: &File) -> bool {
        let is_stuck = self.stuck.iter().any(|removal| removal.file.path == file.path);
        !is_stuck && (!self.settings.pinned || self.shipped.has(instance, file.number))
    }

    fn note_removal(&mut self, removal: Removal, why: Why) {
        let mut public = Vec::new();
        tell::removed(&removal, why, self.clock.utc_us(), &mut public);
        self.note(Kind::Removed, &public);
        let (instance, segment) = (removal.instance.clone(), removal.file.number);
        self.events.push(Event::Removed { instance, segment, why });
        self.removals.push(removal);
    }

    pub(super) fn remove(&mut self, removal: Removal) {
        if self.space.remove(&removal) {
            self.facts.removed.fetch_add(1, Relaxed);
            let bytes = removal.file.bytes;
            let _ = self.facts.disk_bytes.fetch_update(Relaxed, Relaxed, |all| Some(all.saturating_sub(bytes)));
        } else if self.disk.read(&removal.file.path, 0, 0).is_ok() {
            self.stuck.push(removal);
        }
    }

    pub(super) fn measure(&mut self) -> io::Result<()> {
        let ahead = self.open.as_ref().map_or(0, |open| open.file.ahead());
        self.facts.disk_bytes.store(self.space.bytes()?.saturating_sub(ahead), Relaxed);
        self.see_room()
    }

    /// Says that there is room again, where there is.
    pub(super) fn see_room(&mut self) -> io::Result<()> {
        if self.settings.when_full == WhenFull::Shed {
            self.make_room(0)?;
            return Ok(());
        }
        // As much as the largest portion needs.
        let more = self.settings.segment_bytes / 2 + 2 * LAST_BYTES + self.disk.block_bytes();
        if self.facts.disk_bytes.load(Relaxed) + more <= self.settings.max_bytes {
            self.set_full(false);
        }
        Ok(())
    }
}
