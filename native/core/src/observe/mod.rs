//! What can be seen from outside: records, metrics, log lines.

pub mod histogram;
pub mod journal;
mod limits;
pub mod log;
mod log_line;
pub mod metrics;
pub mod provider;
pub mod record;
pub mod record_form;
mod record_log;
pub mod record_read;
pub mod record_settled;
mod render;
mod repeats;
pub mod row_form;
pub mod rows;
pub mod sinks;

pub use self::{
    log::{Log, LogOptions},
    metrics::{Gauges, Listener, Metrics, Shard, SharedGauges},
    provider::Provider,
    record::{Consumer, Record},
    render::CONTENT_TYPE as METRICS_CONTENT_TYPE,
};
