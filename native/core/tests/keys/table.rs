//! The table: versions, tombstones, digests that stay, uses that are told once, cuts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use penstock_core::keys::{Checked, Credential, Table, Tagged, table::Cut};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::made::{DIGESTS, decode, empty, hex, key_id, own, put, row, team, with};

const ID: &str = "abcdefghijkl";

fn digests(table: &Table, id: &str) -> Vec<(u32, bool)> {
    let row = table.row(key_id(id)).expect("the key is there");
    row.secrets().iter().map(|s| (s.generation, s.digest.is_some())).collect()
}

fn keys(rows: &[Value]) -> Value {
    json!({ "keys": rows })
}

fn secrets(generations: &[u32]) -> Value {
    let secrets: Vec<_> =
        generations.iter().map(|g| json!({"generation": g, "until_us": null, "digest": null})).collect();
    json!({ "secrets": secrets })
}

fn digest(id: &str, generation: u32) -> Value {
    json!({"digests": [{"key": id, "generation": generation, "digest": hex(&format!("{id}{generation}"))}]})
}

#[test]
fn the_highest_version_stays() {
    let table = Table::default();
    for (version, state, disabled) in
        [(5, "active", false), (4, "disabled", false), (6, "disabled", true), (6, "active", true), (5, "active", true)]
    {
        put(&table, &keys(&[with(row(ID, version), &json!({"state": state}))]));
        assert_eq!(table.row(key_id(ID)).unwrap().disabled, disabled, "version {version}");
    }
    assert_eq!(table.len(), 1);
}

#[test]
fn a_deleted_key_stays_deleted_until_nothing_older_can_come() {
    let table = Table::default();
    put(&table, &keys(&[with(row(ID, 5), &json!({"state": "deleted"}))]));
    put(&table, &keys(&[row(ID, 4)]));
    assert_eq!(table.len(), 0);
    put(&table, &json!({"settled": 4}));
    put(&table, &keys(&[row(ID, 4)]));
    assert_eq!(table.len(), 0, "the deletion is newer than what has settled");
    put(&table, &json!({"settled": 5}));
    put(&table, &keys(&[row(ID, 6)]));
    assert_eq!(table.len(), 1);
}

#[test]
fn a_digest_stays_with_its_generation() {
    let table = Table::default();
    put(&table, &keys(&[row(ID, 1)]));
    put(&table, &digest(ID, 1));
    put(&table, &keys(&[with(row(ID, 2), &secrets(&[1, 2]))]));
    assert_eq!(digests(&table, ID), [(1, true), (2, false)]);
    put(&table, &keys(&[with(row(ID, 3), &secrets(&[2]))]));
    assert_eq!(digests(&table, ID), [(2, false)]);
    put(&table, &digest(ID, 2));
    assert_eq!(digests(&table, ID), [(2, true)]);
}

#[test]
fn a_digest_may_come_before_its_row() {
    let table = Table::default();
    put(&table, &digest(ID, 2));
    put(&table, &keys(&[row(ID, 1)]));
    assert_eq!(digests(&table, ID), [(1, false)]);
    put(&table, &keys(&[with(row(ID, 2), &secrets(&[1, 2]))]));
    assert_eq!(digests(&table, ID), [(1, false), (2, true)]);
}

#[test]
fn digests_of_keys_that_never_come_are_bounded() {
    let table = Table::default();
    let many: Vec<_> =
        (0..40_000).map(|n| json!({"key": format!("{n:012}"), "generation": 1, "digest": hex("x")})).collect();
    put(&table, &json!({ "digests": many }));
    let rows: Vec<_> = (0..40_000).map(|n| row(&format!("{n:012}"), 1)).collect();
    put(&table, &keys(&rows));
    let kept = (0..40_000).filter(|n| digests(&table, &format!("{n:012}"))[0].1).count();
    assert!((1..=64 * 256).contains(&kept), "{kept}");
}

