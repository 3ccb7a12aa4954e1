//! The log line of a finished request: all of its record.

use std::io::Write;

use super::{
    log::{Field, Log, Value},
    log_line::json_text,
    record::{AttemptRecord, AttemptResult, Consumer, GIVEN_UP, Record, StreamFacts},
};
use crate::{dialects::usage::Usage, keys::Tagged, limits::Met};

impl Consumer for Log {
    fn record(&self, record: &Record) {
        let level = self.request_level();
        if !self.is_on(level) {
            return;
        }
        let client = record.client.map(|address| address.to_string()).unwrap_or_default();
        let attempts = attempts(&record.attempts);
        let usage = record.usage.as_ref().map(usage);
        let tags = (!record.tags.is_empty()).then(|| tags(&record.tags));
        let limits = (!record.limits.is_empty()).then(|| limits(record.limits));
        let stream = record.stream.as_ref().map(stream);
        let mut fields: Vec<(&str, Value<'_>)> = Vec::with_capacity(32);
        let texts = [
            ("request_id", record.request_id.as_str()),
            ("upstream_request_id", &record.upstream_request_id),
            ("trace_id", &record.trace_id),
            ("dialect", record.dialect.map_or("", crate::dialects::Dialect::name)),
            ("api", record.api),
            ("method", &record.method),
            ("path", &record.path),
            ("client", &client),
            ("key_id", &record.key_id),
            ("team", &record.team),
            ("model", &record.model),
            ("target", &record.target),
            ("usage_source", record.usage.map_or("", |_| record.usage_source.name())),
            ("outcome", record.outcome.name()),
            ("error", record.error.map_or("", crate::error::Code::name)),
        ];
        fields.extend(
            texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, Value::Text(text))),
        );
        let phases = &record.phases;
        let numbers = [
            ("status", record.status.map(u64::from)),
            ("started_utc_us", Some(record.started_utc_us)),
            ("admitted_boottime_us", record.admitted_boottime_us),
            ("queued_us", record.queued_us),
            ("head_us", Some(phases.head_us)),
            ("body_wait_us", Some(phases.body_wait_us)),
            ("route_us", phases.route_us),
            ("lease_us", phases.lease_us),
            ("connect_us", phases.connect_us),
            ("first_byte_us", phases.first_byte_us),
            ("total_us", Some(phases.total_us)),
            ("overhead_us", record.overhead_us),
            ("charged_tokens", record.charged_tokens),
            ("charged_nanousd", record.charged_nanousd),
            ("received_bytes", Some(record.received_bytes)),
            ("sent_bytes", Some(record.sent_bytes)),
        ];
        fields.extend(numbers.into_iter().filter_map(|(name, number)| Some((name, Value::Number(number?)))));
        let nested = [
            ("attempts", Some(&attempts)),
            ("usage", usage.as_ref()),
            ("stream", stream.as_ref()),
            ("tags", tags.as_ref()),
            ("limits", limits.as_ref()),
        ];
        fields.extend(nested.into_iter().filter_map(|(name, json)| Some((name, Value::Json(json?)))));
        let fields: Vec<(&str, &dyn Field)> = fields.iter().map(|(name, value)| (*name, value as &dyn Field)).collect();
        self.line(level, "request", &fields);
    }
}

fn attempts(attempts: &[AttemptRecord]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, attempt) in attempts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"provider\":");
        json_text(&mut out, &attempt.provider.name);
        out.extend_from_slice(b",\"model\":");
        json_text(&mut out, &attempt.model);
        let _ = match attempt.result {
            AttemptResult::Status(status) => write!(out, ",\"status\":{status}"),
            AttemptResult::Failed(code) | AttemptResult::Skipped(code) => write!(out, ",\"code\":\"{code}\""),
            AttemptResult::GivenUp => write!(out, ",\"code\":\"{GIVEN_UP}\""),
        };
        let _ = write!(out, ",\"us\":{}}}", attempt.us);
    }
    out.push(b']');
    out
}

fn tags(tags: &Tagged) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (index, (name, text)) in tags.pairs().enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        json_text(&mut out, name);
        out.push(b':');
        json_text(&mut out, text);
    }
    out.push(b'}');
    out
}

fn limits(met: Met) -> Vec<u8> {
    let names: Vec<_> = met.names().collect();
    format!("[\"{}\"]", names.join("\",\"")).into_bytes()
}

fn usage(usage: &Usage) -> Vec<u8> {
    object(&[
        ("prompt_tokens", Some(usage.prompt_tokens)),
        ("completion_tokens", Some(usage.completion_tokens)),
        ("cached_tokens", Some(usage.cached_tokens)),
        ("cache_write_tokens", Some(usage.cache_write_tokens)),
        ("reasoning_tokens", Some(usage.reasoning_tokens)),
        ("audio_tokens", Some(usage.audio_tokens)),
        ("image_tokens", Some(usage.image_tokens)),
    ])
}

fn stream(facts: &StreamFacts) -> Vec<u8> {
    object(&[
        ("first_token_us", facts.first_token_us),
        ("frames", Some(facts.frames)),
        ("longest_gap_us", Some(facts.longest_gap_us)),
    ])
}

/// A JSON object of numbers; what is `None` is left out.
fn object(numbers: &[(&str, Option<u64>)]) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (name, number) in numbers {
        if let Some(number) = number {
            let comma = if out.len() > 1 { "," } else { "" };
            let _ = write!(out, "{comma}\"{name}\":{number}");
        }
    }
    out.push(b'}');
    out
}
