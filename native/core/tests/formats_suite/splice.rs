//! A splice changes what it says and nothing else.

use penstock_core::request::{
    scan::scan,
    splice::{Splice, stream_usage_edit},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{agree::is_misspelt, json_noise};

fn with_usage(body: &str) -> Option<String> {
    let mut splice = Splice::new();
    splice.add(stream_usage_edit(&scan(body.as_bytes(), 128).unwrap())?);
    Some(String::from_utf8(splice.apply(body.as_bytes())).unwrap())
}

#[test]
fn usage_is_asked_for_only_when_the_client_did_not() {
    for (body, edited) in [
        (r#"{"stream":true}"#, Some(r#"{"stream_options":{"include_usage":true},"stream":true}"#)),
        (
            r#"{"stream":true,"stream_options":null}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        ),
        (
            r#"{"stream":true,"stream_options":{ }}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true }}"#),
        ),
        (
            r#"{"stream":true,"stream_options":{"x":1}}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true,"x":1}}"#),
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":null}}"#,
            Some(r#"{"stream":true,"stream_options":{"include_usage":true}}"#),
        ),
        (r#"{"stream":true,"stream_options":{"include_usage":true}}"#, None),
        (r#"{"stream":false}"#, None),
        (r#"{"stream_options":{"include_usage":false}}"#, None),
    ] {
        assert_eq!(with_usage(body).as_deref(), edited, "{body}");
    }
}

#[test]
fn fields_can_be_inserted_into_an_empty_object() {
    let scanned = scan(b" {} ", 128).unwrap();
    let mut splice = Splice::new();
    splice.set_model(&scanned, "m");
    splice.insert_field(&scanned, "x", b"1");
    assert_eq!(serde_json::from_slice::<Value>(&splice.apply(b" {} ")).unwrap(), json!({"model": "m", "x": 1}));
}

#[test]
fn no_edit_means_no_change_and_one_piece() {
    let splice = Splice::new();
    assert!(splice.is_empty());
    assert_eq!(splice.pieces(b"{}").collect::<Vec<_>>(), [b"{}"]);
    assert_eq!(splice.len(b"{}"), 2);
}

proptest! {
    #[test]
    fn a_splice_changes_only_what_it_says(
        mut fields in json_noise::object(),
        model in json_noise::text(),
        new_model in json_noise::text(),
        stream in any::<Option<bool>>(),
        options in prop_oneof![
            Just(None),
            Just(Some(json!(null))),
            Just(Some(json!({}))),
            any::<Option<bool>>().prop_map(|on| Some(json!({"include_usage": on, "include_obfuscation": true}))),
        ],
        style in json_noise::style(),
    ) {
        fields.insert("model".into(), json!(model));
        fields.insert("stream".into(), json!(stream));
        if let Some(options) = &options {
            fields.insert("stream_options".into(), options.clone());
        } else {
            fields.remove("stream_options");
        }
        for name in ["n", "max_tokens", "max_completion_tokens"] {
            fields.remove(name);
        }
        fields.retain(|name, _| !is_misspelt(name));
        let body = json_noise::write(&Value::Object(fields), &style);
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        let scanned = scan(body.as_bytes(), 128).unwrap();
        prop_assert_eq!(&*scanned.model.as_ref().unwrap().text, &model);
        let mut splice = Splice::new();
        splice.set_model(&scanned, &new_model);
        if let Some(edit) = stream_usage_edit(&scanned) {
            splice.add(edit);
        }
        let edited = splice.apply(body.as_bytes());
        prop_assert_eq!(edited.len(), splice.len(body.as_bytes()));
        prop_assert!(splice.pieces(body.as_bytes()).all(|p| !p.is_empty()));

        expected["model"] = json!(new_model);
        if stream == Some(true) {
            if options.is_none_or(|o| o.is_null()) {
                expected["stream_options"] = json!({});
            }
            expected["stream_options"]["include_usage"] = json!(true);
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&edited).unwrap(), expected);
    }
}
