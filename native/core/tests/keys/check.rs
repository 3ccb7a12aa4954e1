//! What a credential comes to, by what the table knows.

use penstock_core::{
    error::Code,
    keys::{Checked, Credential, Digest, Refusal, Table},
};
use serde_json::{Value, json};

use crate::made::{DIGESTS, hex, own, put, row, team, with};

const ID: &str = "abcdefghijkl";
const NOW_US: u64 = 1_000_000_000;

/// `known`, `unverified`, or why not.
fn check(table: &Table, credential: &str) -> Result<bool, Refusal> {
    check_at(table, credential, NOW_US)
}

fn check_at(table: &Table, credential: &str, now_us: u64) -> Result<bool, Refusal> {
    match table.check(&Credential::read(credential.as_bytes()).unwrap(), &DIGESTS, now_us) {
        Checked::Known { .. } => Ok(true),
        Checked::Unverified(digest) => {
            assert_eq!(Some(digest), Digest::parse(&hex(credential)));
            Ok(false)
        }
        Checked::Refused(refusal) => Err(refusal),
    }
}

fn secret(generation: u32, until_us: Option<u64>, credential: Option<&str>) -> Value {
    json!({"generation": generation, "until_us": until_us, "digest": credential.map(hex)})
}

/// A table with one key, all of whose fields can be given.
fn table(fields: &Value) -> Table {
    let table = Table::default();
    table.set_current(true);
    put(&table, &json!({"keys": [with(row(ID, 10), fields)]}));
    table
}

#[test]
fn a_verified_secret_is_known_and_another_is_wrong_at_once() {
    let (right, wrong) = (own(ID, 'a'), own(ID, 'b'));
    let table = table(&json!({"secrets": [secret(1, None, Some(&right))]}));
    assert_eq!(check(&table, &right), Ok(true));
    assert_eq!(check(&table, &wrong), Err(Refusal::Wrong));
}

#[test]
fn while_changes_may_be_missing_another_secret_may_be_a_new_one() {
    let (right, other) = (own(ID, 'a'), own(ID, 'b'));
    let table = table(&json!({"secrets": [secret(1, None, Some(&right))]}));
    table.set_current(false);
    assert_eq!((check(&table, &right), check(&table, &other)), (Ok(true), Err(Refusal::Away)));
}

#[test]
fn a_foreign_secret_is_known_under_the_id_of_its_hash() {
    let secret_text = format!("sk-litellm-{}", "q".repeat(40));
    let table = Table::default();
    put(
        &table,
        &json!({"keys": [with(row("ZnKvmL8xQHov", 1), &json!({"secrets": [secret(1, None, Some(&secret_text))]}))]}),
    );
    assert_eq!(check(&table, &secret_text), Ok(true));
}

#[test]
fn a_secret_without_digest_leaves_the_question_open_unless_another_is_right() {
    let (first, second) = (own(ID, 'a'), own(ID, 'b'));
    let table = table(&json!({"secrets": [secret(1, None, Some(&first)), secret(2, None, None)]}));
    assert_eq!((check(&table, &first), check(&table, &second)), (Ok(true), Ok(false)));
    put(&table, &json!({"digests": [{"key": ID, "generation": 2, "digest": hex(&second)}]}));
    assert_eq!((check(&table, &first), check(&table, &second)), (Ok(true), Ok(true)));
    assert_eq!(check(&table, &own(ID, 'c')), Err(Refusal::Wrong));
}

#[test]
fn a_secret_counts_until_its_time_and_not_at_it() {
    let (old, new) = (own(ID, 'a'), own(ID, 'b'));
    let table = table(&json!({"secrets": [secret(1, Some(NOW_US), Some(&old)), secret(2, None, Some(&new))]}));
    assert_eq!(check_at(&table, &old, NOW_US - 1), Ok(true));
    assert_eq!(check_at(&table, &old, NOW_US), Err(Refusal::Wrong));
    assert_eq!(check_at(&table, &new, NOW_US), Ok(true));
}

#[test]
fn an_outdated_secret_that_was_never_shown_asks_nothing() {
    let table = table(&json!({"secrets": [secret(1, Some(NOW_US), None)]}));
    assert_eq!(check(&table, &own(ID, 'a')), Err(Refusal::Wrong));
    let table = self::table(&json!({"secrets": []}));
    assert_eq!(check(&table, &own(ID, 'a')), Err(Refusal::Wrong));
}

#[test]
fn an_unknown_id_is_refused_only_while_every_key_is_known() {
    let table = Table::default();
    assert_eq!(check(&table, &own(ID, 'a')), Err(Refusal::Away));
    table.set_current(true);
    assert_eq!(check(&table, &own(ID, 'a')), Err(Refusal::Unknown));
    table.set_current(false);
    put(&table, &json!({"keys": [with(row(ID, 1), &json!({"state": "deleted"}))]}));
    assert_eq!(check(&table, &own(ID, 'a')), Err(Refusal::Unknown), "a deletion is known");
}

#[test]
fn a_known_key_goes_on_while_the_table_is_not_current() {
    let right = own(ID, 'a');
    let table = table(&json!({"secrets": [secret(1, None, Some(&right))]}));
    table.set_current(false);
    assert_eq!(check(&table, &right), Ok(true));
}

#[test]
fn only_the_holder_hears_that_a_key_is_disabled_or_has_expired() {
    let (right, wrong) = (own(ID, 'a'), own(ID, 'b'));
    let secrets = json!([secret(1, None, Some(&right))]);
    for (fields, refusal) in [
        (json!({"state": "disabled", "secrets": secrets}), Refusal::Disabled),
        (json!({"expires_us": NOW_US, "secrets": secrets}), Refusal::Expired),
    ] {
        let table = table(&fields);
        assert_eq!((check(&table, &right), check(&table, &wrong)), (Err(refusal), Err(Refusal::Wrong)));
    }
    let table = table(&json!({"expires_us": NOW_US + 1, "secrets": secrets}));
    assert_eq!(check(&table, &right), Ok(true));
}

#[test]
fn a_key_follows_its_team() {
    let right = own(ID, 'a');
    let table = table(&json!({"team": "t1", "secrets": [secret(1, None, Some(&right))]}));
    assert_eq!(check(&table, &right), Err(Refusal::Away), "what the team allows is not known");
    for (fields, result) in [
        (json!({"version": 1}), Ok(true)),
        (json!({"version": 2, "state": "disabled"}), Err(Refusal::Disabled)),
        (json!({"version": 1}), Err(Refusal::Disabled)),
        (json!({"version": 3}), Ok(true)),
        (json!({"version": 4, "state": "deleted"}), Err(Refusal::Disabled)),
    ] {
        put(&table, &json!({"teams": [with(team("t1", 1), &fields)]}));
        assert_eq!(check(&table, &right), result, "{fields}");
    }
}

#[test]
fn each_refusal_has_its_code_and_only_the_passing_one_a_time_to_wait() {
    for (refusal, code) in [
        (Refusal::Unknown, Code::InvalidApiKey),
        (Refusal::Wrong, Code::InvalidApiKey),
        (Refusal::Disabled, Code::KeyDisabled),
        (Refusal::Expired, Code::KeyExpired),
        (Refusal::Away, Code::StoreUnavailable),
    ] {
        let error = refusal.error();
        assert_eq!((error.code, error.retry_after_ms.is_some()), (code, refusal == Refusal::Away));
    }
    assert_eq!(Refusal::Unknown.error(), Refusal::Wrong.error(), "who guesses is not told that an id exists");
}
