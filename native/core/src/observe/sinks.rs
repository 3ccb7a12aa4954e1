//! What Python says of sinks, in Prometheus's text format.

use serde::Deserialize;

use super::render::Page;

/// How one sink does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkFacts {
    pub name: String,
    /// Given to it.
    pub records: u64,
    /// Not given to it: it was too slow for them, or they were gone.
    pub skipped: u64,
    /// Times that it did not take what it was given.
    pub failures: u64,
    /// Age of the oldest record that it is being given.
    pub lag_us: u64,
}

type Count = fn(&SinkFacts) -> u64;

/// Appends what is known of sinks; nothing where there are none.
pub fn render(sinks: &[SinkFacts], out: &mut Vec<u8>) {
    if sinks.is_empty() {
        return;
    }
    let mut page = Page(out);
    let counts: [(&str, &str, Count); 3] = [
        ("penstock_sink_records_total", "Records that a sink took.", |sink| sink.records),
        ("penstock_sink_skipped_records_total", "Records that a sink was not given.", |sink| sink.skipped),
        ("penstock_sink_failures_total", "Times that a sink did not take records.", |sink| sink.failures),
    ];
    for (name, help, count) in counts {
        page.family(name, "counter", help);
        for sink in sinks {
            page.sample(name, &[("sink", &sink.name)], count(sink));
        }
    }
    let name = "penstock_sink_lag_seconds";
    page.family(name, "gauge", "Age of the oldest record that a sink has before it.");
    for sink in sinks {
        page.sample_seconds(name, &[("sink", &sink.name)], sink.lag_us);
    }
}