#[test]
fn a_request_keeps_the_row_it_started_with() {
    let table = Table::default();
    put(&table, &keys(&[row(ID, 1)]));
    let held = table.row(key_id(ID)).unwrap();
    put(&table, &digest(ID, 1));
    assert!(held.secrets()[0].digest.is_none() && digests(&table, ID) == [(1, true)]);
    put(&table, &keys(&[with(row(ID, 2), &json!({"state": "deleted"}))]));
    assert_eq!((held.version, table.len()), (1, 0));
}

#[test]
fn a_reset_forgets_every_row_and_takes_the_new_ones_in_one_step() {
    let table = Table::default();
    let other = "mnopqrstuvwx";
    put(&table, &keys(&[row(ID, 9), with(row("deleteddeled", 9), &json!({"state": "deleted"}))]));
    put(&table, &digest(ID, 1));
    put(&table, &json!({"reset": true, "keys": [row(ID, 1), row("deleteddeled", 1), row(other, 1)]}));
    assert_eq!((table.len(), table.row(key_id(ID)).unwrap().version), (3, 1));
    assert_eq!(digests(&table, ID), [(1, false)]);
}

#[test]
fn requests_find_a_key_all_through_a_reset_that_keeps_it() {
    let (table, done) = (Table::default(), AtomicBool::new(false));
    let rows: Vec<_> = (0..2_000).map(|n| row(&format!("{n:012}"), 1)).collect();
    put(&table, &keys(&rows));
    let document = with(empty(), &json!({"reset": true, "keys": rows}));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(SeqCst) {
                assert!(table.row(key_id("000000001234")).is_some());
                looks += 1;
            }
            looks
        });
        for _ in 0..20 {
            table.put(decode(&document).unwrap());
        }
        done.store(true, SeqCst);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn equal_accesses_are_kept_once_and_unused_ones_go() {
    let table = Table::default();
    let access = |model: &str| json!({"models": [model], "paths": null, "networks": null});
    let rows: Vec<_> = (0..1_000).map(|n| with(row(&format!("{n:012}"), 1), &json!({"access": n % 3}))).collect();
    put(&table, &json!({"access": [access("a"), access("b"), access("a")], "keys": rows}));
    assert_eq!(table.accesses(), 2);
    let first = table.row(key_id("000000000000")).unwrap();
    assert!(Arc::ptr_eq(&first.access, &table.row(key_id("000000000002")).unwrap().access));
    for version in 2..2_000 {
        let changed = [row(ID, version)];
        put(&table, &json!({"access": [access(&format!("m{version}"))], "keys": changed}));
    }
    assert!(table.accesses() < 200, "{}", table.accesses());
}

#[test]
fn equal_limits_are_kept_once_and_unused_ones_go() {
    let table = Table::default();
    let limits = |amount: u64| json!({"requests": [{"amount": amount, "window_us": 60_000_000}]});
    let of_key = |id: &str| table.row(key_id(id)).unwrap().limits.clone();
    let rows: Vec<_> = (0..1_000).map(|n| with(row(&format!("{n:012}"), 1), &json!({"limits": n % 3}))).collect();
    put(&table, &json!({"limits": [limits(1), limits(2), limits(1)], "keys": rows}));
    assert_eq!(table.policies(), 2);
    let (first, third) = (of_key("000000000000").unwrap(), of_key("000000000002").unwrap());
    assert!(Arc::ptr_eq(&first, &third));
    assert_eq!(first.requests.as_ref().unwrap()[0].amount, 1);
    put(&table, &digest("000000000000", 1));
    assert!(Arc::ptr_eq(&first, &of_key("000000000000").unwrap()), "a copy of the row keeps them");
    put(&table, &keys(&[row("000000000000", 2)]));
    assert_eq!(of_key("000000000000"), None);
    for version in 2..2_000 {
        put(&table, &json!({"limits": [limits(version)], "keys": [with(row(ID, version), &json!({"limits": 0}))]}));
    }
    assert!(table.policies() < 200, "{}", table.policies());
}

