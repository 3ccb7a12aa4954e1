//! Credentials and batches of rows: no input breaks them, and a batch means the same the second time.

use penstock_core::keys::{Batch, Credential, Digests, Table, format};

/// The first byte chooses: a credential follows, or a batch.
pub fn keys(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    if first & 1 == 0 { credential(rest) } else { batch(rest) }
}

fn credential(text: &[u8]) {
    let Ok(credential) = Credential::read(text) else { return };
    assert_eq!(credential.text(), text);
    assert_eq!(credential.is_whole(), format::key_id(text) == Ok(credential.id));
    assert!(!credential.is_whole() || text.iter().all(u8::is_ascii_graphic), "it crosses as text");
    if format::is_own(text) && credential.is_whole() {
        let (body, sum) = text.split_at(text.len() - 6);
        assert_eq!(format::checksum(body), sum);
        assert_eq!(&body[7..19], credential.id.as_str().as_bytes());
    }
    Table::default().check(&credential, &Digests::new([0; 32]), 0);
}

fn batch(json: &[u8]) {
    let (Ok(first), Ok(second)) = (Batch::decode(json), Batch::decode(json)) else { return };
    let table = Table::default();
    table.put(first);
    let before = (table.len(), table.accesses(), table.policies());
    table.put(second);
    assert_eq!((table.len(), table.accesses(), table.policies()), before);
    assert_eq!(table.used(), b"{}");
}
