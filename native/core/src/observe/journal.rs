//! The journal in Prometheus's text format.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    histogram::{SYNC, Totals},
    render::Page,
};
use crate::journal::Journal;

/// Appends what a journal tells of itself.
pub fn render(journal: &Journal, out: &mut Vec<u8>) {
    let facts = journal.facts();
    let mut page = Page(out);
    for (name, help, count) in [
        ("penstock_journal_records_total", "Records written to the journal.", &facts.records),
        ("penstock_journal_bytes_total", "Bytes written to the journal.", &facts.bytes),
        ("penstock_journal_failures_total", "Writes and fsyncs of the journal that failed.", &facts.failures),
        ("penstock_journal_segments_removed_total", "Segments that were removed.", &facts.removed),
    ] {
        page.single(name, "counter", help, count.load(Relaxed));
    }
    page.family("penstock_journal_dropped_total", "counter", "Entries that found no room, in memory or on disk.");
    for (reason, count) in [("memory", &facts.lost_memory), ("disk", &facts.lost_disk)] {
        page.sample("penstock_journal_dropped_total", &[("reason", reason)], count.load(Relaxed));
    }
    let held = journal.held_bytes() as u64;
    page.single("penstock_journal_held_bytes", "gauge", "Bytes of entries that are not known to be on disk.", held);
    let disk = facts.disk_bytes.load(Relaxed);
    page.single("penstock_journal_disk_bytes", "gauge", "Bytes of this and of orphaned journals.", disk);
    let lag_us = journal.lag_us();
    page.family("penstock_journal_lag_seconds", "gauge", "Age of the oldest entry that is not known to be on disk.");
    page.seconds("penstock_journal_lag_seconds", lag_us);
    let works = u64::from(journal.trouble().is_none());
    page.single("penstock_journal_up", "gauge", "0 while the journal is full or cannot be written.", works);
    if journal.is_pinned() {
        shipping(journal, &mut page);
    }
    page.family(
        "penstock_journal_fsync_seconds",
        "histogram",
        "How long it takes until what was written to the journal lasts, as far as that is measured.",
    );
    page.histogram("penstock_journal_fsync_seconds", "", &Totals::of(SYNC, std::iter::once(&facts.sync)));
}

fn shipping(journal: &Journal, page: &mut Page<'_>) {
    let facts = journal.facts();
    for (name, help, count) in [
        ("penstock_shipped_records_total", "Records that the store has taken from here.", &facts.shipped),
        ("penstock_ship_failures_total", "Tries to give records to the store that failed.", &facts.ship_failures),
    ] {
        page.single(name, "counter", help, count.load(Relaxed));
    }
    let help = "Age of the oldest record that the store is known to lack; 0: none.";
    page.family("penstock_ship_lag_seconds", "gauge", help);
    let oldest_us = facts.unshipped_us.load(Relaxed);
    let lag_us = if oldest_us == 0 { 0 } else { journal.utc_us().saturating_sub(oldest_us) };
    page.seconds("penstock_ship_lag_seconds", lag_us);
}
