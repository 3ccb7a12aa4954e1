//! Counts of limits on disk: taken up before the first request, said in the log when the file is not as it should be.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use super::{beyond::Records, shared::Shared};
use crate::limits::{Event, Keeper};

/// A disk that takes longer to tell what was counted is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns once the counts are taken up, or it is known that they cannot be yet, or after two seconds.
pub(super) fn start(shared: &Arc<Shared>, file: PathBuf, records: Records) -> Result<Keeper, String> {
    let (tell_first, first) = mpsc::sync_channel(1);
    let (told, path) = (shared.clone(), file.display().to_string());
    let named = path.clone();
    let tell = move |event| {
        log(&told, &path, &event);
        let _ = tell_first.try_send(());
    };
    let keeper = Keeper::start(shared.limits.clone(), file, records, shared.clock.clone(), tell);
    let keeper = keeper.map_err(|e| format!("no thread: {e}"))?;
    if first.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
        shared.log.warn(
            "the counts of limits are not read after two seconds; requests are served, and they are added when they are",
            &[("file", &named)],
        );
    }
    Ok(keeper)
}

fn log(shared: &Shared, file: &str, event: &Event) {
    let log = &shared.log;
    match event {
        Event::Waits => {
            log.warn(
                "another process keeps the counts of limits; what it goes on to count is added when it ends",
                &[("file", &file)],
            );
        }
        Event::Loaded(loaded) if loaded.is_incomplete => log.error(
            "the journal of an earlier process cannot be read; the last of what it counted is missing",
            &[("file", &file), ("counters", &loaded.counters)],
        ),
        Event::Loaded(loaded) if loaded.damaged_bytes > 0 => log.warn(
            "the end of the file with the counts of limits is damaged and was dropped",
            &[("file", &file), ("bytes", &loaded.damaged_bytes), ("counters", &loaded.counters)],
        ),
        Event::Loaded(loaded) => {
            log.debug(
                "counts of limits taken up",
                &[("file", &file), ("counters", &loaded.counters), ("completed", &loaded.completed)],
            );
        }
        Event::Counted { records, is_incomplete: false } => log.info(
            "what another process counted, which has ended, is counted here",
            &[("file", &file), ("completed", records)],
        ),
        Event::Counted { records, .. } => log.error(
            "the journal of another process, which has ended, cannot be read; the last of what it counted is missing",
            &[("file", &file), ("completed", records)],
        ),
        Event::Failed(error) => log.error(
            "counts of limits cannot be kept over a restart; it is tried again, at least each minute",
            &[("file", &file), ("error", &error.to_string())],
        ),
        Event::Recovered => log.info("counts of limits are kept over a restart again", &[("file", &file)]),
    }
}