#[test]
fn keys_and_teams_are_tagged_and_equal_tags_are_kept_once() {
    let table = Table::default();
    let rows: Vec<_> =
        (0..9).map(|n| with(row(&format!("{n:012}"), 1), &json!({"tags": n % 2, "team": "t1"}))).collect();
    let teams = [with(team("t1", 1), &json!({"tags": 1}))];
    put(
        &table,
        &json!({"tags": [[["env", "dev"], ["app", "a"]], [["app", "b"], ["unit", "7"]]], "teams": teams, "keys": rows}),
    );
    let of_key = |id: &str| table.row(key_id(id)).unwrap().tags.clone();
    assert!(Arc::ptr_eq(&of_key("000000000000").unwrap(), &of_key("000000000002").unwrap()));
    let tagged = Tagged { key: of_key("000000000000"), team: table.team("t1").unwrap().tags.clone() };
    assert_eq!(tagged.pairs().collect::<Vec<_>>(), [("app", "a"), ("env", "dev"), ("unit", "7")]);
    put(&table, &digest("000000000000", 1));
    assert!(of_key("000000000000").is_some(), "a copy of the row keeps them");
    put(&table, &keys(&[row("000000000000", 2)]));
    assert_eq!(of_key("000000000000"), None);
}

#[test]
fn a_team_has_limits_of_its_own() {
    let table = Table::default();
    let credential = own(ID, 'a');
    let known = json!({"team": "t1", "secrets": [{"generation": 1, "until_us": null, "digest": hex(&credential)}]});
    let concurrent = json!({"concurrent": [{"amount": 5, "queue_us": 2}]});
    let rows = [with(row(ID, 1), &known)];
    put(&table, &json!({"limits": [concurrent], "teams": [with(team("t1", 1), &json!({"limits": 0}))], "keys": rows}));
    let Checked::Known { row, team } = table.check(&Credential::read(credential.as_bytes()).unwrap(), &DIGESTS, 1)
    else {
        panic!("the key is known");
    };
    assert_eq!(row.limits, None);
    let slots = team.unwrap().limits.as_ref().unwrap().concurrent.as_ref().unwrap()[0];
    assert_eq!((slots.amount, slots.queue_us), (5, 2));
}

fn used(table: &Table) -> Value {
    serde_json::from_slice(&table.used()).unwrap()
}

fn use_key(table: &Table, credential: &str, now_us: u64) {
    let checked = table.check(&Credential::read(credential.as_bytes()).unwrap(), &DIGESTS, now_us);
    assert!(matches!(checked, Checked::Known { .. }));
}

#[test]
fn a_use_is_told_once_and_survives_changes_of_the_row() {
    let table = Table::default();
    let credential = own(ID, 'a');
    let known = json!({"secrets": [{"generation": 1, "until_us": null, "digest": hex(&credential)}]});
    put(&table, &keys(&[with(row(ID, 1), &known), row("mnopqrstuvwx", 1)]));
    assert_eq!(used(&table), json!({}));
    use_key(&table, &credential, 5_000_001);
    use_key(&table, &credential, 5_999_999);
    let held = table.row(key_id(ID)).unwrap();
    put(&table, &keys(&[with(row(ID, 2), &known)]));
    assert_eq!(used(&table), json!({ID: 5_000_001}), "the second is written once");
    assert_eq!(used(&table), json!({}));
    use_key(&table, &credential, 5_999_999);
    assert_eq!(used(&table), json!({}), "the same second was told");
    use_key(&table, &credential, 6_000_000);
    assert_eq!(used(&table), json!({ID: 6_000_000}));
    drop(held);
}

#[test]
fn a_use_that_was_not_told_survives_a_reset() {
    let table = Table::default();
    let credential = own(ID, 'a');
    let known = json!({"secrets": [{"generation": 1, "until_us": null, "digest": hex(&credential)}]});
    put(&table, &keys(&[with(row(ID, 1), &known)]));
    use_key(&table, &credential, 5_000_000);
    put(&table, &json!({"reset": true}));
    put(&table, &json!({"reset": true}));
    assert_eq!(used(&table), json!({ID: 5_000_000}));
    assert_eq!(used(&table), json!({}));
    put(&table, &keys(&[with(row(ID, 1), &known)]));
    use_key(&table, &credential, 6_000_000);
    put(&table, &json!({"reset": true, "keys": [with(row(ID, 1), &known)]}));
    use_key(&table, &credential, 7_000_000);
    assert_eq!(String::from_utf8(table.used()).unwrap(), format!("{{\"{ID}\":7000000}}"), "each key once");
}

