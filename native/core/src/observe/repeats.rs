//! Holds back a message that repeats itself, so that one fault cannot fill a disk.

use parking_lot::Mutex;

/// Lines of one message that pass in one window.
const BURST: u32 = 10;
const WINDOW_US: u64 = 10_000_000;
/// Messages remembered at a time; the oldest is forgotten first.
const REMEMBERED: usize = 32;

#[derive(Debug)]
struct Seen {
    message: String,
    since_us: u64,
    lines: u32,
}

/// Recent messages and how often each came.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<Vec<Seen>>);

impl Repeats {
    /// `None`: hold this line back. `Some(n)`: write it; `n` like it were held back since the last one.
    pub(super) fn admit(&self, message: &str, now_us: u64) -> Option<u32> {
        let mut seen = self.0.lock();
        let Some(known) = seen.iter_mut().find(|known| known.message == message) else {
            if seen.len() == REMEMBERED {
                seen.remove(0);
            }
            seen.push(Seen { message: message.to_owned(), since_us: now_us, lines: 1 });
            return Some(0);
        };
        if now_us.saturating_sub(known.since_us) < WINDOW_US {
            known.lines = known.lines.saturating_add(1);
            return (known.lines <= BURST).then_some(0);
        }
        let held_back = known.lines.saturating_sub(BURST);
        (known.since_us, known.lines) = (now_us, 1);
        Some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_line_waits_and_the_next_window_says_how_many_did() {
        let repeats = Repeats::default();
        let passed = (0..25).filter(|_| repeats.admit("full", 0).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(repeats.admit("another", 0), Some(0));
        assert_eq!(repeats.admit("full", WINDOW_US), Some(15));
        assert_eq!(repeats.admit("full", WINDOW_US + 1), Some(0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let repeats = Repeats::default();
        for n in 0..1_000 {
            repeats.admit(&n.to_string(), 0);
        }
        assert_eq!(repeats.0.lock().len(), REMEMBERED);
    }
}
