//! The journal of a process: started before the first request, and what happens to it said in the log.

use std::sync::Arc;

use super::shared::Shared;
use crate::journal::{Durability, Event, Journal, Options, Settings, Wanted, WhenFull, disk::RealDisk};

/// Starts the journal.
pub(super) fn start(shared: &Arc<Shared>, options: &Options, instance: &str) -> Result<Arc<Journal>, String> {
    let told = |what: &dyn std::fmt::Display| format!("journal {}: {what}", options.dir.display());
    let mut settings = Settings::of(options, instance, &RealDisk::default()).map_err(|e| told(&e))?;
    let limits = shared.limits.clone();
    settings.wanted = Wanted(Arc::new(move |journal| !limits.has_counted(journal)));
    let mut salts = [0; 32];
    aws_lc_rs::rand::fill(&mut salts).map_err(|_| told(&"the system gives no random bytes"))?;
    let (log, dir) = (shared.log.clone(), options.dir.display().to_string());
    let tell = move |event| self::tell(&log, &dir, &event);
    let disk = match settings.durability {
        Durability::Group => RealDisk::direct(),
        Durability::Flush | Durability::Os => RealDisk::default(), // an answer waits, or nothing is synchronised
    };
    let journal = Journal::start(settings, Arc::new(disk), shared.clock.clone(), salts, tell);
    journal.map(Arc::new).map_err(|e| told(&e))
}

/// Ends the journal, if there is one.
pub(super) fn stop(shared: &Shared) {
    let lost = shared.journal().map_or(0, |journal| journal.stop());
    if lost > 0 {
        shared.log.error("the journal has ended without these entries: they are lost", &[("entries", &lost)]);
    }
}

fn tell(log: &crate::observe::Log, dir: &str, event: &Event) {
    match event {
        Event::Failed(error) => log.error(
            "the journal cannot be written; it is tried again each second",
            &[("dir", &dir), ("error", &error.to_string())],
        ),
        Event::Recovered => log.info("the journal is written again", &[("dir", &dir)]),
        Event::Full(WhenFull::Drop) => log.error(
            "the journal is full and nothing of it may go: records are dropped until there is room",
            &[("dir", &dir)],
        ),
        Event::Full(WhenFull::Shed) => {
            log.error("the journal is full: requests are refused until there is room", &[("dir", &dir)]);
        }
        Event::HasRoom => log.info("the journal has room again", &[("dir", &dir)]),
        Event::Untidy(error) => log.error(
            "the journal's directory cannot be looked after, so that what is to go may stay; it is tried again",
            &[("dir", &dir), ("error", &error.to_string())],
        ),
        Event::Tidy => log.info("the journal's directory is looked after again", &[("dir", &dir)]),
        Event::Lost { entries, why } => log.error(
            "entries found no room in the journal and were dropped",
            &[("dir", &dir), ("entries", entries), ("reason", &why.name())],
        ),
        Event::Removed { instance, segment, why } => log.info(
            "a segment of the journal is removed",
            &[("instance", &instance.as_str()), ("segment", segment), ("reason", &why.name())],
        ),
        Event::Adopted { instance, cut_bytes, is_damaged: true } => log.error(
            "the journal of an earlier process is damaged; the segment was set aside",
            &[("instance", &instance.as_str()), ("cut_bytes", cut_bytes)],
        ),
        Event::Adopted { instance, cut_bytes, is_damaged: false } => log.debug(
            "the journal of an earlier process was taken over",
            &[("instance", &instance.as_str()), ("cut_bytes", cut_bytes)],
        ),
    }
}