/// What a row with this version, state and cut ends.
fn cut(table: &Table, version: u64, state: &str, cut_us: Option<u64>) -> Vec<Cut> {
    put(table, &keys(&[with(row(ID, version), &json!({"state": state, "cut_us": cut_us}))]))
}

fn before(version: u64) -> Vec<Cut> {
    vec![Cut { key: key_id(ID), before: version }]
}

#[test]
fn only_another_cut_than_the_last_ends_requests_and_those_that_began_on_an_older_row() {
    let table = Table::default();
    assert_eq!(cut(&table, 1, "active", None), []);
    assert_eq!(cut(&table, 2, "active", Some(5)), before(2));
    assert_eq!(cut(&table, 3, "active", Some(5)), []);
    assert_eq!(cut(&table, 5, "active", Some(6)), before(5));
    assert_eq!(cut(&table, 4, "active", Some(9)), [], "an older row");
    assert_eq!(cut(&table, 6, "active", Some(6)), []);
    assert_eq!(cut(&table, 7, "active", None), []);
    assert_eq!(cut(&table, 8, "active", Some(7)), before(8));
    assert_eq!(cut(&table, 9, "active", Some(2)), before(9), "by a node whose clock is behind");
}

#[test]
fn the_cut_of_a_disabled_key_ends_every_request_of_it() {
    let table = Table::default();
    cut(&table, 1, "active", None);
    assert_eq!(cut(&table, 2, "disabled", Some(5)), before(u64::MAX));
    assert_eq!(cut(&table, 3, "disabled", Some(5)), []);
    assert_eq!(cut(&table, 4, "active", Some(5)), []);
    assert_eq!(cut(&table, 5, "disabled", Some(6)), before(u64::MAX));
}

#[test]
fn a_cut_that_comes_with_a_reset_or_after_one_ends_requests_as_well() {
    let table = Table::default();
    cut(&table, 9, "active", None);
    let with_reset = json!({"reset": true, "keys": [with(row(ID, 1), &json!({"state": "disabled", "cut_us": 8}))]});
    assert_eq!(put(&table, &with_reset), before(u64::MAX));
    assert_eq!(put(&table, &with_reset), [], "it is known");
    put(&table, &json!({"reset": true}));
    assert_eq!(cut(&table, 1, "disabled", Some(8)), before(u64::MAX), "whoever began before the reset may run");
    put(&table, &json!({"reset": true}));
    assert_eq!(cut(&table, 2, "active", Some(8)), before(2), "enabled again: this row's own requests go on");
}

#[test]
fn a_team_that_nobody_belongs_to_is_forgotten_once_its_deletion_has_settled() {
    let table = Table::default();
    put(&table, &json!({"teams": [with(team("t1", 3), &json!({"state": "deleted"}))]}));
    put(&table, &json!({"settled": 3}));
    put(&table, &json!({"teams": [team("t1", 2)], "keys": [with(row(ID, 4), &json!({"team": "t1"}))]}));
    assert_eq!(table.row(key_id(ID)).unwrap().team(), Some("t1"));
}

proptest! {
    #[test]
    fn the_number_of_keys_is_that_of_the_live_ones(deleted in prop::collection::vec(any::<bool>(), 1..200)) {
        let table = Table::default();
        let rows: Vec<_> = deleted
            .iter()
            .enumerate()
            .map(|(n, gone)| with(row(&format!("{n:012}"), 1), &json!({"state": if *gone { "deleted" } else { "active" }})))
            .collect();
        put(&table, &keys(&rows));
        prop_assert_eq!(table.len(), deleted.iter().filter(|gone| !**gone).count());
    }
}
