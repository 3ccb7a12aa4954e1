//! Metrics as Prometheus reads them: text format 0.0.4.

use std::io::Write;

use super::{
    histogram::{FIRST_TOKEN, LAG, LEASE_WAIT, OVERHEAD, Totals, WAIT},
    limits::POLICIES,
    metrics::{Auth, DIALECTS, FIRST_STATUS, Gauges, Listener, Metrics, SharedGauges, request_index, statuses},
    provider::{REASONS, reason_name},
    record::Outcome,
};
use crate::{
    limits,
    questions::{Counts, Kind, Outcome as Answer},
};

/// `Content-Type` of what `render` writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn render(metrics: &Metrics, gauges: &Gauges, questions: &Counts, out: &mut Vec<u8>) {
    let mut page = Page(out);
    requests(metrics, &mut page);
    histograms(metrics, &mut page);
    providers(metrics, &mut page);
    connections(metrics, gauges, &mut page);
    page.family("penstock_questions_total", "counter", "Questions to Python, by how they ended.");
    for kind in Kind::ALL {
        for answer in Answer::ALL {
            let labels = [("kind", kind.name()), ("result", answer.name())];
            page.sample("penstock_questions_total", &labels, questions.get(kind, answer));
        }
    }
    keys(metrics, gauges, &mut page);
    limits(metrics, gauges, &mut page);
    if let Some(with) = &gauges.shared {
        shared_limits(metrics, with, &mut page);
    }
    process(metrics, gauges, &mut page);
}

fn keys(metrics: &Metrics, gauges: &Gauges, page: &mut Page<'_>) {
    page.family("penstock_auth_total", "counter", "Requests by what came of their key.");
    for auth in Auth::ALL {
        let count = metrics.sum(|shard| &shard.auth[auth as usize]);
        page.sample("penstock_auth_total", &[("result", auth.name())], count);
    }
    page.single("penstock_keys", "gauge", "Keys in the table.", gauges.keys);
    let current = gauges.keys_current;
    page.single("penstock_keys_current", "gauge", "1 while the table is known to hold every key.", current);
}

fn limits(metrics: &Metrics, gauges: &Gauges, page: &mut Page<'_>) {
    let name = "penstock_limit_refusals_total";
    page.family(name, "counter", "Requests that a limit refused, and targets skipped at a provider's.");
    for (place, scope) in limits::Scope::NAMES.iter().enumerate() {
        for kind in limits::Kind::ALL {
            let refused = metrics.sum(|shard| shard.limits.get(place, kind));
            page.sample(name, &[("scope", scope), ("kind", kind.name())], refused);
        }
    }
    let wait = Totals::of(WAIT, metrics.shards.iter().map(|shard| &shard.limit_wait));
    page.family("penstock_limit_wait_seconds", "histogram", "How long requests that queued waited for a slot.");
    page.histogram("penstock_limit_wait_seconds", "", &wait);
    page.single("penstock_limit_cells", "gauge", "Scopes of which limits count something.", gauges.limit_cells);
    let unpriced = metrics.sum(|shard| &shard.unpriced);
    let help = "Requests whose cost is not known: of targets without a price.";
    page.single("penstock_unpriced_requests_total", "counter", help, unpriced);
}

fn shared_limits(metrics: &Metrics, with: &SharedGauges, page: &mut Page<'_>) {
    let help = "1 while the counts of limits that nodes share can be asked.";
    page.single("penstock_shared_up", "gauge", help, with.up);
    page.single("penstock_shared_nodes", "gauge", "Nodes that share limits; 0: not known.", with.nodes);
    let name = "penstock_lease_asks_total";
    page.family(name, "counter", "Asks for leases of shared limits, by how they ended.");
    for result in limits::LeaseResult::ALL {
        page.sample(name, &[("result", result.name())], metrics.sum(|shard| shard.shared.asks(result)));
    }
    let wait = Totals::of(LEASE_WAIT, metrics.shards.iter().map(|shard| &shard.shared.wait));
    page.family(
        "penstock_lease_wait_seconds",
        "histogram",
        "How long requests that were short of leases waited for them.",
    );
    page.histogram("penstock_lease_wait_seconds", "", &wait);
    let name = "penstock_away_requests_total";
    page.family(name, "counter", "Requests that were judged without Redis, by policy.");
    for policy in POLICIES {
        page.sample(name, &[("policy", policy.name())], metrics.sum(|shard| shard.shared.away(policy)));
    }
}

