//! Limits in words: as they are written, and as a refusal names them.

use super::Principal;
use crate::{
    error::{Code, Error},
    limits::{Kind, Period, Refused, Span},
};

/// Digits behind the point of an amount in dollars.
const FRACTION: usize = 9;
/// A dollar.
const NANOUSD: u64 = 1_000_000_000;

/// A limit as it is written in configuration: `600/min`, `20 usd/day`, `50`.
pub fn written(kind: Kind, amount: u64, span: Span) -> String {
    let amount = if kind == Kind::Budget { format!("{} usd", dollars(amount)) } else { amount.to_string() };
    match span {
        Span::AtOnce => amount,
        Span::Period(Period::Day) => format!("{amount}/day"),
        Span::Period(Period::Month) => format!("{amount}/month"),
        Span::Window(us) => {
            // A single day is `24h`: `1d` is too easily taken for `day`, which is the calendar's.
            let (unit, of) = unit(us, &[("d", 86_400, 2), ("h", 3_600, 1), ("min", 60, 1), ("s", 1, 1)]);
            if of == 1 { format!("{amount}/{unit}") } else { format!("{amount}/{of}{unit}") }
        }
    }
}

/// The code of a refusal.
pub const fn code(refused: &Refused) -> Code {
    match refused.kind {
        _ if refused.exceeds => Code::RequestExceedsLimit,
        _ if refused.unavailable => Code::StoreUnavailable,
        Kind::Requests => Code::RateLimitRequests,
        Kind::Concurrent => Code::RateLimitConcurrent,
        Kind::Tokens => Code::RateLimitTokens,
        Kind::Budget => Code::BudgetExceeded,
    }
}

/// What a client is told of a limit that does not let its request through.
pub fn refusal(refused: &Refused, principal: &Principal) -> Error {
    let limit = format!("The limit of {} {}", amount(refused), whose(refused, principal));
    if refused.exceeds {
        let message = if refused.amount == 0 {
            format!("{limit} lets no request through.")
        } else {
            let need = quantity(refused.kind, refused.need);
            format!(
                "{limit} is less than this request alone may need, which is {need}; ask for less, such as a lower max_tokens."
            )
        };
        return Error::new(code(refused), message);
    }
    let wait_ms = refused.retry_after_us.div_ceil(1_000).max(1);
    if refused.unavailable {
        let wait = waited(wait_ms);
        let message = format!("{limit} is shared between nodes and cannot be asked for now; try again in {wait}.");
        return Error::new(code(refused), message).after_ms(wait_ms);
    }
    let need = quantity(refused.kind, refused.need);
    let why = match refused.kind {
        Kind::Requests | Kind::Concurrent => String::new(),
        Kind::Tokens => format!(" for a request that may need {need}"),
        Kind::Budget => format!(" for a request that may cost {need}"),
    };
    let wait = waited(wait_ms);
    Error::new(code(refused), format!("{limit} is reached{why}; try again in {wait}.")).after_ms(wait_ms)
}

/// `600 requests per minute`.
fn amount(refused: &Refused) -> String {
    let amount = match refused.kind {
        Kind::Concurrent | Kind::Requests => {
            format!("{} request{}", refused.amount, if refused.amount == 1 { "" } else { "s" })
        }
        kind => quantity(kind, refused.amount),
    };
    match refused.span {
        Span::AtOnce => format!("{amount} at the same time"),
        Span::Period(Period::Day) => format!("{amount} per day"),
        Span::Period(Period::Month) => format!("{amount} per month"),
        Span::Window(us) => {
            let (unit, of) = unit(us, &[("day", 86_400, 2), ("hour", 3_600, 1), ("minute", 60, 1), ("second", 1, 1)]);
            if of == 1 { format!("{amount} per {unit}") } else { format!("{amount} per {of} {unit}s") }
        }
    }
}

fn whose(refused: &Refused, principal: &Principal) -> String {
    let name = refused.scope.name();
    match (refused.scope.kind_name(), principal) {
        ("key", Principal::Open) => "of all callers together".to_owned(),
        ("key", Principal::Key { .. }) => "of this API key".to_owned(),
        ("team", Principal::Key { team: Some(team), .. }) => format!("of the team {}", team.name),
        ("global", _) => "of all keys together".to_owned(),
        (kind, _) => format!("of the {kind} {name}"),
    }
}

