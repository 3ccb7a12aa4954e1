//! The document of rows: what is read, and what is refused whole.

use serde_json::{Value, json};

use crate::made::{decode, empty, hex, row, team, with};

fn refusal(fields: &Value) -> String {
    decode(&with(empty(), fields)).expect_err("this batch must be refused")
}

#[test]
fn the_smallest_batch_and_a_full_one_are_read() {
    decode(&empty()).unwrap();
    let secrets = json!([{"generation": 1, "until_us": 5, "digest": hex("x")}, {"generation": 2, "until_us": null, "digest": null}]);
    let full = json!({
        "access": [{"models": ["a*"], "paths": ["/chat/*"], "networks": ["10.0.0.0/8"]}],
        "limits": [
            {"requests": [{"amount": 600, "window_us": 60_000_000}, {"amount": 9, "period": "day"}], "tokens": []},
            {"budget": [{"amount": 1, "period": "month"}], "concurrent": [{"amount": 5, "queue_us": 7}], "reserve": "cap"},
        ],
        "tags": [[["env", "dev"]], []],
        "teams": [with(team("t1", 1), &json!({"limits": 0, "tags": 1, "content": false}))],
        "keys": [with(row("abcdefghijkl", 2), &json!({
            "team": "t1", "limits": 1, "tags": 0, "expires_us": 1, "cut_us": 2, "secrets": secrets,
        }))],
        "digests": [{"key": "abcdefghijkl", "generation": 2, "digest": hex("y")}],
        "reset": true, "settled": 9,
    });
    decode(&with(empty(), &full)).unwrap();
}

#[test]
fn a_missing_or_unknown_field_is_named() {
    for name in ["format", "access", "limits", "tags", "teams", "keys", "digests", "reset", "settled"] {
        let mut document = empty();
        document.as_object_mut().unwrap().remove(name);
        let error = decode(&document).expect_err("a field is missing");
        assert!(error.contains(name), "{error}");
    }
    for (list, one) in [("keys", row("abcdefghijkl", 1)), ("teams", team("t", 1))] {
        for name in ["limits", "tags", "content"] {
            let mut one = one.clone();
            one.as_object_mut().unwrap().remove(name);
            assert!(refusal(&json!({list: [one]})).contains(name), "{list}");
        }
    }
    assert!(refusal(&json!({"extra": 1})).contains("extra"));
    for (list, one) in
        [("keys", row("abcdefghijkl", 1)), ("teams", team("t", 1)), ("access", empty()["access"][0].clone())]
    {
        assert!(refusal(&json!({list: [with(one, &json!({"extra": 1}))]})).contains("extra"), "{list}");
    }
}

#[test]
fn what_a_row_may_not_say_is_refused_by_the_name_of_the_key() {
    let key = |fields: Value| json!({"keys": [with(row("abcdefghijkl", 1), &fields)]});
    let twice = json!([{"generation": 1, "until_us": null, "digest": null}, {"generation": 1, "until_us": null, "digest": null}]);
    let no_digest = json!([{"generation": 1, "until_us": null, "digest": "zz"}]);
    for (fields, word) in [
        (key(json!({"access": 1})), "abcdefghijkl: there is no access 1"),
        (key(json!({"secrets": twice})), "abcdefghijkl: generation 1 stands twice"),
        (key(json!({"secrets": no_digest})), "abcdefghijkl: a digest is 64"),
        (key(json!({"state": "asleep"})), "asleep"),
        (key(json!({"team": ""})), "id of a team"),
        (json!({"teams": [with(team("t1", 1), &json!({"access": 7}))]}), "t1: there is no access 7"),
        (json!({"digests": [{"key": "abcdefghijkl", "generation": 1, "digest": "00"}]}), "a digest is 64"),
        (json!({"access": [{"models": null, "paths": null, "networks": ["10/8"]}]}), "10/8"),
        (key(json!({"limits": 0})), "abcdefghijkl: there are no limits 0"),
        (json!({"teams": [with(team("t1", 1), &json!({"limits": 0}))]}), "t1: there are no limits 0"),
        (key(json!({"tags": 1})), "abcdefghijkl: there are no tags 1"),
        (json!({"teams": [with(team("t1", 1), &json!({"tags": 0}))]}), "t1: there are no tags 0"),
        (json!({"tags": [["a"]]}), "expected shape"),
        (json!({"limits": [{"requests": [{"amount": 1}]}]}), "limits: requests"),
        (json!({"limits": [{"tokens": [{"amount": 1, "window_us": 999_999}]}]}), "limits: tokens"),
        (json!({"limits": [{"budget": [{"amount": 1, "window_us": 1_000_000, "period": "day"}]}]}), "limits: budget"),
        (json!({"limits": [{"budget": [{"amount": 1_u64 << 53, "period": "day"}]}]}), "limits: budget"),
        (json!({"limits": [{"concurrent": [{"amount": 1, "queue_us": 60_000_001}]}]}), "limits: concurrent"),
        (json!({"limits": [{"nonsense": []}]}), "nonsense"),
        (json!({"format": 2}), "format 2 is not 4"),
    ] {
        let error = refusal(&fields);
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn no_refusal_shows_what_could_be_a_secret() {
    let secret = "sk-very-secret-7f3a";
    for fields in [
        json!({"keys": [row(secret, 1)]}),
        json!({"keys": secret}),
        json!({"digests": [{"key": "abcdefghijkl", "generation": 1, "digest": secret}]}),
        json!({"digests": [{"key": secret, "generation": 1, "digest": hex("x")}]}),
        json!({"digests": [{"key": 1, "generation": secret, "digest": hex("x")}]}),
    ] {
        let error = refusal(&fields);
        assert!(!error.contains(secret), "{error}");
    }
}

#[test]
fn of_a_deleted_key_only_id_and_version_count() {
    let deleted = json!({"state": "deleted", "access": 99, "team": "", "secrets": []});
    decode(&with(empty(), &json!({"keys": [with(row("abcdefghijkl", 1), &deleted)]}))).unwrap();
    decode(&with(empty(), &json!({"teams": [with(team("t1", 1), &json!({"state": "deleted", "access": 99}))]})))
        .unwrap();
}