fn requests(metrics: &Metrics, page: &mut Page<'_>) {
    page.family("penstock_requests_total", "counter", "Finished requests by dialect and status; 499: the client left.");
    for (dialect, name) in DIALECTS.iter().enumerate() {
        for status in statuses() {
            let count = metrics.sum(|shard| &shard.requests[request_index(dialect, status)]);
            if count > 0 {
                let code = (FIRST_STATUS + status).to_string();
                page.sample("penstock_requests_total", &[("dialect", name), ("code", &code)], count);
            }
        }
    }
    page.family("penstock_answers_total", "counter", "Finished requests by how the answer ended.");
    for outcome in Outcome::ALL {
        let count = metrics.sum(|shard| &shard.outcomes[outcome as usize]);
        page.sample("penstock_answers_total", &[("outcome", outcome.name())], count);
    }
    page.single("penstock_requests_in_flight", "gauge", "Requests being served.", metrics.requests_in_flight());
    let bytes = metrics.sum(|shard| &shard.received_bytes);
    page.single("penstock_received_bytes_total", "counter", "Bytes of finished requests, heads and bodies.", bytes);
    let bytes = metrics.sum(|shard| &shard.sent_bytes);
    page.single("penstock_sent_bytes_total", "counter", "Bytes of their answers, heads and bodies.", bytes);
}

fn histograms(metrics: &Metrics, page: &mut Page<'_>) {
    let overhead = Totals::of(OVERHEAD, metrics.shards.iter().map(|shard| &shard.overhead));
    page.family("penstock_overhead_seconds", "histogram", "What Penstock added before the first byte of the answer.");
    page.histogram("penstock_overhead_seconds", "", &overhead);
    let first_token = Totals::of(FIRST_TOKEN, metrics.shards.iter().map(|shard| &shard.first_token));
    page.family("penstock_first_token_seconds", "histogram", "Request to first model frame of streamed answers.");
    page.histogram("penstock_first_token_seconds", "", &first_token);
    page.family("penstock_event_loop_lag_seconds", "histogram", "How late an event loop came to what was due.");
    let native = Totals::of(LAG, metrics.shards.iter().map(|shard| &shard.lag));
    page.histogram("penstock_event_loop_lag_seconds", "loop=\"native\"", &native);
    let python = Totals::of(LAG, std::iter::once(&metrics.python_lag));
    page.histogram("penstock_event_loop_lag_seconds", "loop=\"python\"", &python);
}

fn providers(metrics: &Metrics, page: &mut Page<'_>) {
    let names = metrics.names.all();
    let total = |number: usize, reason: Option<usize>| {
        let counters = metrics.shards.iter().filter_map(|shard| shard.providers.get(number));
        counters
            .map(|counters| reason.map_or(&counters.attempts, |reason| &counters.errors[reason]))
            .map(|count| count.load(std::sync::atomic::Ordering::Relaxed))
            .sum::<u64>()
    };
    // Number 0 is what did not get a number of its own: shown only once it was used.
    let shown = |number: usize| number > 0 || total(0, None) > 0;
    page.family("penstock_attempts_total", "counter", "Attempts at each provider.");
    for (number, name) in names.iter().enumerate().filter(|(number, _)| shown(*number)) {
        page.sample("penstock_attempts_total", &[("provider", name)], total(number, None));
    }
    page.family("penstock_upstream_errors_total", "counter", "Attempts that failed, by provider and reason.");
    for (number, name) in names.iter().enumerate() {
        for reason in 0..REASONS {
            let count = total(number, Some(reason));
            if count > 0 {
                let labels = [("provider", &**name), ("reason", reason_name(reason))];
                page.sample("penstock_upstream_errors_total", &labels, count);
            }
        }
    }
}