/// An amount with its unit.
fn quantity(kind: Kind, amount: u64) -> String {
    match kind {
        Kind::Budget => format!("{} USD", dollars(amount)),
        Kind::Tokens => format!("{amount} token{}", if amount == 1 { "" } else { "s" }),
        Kind::Requests | Kind::Concurrent => amount.to_string(),
    }
}

/// Nano-dollars as dollars, without needless zeros.
fn dollars(nanousd: u64) -> String {
    String::from_utf8_lossy(Usd::of(nanousd).bytes()).into_owned()
}

/// An amount of dollars in decimals, without a place in memory of its own.
pub struct Usd {
    digits: [u8; 32],
    end: usize,
}

impl Usd {
    pub fn of(nanousd: u64) -> Self {
        let (mut whole, mut fraction) = (itoa::Buffer::new(), itoa::Buffer::new());
        let whole = whole.format(nanousd / NANOUSD).as_bytes();
        // With a digit before it that keeps its zeros.
        let fraction = fraction.format(NANOUSD + nanousd % NANOUSD).as_bytes();
        let mut digits = [b'.'; 32];
        digits[..whole.len()].copy_from_slice(whole);
        digits[whole.len() + 1..][..FRACTION].copy_from_slice(&fraction[1..]);
        let kept = fraction[1..].iter().rposition(|digit| *digit != b'0');
        Self { digits, end: whole.len() + kept.map_or(0, |kept| kept + 2) }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.digits[..self.end]
    }
}

/// The largest unit of which the window has a whole number, at least as many as stands third, and that number.
fn unit(us: u64, units: &[(&'static str, u64, u64)]) -> (&'static str, u64) {
    let seconds = us.div_ceil(1_000_000);
    let fits = |(_, length, least): &&(_, u64, u64)| seconds.is_multiple_of(*length) && seconds / length >= *least;
    units.iter().find(fits).map_or(("s", seconds), |(name, length, _)| (*name, seconds / length))
}

/// A time to wait, for people.
fn waited(ms: u64) -> String {
    match ms.div_ceil(1_000) {
        _ if ms < 1_000 => format!("{ms} ms"),
        s if s < 120 => format!("{s} s"),
        s if s < 7_200 => format!("{} min", s.div_ceil(60)),
        s => format!("{} h", s.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_limit_is_written_as_configuration_has_it() {
        let window = |seconds: u64| Span::Window(seconds * SECOND);
        for (kind, amount, span, text) in [
            (Kind::Requests, 600, window(60), "600/min"),
            (Kind::Requests, 100, window(10), "100/10s"),
            (Kind::Requests, 5, window(1), "5/s"),
            (Kind::Tokens, 1, window(86_400), "1/24h"),
            (Kind::Tokens, 1, window(7 * 86_400), "1/7d"),
            (Kind::Tokens, 9, window(90), "9/90s"),
            (Kind::Tokens, 9, window(3_600), "9/h"),
            (Kind::Tokens, 5_000, Span::Period(Period::Day), "5000/day"),
            (Kind::Budget, 20 * NANOUSD, Span::Period(Period::Month), "20 usd/month"),
            (Kind::Budget, 1_250_000_000, window(86_400), "1.25 usd/24h"),
            (Kind::Budget, 1, window(1), "0.000000001 usd/s"),
            (Kind::Concurrent, 50, Span::AtOnce, "50"),
        ] {
            assert_eq!(written(kind, amount, span), text);
        }
    }

    #[test]
    fn money_is_written_in_decimals() {
        for (nanousd, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_250_000_000, "1.25"),
            (10_000_000_010, "10.00000001"),
            (999_999_999, "0.999999999"),
            (100 * NANOUSD, "100"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(dollars(nanousd), text);
        }
    }

    #[test]
    fn a_time_to_wait_is_never_shorter_in_words() {
        for (ms, text) in [(1, "1 ms"), (999, "999 ms"), (1_001, "2 s"), (120_000, "2 min"), (7_200_001, "3 h")] {
            assert_eq!(waited(ms), text);
        }
    }
}
