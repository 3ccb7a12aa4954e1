//! Records on their way into the journal: packed once; refusals that repeat themselves are counted together.

use std::{cell::RefCell, collections::HashMap};

use super::shared::Shared;
use crate::{
    content::Content,
    error::Code,
    journal::{Journal, Kind, entry::MAX_PARTS_BYTES},
    observe::{
        Record,
        record::Outcome,
        record_form::{begin, private, private_with, public},
    },
};

/// Kinds of refusal that are counted together at a time; what comes beyond is recorded one by one.
const MOST_KINDS: usize = 256;

/// What stands in a private part beside texts: an address, an end user, notes, lengths.
const PRIVATE_BYTES: usize = 512;

/// What one worker has packed, and counted since the last second.
#[derive(Default)]
pub struct Audit {
    packed: RefCell<(Vec<u8>, Vec<u8>)>,
    repeats: RefCell<HashMap<(Code, String), Repeats>>,
}

/// Refusals that are alike: one key, one error.
struct Repeats {
    /// How many came after the first.
    count: u64,
    /// What they have in common, and the sum of their bytes.
    record: Record,
}

impl Audit {
    /// Takes the record of a request that reached authentication. The ticket of its entry; `None`: it is counted with
    /// others, or there is no room or no journal.
    pub fn record(&self, shared: &Shared, record: &Record) -> Option<u64> {
        let journal = shared.journal().filter(|_| record.number > 0)?;
        if self.is_repeat(record) {
            return None;
        }
        self.append(journal, record, 1)
    }

    /// A stream begins.
    pub fn begin(&self, shared: &Shared, record: &Record, request_id: &str) {
        let Some(journal) = shared.journal().filter(|_| record.number > 0) else { return };
        let (open, hidden) = &mut *self.packed.borrow_mut();
        open.clear();
        hidden.clear();
        begin(record, request_id, open);
        private(record, hidden);
        journal.append(Kind::Begin, open, hidden);
    }

    /// Once a second, and at the end: what was counted together becomes one record each.
    pub fn tick(&self, shared: &Shared) {
        let Some(journal) = shared.journal() else { return };
        for (_, mut repeats) in self.repeats.borrow_mut().drain() {
            if repeats.count > 0 {
                repeats.record.number = journal.number();
                self.append(journal, &repeats.record, repeats.count);
            }
        }
    }

    fn append(&self, journal: &Journal, record: &Record, count: u64) -> Option<u64> {
        let (open, hidden) = &mut *self.packed.borrow_mut();
        open.clear();
        hidden.clear();
        public(record, count, open);
        match &record.content {
            Some(content) => self::content(journal, record, content, open.len(), hidden),
            None => private(record, hidden),
        }
        journal.append(Kind::Record, open, hidden)
    }

    /// Whether this is a 401 or 429 of ours like another within the same second.
    fn is_repeat(&self, record: &Record) -> bool {
        let Some(code) = record.error.filter(|code| matches!(code.status(), 401 | 429)) else { return false };
        // What was let in may have cost something, or been sent somewhere.
        let was_let_in = record.admitted_boottime_us.is_some() || record.tried().next().is_some();
        if record.outcome != Outcome::Complete || was_let_in {
            return false;
        }
        let mut all = self.repeats.borrow_mut();
        let is_full = all.len() >= MOST_KINDS;
        let kind = (code, record.key_id.clone());
        let Some(known) = all.get_mut(&kind) else {
            if !is_full {
                all.insert(kind, Repeats { count: 0, record: Record::default() });
            }
            return false;
        };
        if known.count == 0 {
            known.record = Record {
                started_utc_us: record.started_utc_us,
                key_id: record.key_id.clone(),
                team: record.team.clone(),
                status: record.status,
                outcome: record.outcome,
                error: record.error,
                tags: record.tags.clone(),
                ..Record::default()
            };
        }
        known.count += 1;
        known.record.received_bytes += record.received_bytes;
        known.record.sent_bytes += record.sent_bytes;
        true
    }
}

/// Packs a private part with texts: cut to what an entry holds behind `public` bytes; without them where the journal has no
/// room to spare, as records themselves go first.
fn content(journal: &Journal, record: &Record, content: &Content, public: usize, hidden: &mut Vec<u8>) {
    let most = MAX_PARTS_BYTES.saturating_sub(public + PRIVATE_BYTES);
    if content.text_bytes() > most {
        private_with(record, &content.cut(most), hidden);
    } else {
        private_with(record, content, hidden);
    }
    if !journal.has_spare(public + hidden.len()) {
        hidden.clear();
        private_with(record, &content.left_out(), hidden);
    }
}