fn connections(metrics: &Metrics, gauges: &Gauges, page: &mut Page<'_>) {
    page.family("penstock_connections", "gauge", "Open connections of clients.");
    for (listener, name) in [(Listener::Data, "data"), (Listener::Admin, "admin")] {
        page.sample("penstock_connections", &[("listener", name)], metrics.open_connections(listener));
    }
    let refused = metrics.sum(|shard| &shard.refused);
    page.single("penstock_connections_refused_total", "counter", "Connections turned away at a bound.", refused);
    page.family("penstock_upstream_connections", "gauge", "Connections to providers.");
    page.sample("penstock_upstream_connections", &[("state", "idle")], gauges.upstream_idle);
    page.sample("penstock_upstream_connections", &[("state", "in_use")], gauges.upstream_in_use);
    page.single("penstock_upstream_queue", "gauge", "Attempts that wait for a connection.", gauges.upstream_queue);
}

fn process(metrics: &Metrics, gauges: &Gauges, page: &mut Page<'_>) {
    page.single("penstock_buffered_bytes", "gauge", "Bytes held for requests in flight.", gauges.buffered_bytes);
    page.single("penstock_tasks", "gauge", "Tasks alive on all workers.", gauges.tasks);
    let panics = metrics.sum(|shard| &shard.panics);
    page.single("penstock_panics_total", "counter", "Tasks that panicked and were contained.", panics);
    let dropped = gauges.log_lines_dropped;
    page.single("penstock_log_lines_dropped_total", "counter", "Log lines that standard error did not take.", dropped);
    page.single("penstock_snapshot_revision", "gauge", "Revision of the configuration.", gauges.snapshot_revision);
    page.family("penstock_build_info", "gauge", "The version that runs; always 1.");
    page.sample("penstock_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
}

/// What is written so far. Writing to a `Vec` cannot fail, so results are dropped.
pub(super) struct Page<'a>(pub(super) &'a mut Vec<u8>);

impl Page<'_> {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.named(name, labels);
        let _ = writeln!(self.0, "{value}");
    }

    /// A single value in seconds.
    pub(super) fn seconds(&mut self, name: &str, us: u64) {
        self.sample_seconds(name, &[], us);
    }

    pub(super) fn sample_seconds(&mut self, name: &str, labels: &[(&str, &str)], us: u64) {
        self.named(name, labels);
        let _ = writeln!(self.0, "{}.{:06}", us / 1_000_000, us % 1_000_000);
    }

    fn named(&mut self, name: &str, labels: &[(&str, &str)]) {
        self.0.extend_from_slice(name.as_bytes());
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if index == 0 { '{' } else { ',' });
            self.escaped(text);
            self.0.push(b'"');
        }
        self.0.extend_from_slice(if labels.is_empty() { b" " } else { b"} " });
    }

    /// `label` is ready to stand inside the braces, or empty.
    pub(super) fn histogram(&mut self, name: &str, label: &str, totals: &Totals) {
        let comma = if label.is_empty() { "" } else { "," };
        for (bound, count) in totals.bounds.iter().zip(&totals.cumulative) {
            let _ = writeln!(self.0, "{name}_bucket{{{label}{comma}le=\"{}\"}} {count}", bound.seconds);
        }
        let _ = writeln!(self.0, "{name}_bucket{{{label}{comma}le=\"+Inf\"}} {}", totals.count());
        let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        let (whole, rest) = (totals.sum_us / 1_000_000, totals.sum_us % 1_000_000);
        let _ = writeln!(self.0, "{name}_sum{braces} {whole}.{rest:06}");
        let _ = writeln!(self.0, "{name}_count{braces} {}", totals.count());
    }

    fn escaped(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'\\' => self.0.extend_from_slice(b"\\\\"),
                b'"' => self.0.extend_from_slice(b"\\\""),
                b'\n' => self.0.extend_from_slice(b"\\n"),
                other => self.0.push(other),
            }
        }
    }
}
