//! A record as the journal keeps it: `MessagePack`, a list whose places `penstock/audit/record.py` names. Within a form
//! places are only ever added, at the end.

use std::net::{IpAddr, Ipv4Addr};

use super::record::{AttemptRecord, AttemptResult, GIVEN_UP, Phases, Record, StreamFacts};
use crate::{
    content::Content,
    dialects::usage::Usage,
    journal::pack::Pack,
    keys::Tagged,
    limits::{Counted, Met},
};

/// The first value of every list.
const FORM: u64 = 1;
/// Longer texts are cut: what clients and providers send must not bound what a record takes.
const TEXT_BYTES: usize = 256;
const PATH_BYTES: usize = 1_024;

/// What everybody may read who may read records. `count`: how many requests it stands for.
pub fn public(record: &Record, count: u64, out: &mut Vec<u8>) {
    let mut pack = Pack::new(out);
    pack.list(35);
    [FORM, record.number, count].into_iter().for_each(|number| pack.number(number));
    for text in [&record.request_id, &record.upstream_request_id, &record.trace_id] {
        pack.word(text, TEXT_BYTES);
    }
    pack.number(record.started_utc_us);
    pack.word(&record.key_id, TEXT_BYTES);
    pack.word(&record.team, TEXT_BYTES);
    pack.name(record.dialect.map_or("", crate::dialects::Dialect::name));
    pack.name(record.api);
    pack.word(&record.method, TEXT_BYTES);
    pack.word(&record.path, PATH_BYTES);
    pack.word(&record.model, TEXT_BYTES);
    pack.word(&record.target, TEXT_BYTES);
    pack.perhaps(record.status.map(u64::from));
    pack.name(record.outcome.name());
    pack.name(record.error.map_or("", crate::error::Code::name));
    pack.list(record.attempts.len());
    record.attempts.iter().for_each(|attempt| self::attempt(attempt, &mut pack));
    usage(record.usage.as_ref(), &mut pack);
    pack.name(record.usage.map_or("", |_| record.usage_source.name()));
    [record.cost_nanousd, record.charged_tokens, record.charged_nanousd].into_iter().for_each(|n| pack.perhaps(n));
    phases(&record.phases, &mut pack);
    [record.admitted_boottime_us, record.queued_us, record.overhead_us].into_iter().for_each(|n| pack.perhaps(n));
    stream(record.stream.as_ref(), &mut pack);
    pack.number(record.received_bytes);
    pack.number(record.sent_bytes);
    tags(&record.tags, &mut pack);
    limits(record.limits, &mut pack);
    counted(&record.counted, &mut pack);
    pack.number(u64::from(record.is_unpriced));
}

/// A stream that begins: enough to know whose it was if its record never comes.
pub fn begin(record: &Record, request_id: &str, out: &mut Vec<u8>) {
    let mut pack = Pack::new(out);
    pack.list(11);
    [FORM, record.number].into_iter().for_each(|number| pack.number(number));
    pack.word(request_id, TEXT_BYTES);
    pack.number(record.started_utc_us);
    pack.word(&record.key_id, TEXT_BYTES);
    pack.word(&record.team, TEXT_BYTES);
    pack.name(record.dialect.map_or("", crate::dialects::Dialect::name));
    pack.name(record.api);
    pack.word(&record.model, TEXT_BYTES);
    pack.word(&record.target, TEXT_BYTES);
    tags(&record.tags, &mut pack);
}

/// What can be forgotten: client address, end user. Nothing where neither is known.
pub fn private(record: &Record, out: &mut Vec<u8>) {
    if record.client.is_none() && record.end_user.is_empty() {
        return;
    }
    pack_private(record, 2, &mut Pack::new(out));
}

/// The same with texts of the request behind it: each with why it is not whole, if it is not.
pub fn private_with(record: &Record, content: &Content, out: &mut Vec<u8>) {
    let mut pack = Pack::new(out);
    pack_private(record, 6, &mut pack);
    for piece in [&content.prompt, &content.answer] {
        match piece {
            Some(piece) => pack.text(&piece.text),
            None => pack.nil(),
        }
        pack.name(piece.as_ref().and_then(|piece| piece.note).map_or("", |note| note.name()));
    }
}

