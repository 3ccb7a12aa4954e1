//! What 100,000 keys cost in memory. Alone in its process: it counts every allocation.

#![expect(clippy::print_stdout, reason = "its figures are what a reader wants")]

#[path = "support/counting.rs"]
mod counting;

use std::sync::atomic::Ordering::Relaxed;

use counting::HELD;
use penstock_core::keys::{Batch, Table};
use serde_json::json;

const KEYS: usize = 100_000;

#[test]
fn a_hundred_thousand_keys_cost_at_most_200_bytes_each() {
    let table = Table::default();
    let before = HELD.load(Relaxed);
    let digest = "ab".repeat(32);
    // As many batches as a full load would come in; ten kinds of access, two of limits, a hundred teams.
    let access: Vec<_> =
        (0..10).map(|n| json!({"models": [format!("m{n}")], "paths": null, "networks": null})).collect();
    let limits = json!([
        {"requests": [{"amount": 600, "window_us": 60_000_000}], "concurrent": [{"amount": 5}]},
        {"budget": [{"amount": 20_000_000_000_u64, "period": "day"}], "reserve": "cap"},
    ]);
    for from in (0..KEYS).step_by(10_000) {
        let teams: Vec<_> = (0..100)
            .map(|n| {
                json!({
                    "id": format!("team{n}"), "version": 1, "name": "t", "state": "active", "access": 0, "limits": 1, "tags": null, "content": true,
                })
            })
            .collect();
        let keys: Vec<_> = (from..from + 10_000)
            .map(|n| {
                json!({
                    "id": format!("{n:012}"), "version": n, "state": "active", "team": format!("team{}", n % 100),
                    "access": n % 10, "limits": n % 2, "tags": null, "content": true, "expires_us": 1, "cut_us": null,
                    "secrets": [{"generation": 1, "until_us": null, "digest": digest}],
                })
            })
            .collect();
        let batch = json!({
            "format": 4, "access": access, "limits": limits, "tags": [], "teams": teams, "keys": keys, "digests": [], "reset": false, "settled": 0,
        });
        table.put(Batch::decode(&serde_json::to_vec(&batch).unwrap()).unwrap());
    }
    assert_eq!(table.len(), KEYS);
    let each = (HELD.load(Relaxed) - before) / KEYS;
    println!("{each} bytes a key");
    assert!((100..=200).contains(&each), "{each} bytes a key");
}
