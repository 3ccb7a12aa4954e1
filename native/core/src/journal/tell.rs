//! What the writer itself has to say in the journal, as payloads: `[form, …]`.

use super::{Lost, facts::Why, pack::Pack, space::Removal};

/// The form of these payloads; fields are only ever added at the end.
const FORM: u64 = 1;

pub(super) fn gap(lost: &Lost, why: Why, out: &mut Vec<u8>) {
    let mut pack = Pack::new(out);
    pack.list(6);
    [FORM, lost.entries, lost.bytes, lost.first_us, lost.last_us].into_iter().for_each(|number| pack.number(number));
    pack.text(why.name());
}

pub(super) fn removed(removal: &Removal, why: Why, now_us: u64, out: &mut Vec<u8>) {
    let mut pack = Pack::new(out);
    pack.list(8);
    pack.number(FORM);
    pack.text(&removal.instance);
    [removal.file.number, removal.first, removal.last.sequence].into_iter().for_each(|number| pack.number(number));
    pack.text(&hex(&removal.last.hash));
    pack.text(why.name());
    pack.number(now_us);
}

pub(super) fn end(now_us: u64, out: &mut Vec<u8>) {
    let mut pack = Pack::new(out);
    pack.list(2);
    pack.number(FORM);
    pack.number(now_us);
}

pub(super) fn hex(hash: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}
