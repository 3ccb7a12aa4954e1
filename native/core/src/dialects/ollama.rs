//! Ollama's error shape, and the empty object that stands for a keep-alive.

use crate::{error::Error, json::write_string};

/// Appends `{"error":"text"}`, the shape of both error answers and mid-stream errors.
pub fn write_error(error: &Error, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":");
    write_string(&error.message, out);
    out.push(b'}');
}

/// Appends a line that the client reads as a chunk without text.
pub fn write_keep_alive(generate: bool, model: &str, utc_us: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"model\":");
    write_string(model, out);
    out.extend_from_slice(b",\"created_at\":\"");
    write_time(utc_us, out);
    out.extend_from_slice(if generate {
        b"\",\"response\":\"\",\"done\":false}\n".as_slice()
    } else {
        b"\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n"
    });
}

/// Appends RFC 3339 time in UTC with microseconds.
fn write_time(utc_us: u64, out: &mut Vec<u8>) {
    let (seconds, micros) = (utc_us / 1_000_000, utc_us % 1_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date, H. Hinnant's `civil_from_days`, for dates after 1970.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_795_446_061_250_000, "2026-11-23T15:01:01.250000Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
        ] {
            let mut out = Vec::new();
            write_time(us, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }
}
