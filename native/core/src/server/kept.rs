//! Counts of limits on disk: loaded before the first request, and what the log says of them.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use super::shared::Shared;
use crate::limits::{Event, Keeper};

/// A disk that takes longer to read does not hold the start up: its counts are added when they come.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins to keep the counts in `path`; returns when those of before are here, or are waited for.
pub fn start(shared: &Arc<Shared>, path: PathBuf) -> io::Result<Keeper> {
    let (sender, first) = mpsc::channel();
    let log = shared.log.clone();
    let shown = path.display().to_string();
    let tell = move |event: Event| {
        match event {
            Event::Waits => log.warn(
                "another process on data_dir keeps the counts of limits; this one starts with none and takes over when \
                 that one ends",
                &[("file", &shown)],
            ),
            Event::Loaded(loaded) if loaded.damaged_bytes > 0 => log.warn(
                "the end of the counts of limits was damaged and is dropped",
                &[("file", &shown), ("bytes", &(loaded.damaged_bytes as u64))],
            ),
            Event::Loaded(_) => {}
            Event::Failed(error) => log.error(
                "counts of limits cannot be kept: after a restart they begin at what was written last",
                &[("file", &shown), ("error", &error.to_string())],
            ),
            Event::Recovered => log.info("counts of limits are kept again", &[("file", &shown)]),
        }
        let _ = sender.send(());
    };
    let keeper = Keeper::start(shared.limits.clone(), path, shared.clock.clone(), tell)?;
    let _ = first.recv_timeout(PATIENCE);
    Ok(keeper)
}
