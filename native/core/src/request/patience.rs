//! How many secrets of one key an address may have checked at a time, and how long it waits after wrong ones: told here
//! again, so that a flood of guesses costs Python one answer a wait.

use std::{collections::HashMap, net::IpAddr};

use parking_lot::Mutex;

use crate::keys::KeyId;

/// Secrets of one key from one address that are looked at together: more than a rotation needs.
const AT_ONCE: u8 = 4;
/// How long one more of them is told to wait.
const BUSY_MS: u64 = 1_000;
/// Places that are remembered; beyond that Python alone knows.
const MOST: usize = 8_192;

/// A key and where a request for it came from; `None`: a Unix socket.
pub type Place = (KeyId, Option<IpAddr>);

#[derive(Clone, Copy, Default)]
struct State {
    asking: u8,
    slow_until_us: u64,
}

/// What is known of each place, for the whole process.
#[derive(Default)]
pub struct Patience(Mutex<HashMap<Place, State>>);

impl Patience {
    /// Whether a secret may be asked about now; else how long to wait, in milliseconds. Whoever may must call
    /// [`Patience::end`].
    pub fn begin(&self, place: Place, now_us: u64) -> Result<(), u64> {
        let mut states = self.0.lock();
        if !states.contains_key(&place) && states.len() >= MOST {
            states.retain(|_, state| state.asking > 0 || state.slow_until_us > now_us);
            if states.len() >= MOST {
                return Ok(());
            }
        }
        let state = states.entry(place).or_default();
        if state.slow_until_us > now_us {
            return Err((state.slow_until_us - now_us).div_ceil(1_000));
        }
        if state.asking >= AT_ONCE {
            return Err(BUSY_MS);
        }
        state.asking += 1;
        Ok(())
    }

    /// A question has been answered; with `slow_ms` the place has to wait so long.
    pub fn end(&self, place: Place, slow_ms: Option<u64>, now_us: u64) {
        let mut states = self.0.lock();
        let Some(state) = states.get_mut(&place) else { return };
        state.asking = state.asking.saturating_sub(1);
        if let Some(ms) = slow_ms {
            state.slow_until_us = now_us + ms * 1_000;
        }
        if state.asking == 0 && state.slow_until_us <= now_us {
            states.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u32) -> Place {
        (KeyId::parse(b"abcdefghijkl").unwrap(), Some(IpAddr::from(n.to_be_bytes())))
    }

    #[test]
    fn a_few_are_looked_at_together_and_one_more_waits() {
        let patience = Patience::default();
        for _ in 0..AT_ONCE {
            assert_eq!(patience.begin(place(1), 0), Ok(()));
        }
        assert_eq!(patience.begin(place(1), 0), Err(BUSY_MS));
        assert_eq!(patience.begin(place(2), 0), Ok(()), "another address does not wait");
        patience.end(place(1), None, 0);
        assert_eq!(patience.begin(place(1), 0), Ok(()));
    }

    #[test]
    fn who_was_told_to_wait_is_told_again_until_then() {
        let patience = Patience::default();
        assert_eq!(patience.begin(place(1), 0), Ok(()));
        patience.end(place(1), Some(2), 1_000);
        assert_eq!(patience.begin(place(1), 1_001), Err(2));
        assert_eq!(patience.begin(place(1), 2_999), Err(1));
        assert_eq!(patience.begin(place(1), 3_000), Ok(()));
    }

    #[test]
    fn what_is_over_is_forgotten_and_the_rest_is_bounded() {
        let patience = Patience::default();
        patience.begin(place(0), 0).unwrap();
        patience.end(place(0), None, 0);
        assert!(patience.0.lock().is_empty());
        for n in 0..2 * u32::try_from(MOST).unwrap() {
            patience.begin(place(n), 0).unwrap();
            patience.end(place(n), Some(10), 0);
        }
        assert_eq!(patience.0.lock().len(), MOST);
        patience.begin(place(u32::MAX), 10_000).unwrap();
        assert_eq!(patience.0.lock().len(), 1, "what has waited long enough makes room");
    }
}
