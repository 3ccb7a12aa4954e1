//! Any order of the same rows and digests gives the same table.

use penstock_core::keys::{Checked, Credential, Table};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use crate::made::{DIGESTS, hex, key_id, own, put, row, team, with};

const IDS: [&str; 3] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"];
const NOW_US: u64 = 1_000;

/// The secret of a generation: as in life, it never changes.
fn secret_of(id: &str, generation: u32) -> String {
    own(id, char::from(b'a' + generation as u8))
}

/// One version of a key: how many secrets go and come with it, and whether it carries their digests.
#[expect(clippy::struct_excessive_bools, reason = "what a version may be, each by itself")]
#[derive(Clone, Debug)]
struct Version {
    goes: u32,
    comes: u32,
    carries: bool,
    disabled: bool,
    team: bool,
    expires: bool,
    model: u8,
}

fn version() -> impl Strategy<Value = Version> {
    (0u32..2, 0u32..3, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0u8..3).prop_map(
        |(goes, comes, carries, disabled, team, expires, model)| Version {
            goes,
            comes,
            carries,
            disabled,
            team,
            expires,
            model,
        },
    )
}

/// The whole life of a key as batches of one row; a deletion can only be its end.
fn life(id: &str, versions: &[Version], deleted: bool, verified: &[u32]) -> Vec<Value> {
    // A secret that has gone does not come back.
    let (mut first, mut end) = (0, 0);
    let rows = versions.iter().enumerate().map(|(n, v)| {
        end += v.comes;
        first = (first + v.goes).min(end);
        let secrets: Vec<_> = (first..end)
            .map(|g| json!({"generation": g, "until_us": null, "digest": v.carries.then(|| hex(&secret_of(id, g)))}))
            .collect();
        let fields = json!({
            "secrets": secrets,
            "state": if v.disabled { "disabled" } else { "active" },
            "team": v.team.then_some("t1"),
            "expires_us": v.expires.then_some(NOW_US),
        });
        let access = json!({"models": [format!("m{}", v.model)], "paths": null, "networks": null});
        json!({"access": [access], "keys": [with(row(id, n as u64 + 1), &fields)]})
    });
    let gone = with(row(id, versions.len() as u64 + 1), &json!({"state": "deleted"}));
    let digests =
        verified.iter().map(|g| json!({"digests": [{"key": id, "generation": g, "digest": hex(&secret_of(id, *g))}]}));
    rows.chain(deleted.then(|| json!({"keys": [gone]}))).chain(digests).collect()
}

fn shuffled(events: &[Value], order: &[Index]) -> Vec<Value> {
    let mut left = events.to_vec();
    let mut out = Vec::new();
    for index in order.iter().cycle() {
        if left.is_empty() {
            break;
        }
        out.push(left.swap_remove(index.index(left.len())));
    }
    out
}

/// Everything that a request can see.
fn seen(events: &[Value], twice: bool) -> Vec<String> {
    let table = Table::default();
    for event in events {
        put(&table, event);
    }
    if twice {
        events.iter().for_each(|event| drop(put(&table, event)));
    }
    let mut out = vec![format!("{} keys", table.len())];
    for id in IDS {
        let row = table.row(key_id(id));
        let row = row.as_ref().map(|r| {
            (r.version, r.disabled, r.expires_us(), r.team().map(str::to_owned), r.access.lists(), r.secrets())
        });
        out.push(format!("{id} {row:?}"));
        for generation in 0..9 {
            let credential = secret_of(id, generation);
            let checked = table.check(&Credential::read(credential.as_bytes()).unwrap(), &DIGESTS, NOW_US);
            out.push(match checked {
                Checked::Known { .. } => "known".to_owned(),
                Checked::Unverified(_) => "unverified".to_owned(),
                Checked::Refused(refusal) => format!("{refusal:?}"),
            });
        }
    }
    out
}

/// The lives of all keys, and of a team.
fn lives() -> impl Strategy<Value = Vec<Value>> {
    let key = (prop::collection::vec(version(), 1..5), any::<bool>(), prop::collection::vec(0u32..8, 0..6));
    let teams = prop::collection::vec(any::<bool>(), 0..4);
    (prop::collection::vec(key, IDS.len()), teams).prop_map(|(keys, teams)| {
        let teams = teams.iter().enumerate().map(|(n, disabled)| {
            let state = if *disabled { "disabled" } else { "active" };
            json!({"teams": [with(team("t1", n as u64 + 1), &json!({ "state": state }))]})
        });
        IDS.iter()
            .zip(&keys)
            .flat_map(|(id, (versions, gone, seen))| life(id, versions, *gone, seen))
            .chain(teams)
            .collect()
    })
}

proptest! {
    #[test]
    fn any_order_and_any_repetition_give_the_same_table(
        events in lives(),
        order in prop::collection::vec(any::<Index>(), 40),
        twice in any::<bool>(),
    ) {
        let shuffled = shuffled(&events, &order);
        prop_assert_eq!(seen(&events, false), seen(&shuffled, twice));
    }
}
