//! Liveness and readiness, answered without Python.

use super::shared::{Shared, Stage};

/// Status and JSON body for a health path; `None` if `path` is none.
pub fn answer(shared: &Shared, path: &str) -> Option<(u16, String)> {
    match path {
        "/health/live" | "/livez" | "/health/liveliness" => Some((200, r#"{"status":"alive"}"#.into())),
        "/health/ready" | "/readyz" | "/health/readiness" => Some(ready(shared)),
        _ => None,
    }
}

/// 503 only while starting without a snapshot or while draining: an outage of a store must not empty a load balancer.
fn ready(shared: &Shared) -> (u16, String) {
    match shared.stage() {
        Stage::Starting => (503, r#"{"status":"starting"}"#.into()),
        Stage::Draining | Stage::Closing => (503, r#"{"status":"draining"}"#.into()),
        Stage::Serving => {
            let reasons = shared.troubles();
            if reasons.is_empty() {
                (200, r#"{"status":"ready"}"#.into())
            } else {
                (200, serde_json::json!({"status": "degraded", "reasons": reasons}).to_string())
            }
        }
    }
}
