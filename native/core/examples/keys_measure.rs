//! How long a known key takes to check among 100,000, in nanoseconds: one of our own, a foreign one, on one thread and two.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::{hint::black_box, sync::Arc, thread};

use penstock_core::{
    clock::Clock,
    keys::{Batch, Checked, Credential, Digests, Table, format},
};
use serde_json::json;

const KEYS: usize = 100_000;
const ROUNDS: u64 = 300_000;

fn own(n: usize) -> String {
    let text = format!("sk-pen-{n:012}-{}", "a".repeat(43));
    let sum = format::checksum(text.as_bytes());
    text + &String::from_utf8_lossy(&sum)
}

fn foreign(n: usize) -> String {
    format!("sk-litellm-{n:040}")
}

/// Nanoseconds of one round, the best of five.
fn per_round(mut work: impl FnMut(u64)) -> u64 {
    let clock = Clock::System;
    let best = (0..5).map(|_| {
        let start = clock.boot_us();
        (0..ROUNDS).for_each(&mut work);
        (clock.boot_us() - start) * 1_000 / ROUNDS
    });
    best.min().unwrap_or(0)
}

fn check(table: &Table, digests: &Digests, credential: &str) -> bool {
    let now_us = Clock::System.utc_us();
    let credential = Credential::read(credential.as_bytes());
    credential.is_ok_and(|credential| matches!(table.check(&credential, digests, now_us), Checked::Known { .. }))
}

fn main() {
    let digests = Digests::new([7; 32]);
    let (owns, foreigns): (Vec<_>, Vec<_>) = (0..KEYS / 2).map(|n| (own(n), foreign(n))).unzip();
    let rows: Vec<_> = owns
        .iter()
        .chain(&foreigns)
        .filter_map(|key| {
            let id = format::key_id(key.as_bytes()).ok()?;
            let digest = digests.digest(key.as_bytes()).hex();
            Some(json!({
                "id": id.as_str(), "version": 1, "state": "active", "team": "t", "access": 0, "limits": null, "tags": null,
                "expires_us": null, "cut_us": null, "secrets": [{"generation": 1, "until_us": null, "digest": digest}],
            }))
        })
        .collect();
    let batch = json!({
        "format": 3, "access": [{"models": ["gpt-*"], "paths": null, "networks": null}], "limits": [], "tags": [],
        "teams": [{"id": "t", "version": 1, "name": "T", "state": "active", "access": 0, "limits": null, "tags": null}],
        "keys": rows, "digests": [], "reset": false, "settled": 0,
    });
    let json = batch.to_string();
    let table = Arc::new(Table::default());
    let clock = Clock::System;
    let start = clock.boot_us();
    let cuts = Batch::decode(json.as_bytes()).map(|batch| table.put(batch));
    let took_ms = (clock.boot_us() - start) / 1_000;
    println!("{} keys put in {took_ms} ms, {} MB of JSON, {cuts:?}", table.len(), json.len() >> 20);
    for (name, keys) in [("own", &owns), ("foreign", &foreigns)] {
        let one = per_round(|_| assert!(black_box(check(&table, &digests, &keys[7]))));
        let spread = |n: u64| check(&table, &digests, &keys[(n * 7_919) as usize % keys.len()]);
        let all = per_round(|n| assert!(black_box(spread(n))));
        let both = thread::scope(|scope| {
            let other = scope.spawn(|| per_round(|_| assert!(black_box(check(&table, &digests, &keys[7])))));
            per_round(|_| assert!(black_box(check(&table, &digests, &keys[7])))).max(other.join().unwrap_or(0))
        });
        println!("{name}: {one} ns for one key, {all} ns for each of all, {both} ns for one key on two threads");
    }
    let unknown = per_round(|_| assert!(!black_box(check(&table, &digests, &own(99_999_999)))));
    println!("unknown, with making its text: {unknown} ns");
}