fn pack_private(record: &Record, places: usize, pack: &mut Pack<'_>) {
    pack.list(places);
    match record.client {
        Some(IpAddr::V4(address)) => dotted(address, pack),
        Some(IpAddr::V6(address)) => pack.text(&address.to_string()),
        None => pack.nil(),
    }
    pack.word(&record.end_user, TEXT_BYTES);
}

/// An address as it is usually written, without the detour of formatting.
fn dotted(address: Ipv4Addr, pack: &mut Pack<'_>) {
    let (mut text, mut length) = ([b'.'; 16], 0);
    for octet in address.octets() {
        for (is_shown, digit) in [(octet > 99, octet / 100), (octet > 9, octet / 10 % 10), (true, octet % 10)] {
            text[length] = b'0' + digit;
            length += usize::from(is_shown);
        }
        text[length] = b'.';
        length += 1;
    }
    pack.text(str::from_utf8(&text[..length - 1]).unwrap_or(""));
}

/// Provider, model, status, error, whether it was passed over, microseconds.
fn attempt(attempt: &AttemptRecord, pack: &mut Pack<'_>) {
    let (status, error, skipped) = match attempt.result {
        AttemptResult::Status(status) => (Some(u64::from(status)), "", 0),
        AttemptResult::Failed(code) => (None, code.name(), 0),
        AttemptResult::Skipped(code) => (None, code.name(), 1),
        AttemptResult::GivenUp => (None, GIVEN_UP, 0),
    };
    pack.list(6);
    pack.word(&attempt.provider.name, TEXT_BYTES);
    pack.word(&attempt.model, TEXT_BYTES);
    pack.perhaps(status);
    pack.name(error);
    pack.number(skipped);
    pack.number(attempt.us);
}

fn tags(tags: &Tagged, pack: &mut Pack<'_>) {
    let length = tags.pairs().count();
    if length == 0 {
        return pack.nil();
    }
    pack.map(length);
    for (name, text) in tags.pairs() {
        pack.cut(name, TEXT_BYTES);
        pack.cut(text, TEXT_BYTES);
    }
}

fn limits(met: Met, pack: &mut Pack<'_>) {
    if met.is_empty() {
        return pack.nil();
    }
    pack.list(met.len());
    met.names().for_each(|name| pack.name(name));
}

/// Rank of the scope, number of its telling, name where it is known from nowhere else.
fn counted(counted: &Counted, pack: &mut Pack<'_>) {
    if counted.is_empty() {
        return pack.nil();
    }
    pack.list(counted.len());
    for (rank, told, name) in counted.each() {
        pack.list(3);
        pack.number(rank as u64);
        pack.number(told);
        pack.word(name, TEXT_BYTES);
    }
}

fn usage(usage: Option<&Usage>, pack: &mut Pack<'_>) {
    let Some(usage) = usage else { return pack.nil() };
    pack.list(7);
    for tokens in [
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.audio_tokens,
        usage.image_tokens,
    ] {
        pack.number(tokens);
    }
}

fn phases(phases: &Phases, pack: &mut Pack<'_>) {
    pack.list(8);
    pack.number(phases.head_us);
    pack.number(phases.body_wait_us);
    [phases.route_us, phases.connect_us, phases.first_byte_us].into_iter().for_each(|us| pack.perhaps(us));
    pack.number(phases.total_us);
    pack.perhaps(phases.lease_us);
    pack.perhaps(phases.admitted_us);
}

fn stream(facts: Option<&StreamFacts>, pack: &mut Pack<'_>) {
    let Some(facts) = facts else { return pack.nil() };
    pack.list(3);
    pack.perhaps(facts.first_token_us);
    pack.number(facts.frames);
    pack.number(facts.longest_gap_us);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_usual() {
        for text in ["0.0.0.0", "9.10.99.100", "192.0.2.7", "255.255.255.255", "::1", "2001:db8::ffff:1"] {
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            private(&Record { client: text.parse().ok(), ..Record::default() }, &mut out);
            let mut pack = Pack::new(&mut expected);
            pack.list(2);
            pack.text(text);
            pack.nil();
            assert_eq!(out, expected, "{text}");
        }
    }
}
