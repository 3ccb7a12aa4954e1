//! The request scanner: what it accepts, notes and refuses.

use penstock_core::{
    error::Code,
    request::scan::{Scan, scan},
};

const DEPTH: usize = 128;

fn ok(body: &str) -> Scan<'_> {
    scan(body.as_bytes(), DEPTH).unwrap_or_else(|e| panic!("{body}: {e}"))
}

fn refused(body: &[u8]) -> (Code, Option<String>, String) {
    let error = scan(body, DEPTH).expect_err(&String::from_utf8_lossy(body));
    (error.code, error.param, error.message)
}

#[test]
fn fields_are_noted_where_they_stand() {
    let body = r#" {"model" : "gpt-5", "stream":true,"max_tokens":10,"max_completion_tokens":2e1,"n":1.0,
        "max_output_tokens":30,"best_of":4,"options":{"Options":1},
        "user":"u","metadata":{"a":[1]},"messages":[{"model":"inner","stream":false}]} "#;
    let scan = ok(body);
    let model = scan.model.unwrap();
    assert_eq!((model.text.as_ref(), &body[model.span]), ("gpt-5", "\"gpt-5\""));
    let (span, on) = scan.stream.unwrap();
    assert_eq!((&body[span], on), ("true", true));
    assert_eq!(scan.max_tokens.map(|(s, n)| (&body[s], n)), Some(("10", 10)));
    assert_eq!(scan.max_completion_tokens.map(|(s, n)| (&body[s], n)), Some(("2e1", 20)));
    assert_eq!(scan.n.map(|(s, n)| (&body[s], n)), Some(("1.0", 1)));
    assert_eq!((scan.max_output_tokens.map(|(_, n)| n), scan.best_of.map(|(_, n)| n)), (Some(30), Some(4)));
    assert_eq!(&body[scan.user.unwrap()], "\"u\"");
    assert_eq!(&body[scan.metadata.unwrap()], "{\"a\":[1]}");
    assert_eq!(&body[scan.object], body.trim());
    assert!(!scan.empty);
}

#[test]
fn null_counts_as_absent() {
    let scan = ok(r#"{"stream":null,"max_tokens":null,"n":null,"user":null,"metadata":null}"#);
    assert_eq!((scan.stream, scan.max_tokens, scan.n, scan.user, scan.metadata), (None, None, None, None, None));
    assert!(ok("{}").empty);
}

#[test]
fn escaped_names_and_models_are_decoded() {
    let scan = ok(r#"{"mod\u0065l":"gpt\u002d5\n😀"}"#);
    assert_eq!(scan.model.unwrap().text, "gpt-5\n😀");
}

#[test]
fn what_it_asks_to_be_served_as_is_decoded() {
    use penstock_core::dialects::{Dialect, usage::Tier};
    let scan = ok(r#"{"service_tier":"pri\u006frity","speed":"f\u0061st"}"#);
    assert_eq!((scan.tier, scan.is_fast), (Tier::Priority, true));
    assert_eq!(scan.asked_tier(Dialect::OpenAi), Tier::Priority);
    assert_eq!(scan.asked_tier(Dialect::Anthropic), Tier::Fast);
    assert_eq!(ok(r#"{"service_tier":"flex","speed":1.5}"#).asked_tier(Dialect::Anthropic), Tier::Standard);
}

#[test]
fn stream_options_are_read() {
    let body = r#"{"stream_options":{"include_obfuscation":false,"include_usage":null,"include_\u0075sage": true}}"#;
    let options = ok(body).stream_options.unwrap();
    assert_eq!(options.include_usage.map(|(s, on)| (&body[s], on)), Some(("true", Some(true))));
    assert!(options.is_object && !options.empty);
    let options = ok(r#"{"stream_options": { } }"#).stream_options.unwrap();
    assert!(options.is_object && options.empty);
    let options = ok(r#"{"stream_options":null}"#).stream_options.unwrap();
    assert!(!options.is_object);
}

#[test]
fn a_name_that_stands_twice_is_refused_and_named() {
    for (body, name) in [
        (r#"{"model":"a","model":"b"}"#, "model"),
        (r#"{"model":"a","x":1,"mod\u0065l":"b"}"#, "model"),
        (r#"{"\ud800":1,"\uD800":1}"#, "\u{fffd}\u{fffd}\u{fffd}"),
    ] {
        let (code, param, _) = refused(body.as_bytes());
        assert_eq!((code, param.as_deref()), (Code::DuplicateField, Some(name)), "{body}");
    }
    ok(r#"{"\ud800":1,"\ud801":1,"a":{"b":1,"b":2}}"#);
}

#[test]
fn a_name_that_other_decoders_take_for_one_that_is_read_is_refused_with_the_right_spelling() {
    for (name, decoded, ours) in [
        ("Model", "Model", "model"),
        ("MODEL", "MODEL", "model"),
        ("\\u004dodel", "Model", "model"),
        ("Stream", "Stream", "stream"),
        ("\u{17f}tream", "\u{17f}tream", "stream"),
        ("\\u017fTREAM", "\u{17f}TREAM", "stream"),
        ("stream_Options", "stream_Options", "stream_options"),
        ("\u{17f}tream_option\u{17f}", "\u{17f}tream_option\u{17f}", "stream_options"),
        ("Max_Tokens", "Max_Tokens", "max_tokens"),
        ("max_to\u{212a}en\u{17f}", "max_to\u{212a}en\u{17f}", "max_tokens"),
        ("max_completion_to\u{212a}ens", "max_completion_to\u{212a}ens", "max_completion_tokens"),
        ("MAX_COMPLETION_TO\\u212aEN\\u017f", "MAX_COMPLETION_TO\u{212a}EN\u{17f}", "max_completion_tokens"),
        ("max_output_to\u{212a}en\u{17f}", "max_output_to\u{212a}en\u{17f}", "max_output_tokens"),
        ("Best_Of", "Best_Of", "best_of"),
        ("be\u{17f}t_of", "be\u{17f}t_of", "best_of"),
        ("Option\u{17f}", "Option\u{17f}", "options"),
        ("N", "N", "n"),
        ("Prompt", "Prompt", "prompt"),
        ("u\u{17f}er", "u\u{17f}er", "user"),
        ("MetaData", "MetaData", "metadata"),
    ] {
        let bodies = [
            format!("{{\"{name}\":null}}"),
            format!("{{\"x\":1,\"{name}\":\"a\",\"y\":2}}"),
            format!("{{\"user\":1,\"n\":1,\"{name}\":{{}}}}"),
        ];
        for body in bodies {
            let (code, param, message) = refused(body.as_bytes());
            assert_eq!((code, param.as_deref()), (Code::UnsupportedField, Some(decoded)), "{body}");
            assert!(message.contains(&format!("\"{ours}\"")), "{message}");
        }
    }
    let exact = refused(r#"{"model":"a","Model":"b"}"#.as_bytes());
    assert_eq!((exact.0, exact.1.as_deref()), (Code::UnsupportedField, Some("Model")));
    // Alike, but no decoder takes one for the other.
    for name in
        ["models", "mod_el", "m\u{f6}del", " model", "Models", "Messages", "nn", "\u{ff4e}", "\u{17f}", "Temperature"]
    {
        ok(&format!("{{\"{name}\":1,\"deeper\":{{\"Model\":2,\"\u{17f}tream\":3}}}}"));
    }
}

#[test]
fn many_names_are_compared_as_well_as_few() {
    let names: Vec<String> = (0..2000).map(|n| format!("\"name{n}\":{n}")).collect();
    let body = format!("{{{}}}", names.join(","));
    ok(&body);
    for again in [0, 23, 24, 1999] {
        let body = format!("{{{},\"name{again}\":0}}", names.join(","));
        assert_eq!(refused(body.as_bytes()).1, Some(format!("name{again}")));
    }
}

#[test]
fn more_names_than_any_api_has_are_refused() {
    let body =
        |count: usize| format!("{{{}}}", (0..count).map(|n| format!("\"n{n}\":0")).collect::<Vec<_>>().join(","));
    ok(&body(4096));
    assert_eq!(refused(body(4097).as_bytes()).0, Code::InvalidRequest);
}

#[test]
fn wrong_types_name_their_field() {
    for (body, param) in [
        (r#"{"model":1}"#, "model"),
        (r#"{"model":null}"#, "model"),
        (r#"{"model":"\ud800"}"#, "model"),
        (r#"{"stream":"true"}"#, "stream"),
        (r#"{"stream":1}"#, "stream"),
        (r#"{"stream_options":[]}"#, "stream_options"),
        (r#"{"stream_options":{"include_usage":1}}"#, "stream_options.include_usage"),
        (r#"{"max_tokens":"10"}"#, "max_tokens"),
        (r#"{"max_tokens":-1}"#, "max_tokens"),
        (r#"{"max_completion_tokens":1.5}"#, "max_completion_tokens"),
        (r#"{"n":1e300}"#, "n"),
        (r#"{"max_output_tokens":-1}"#, "max_output_tokens"),
        (r#"{"best_of":[]}"#, "best_of"),
    ] {
        let (code, at, _) = refused(body.as_bytes());
        assert_eq!((code, at.as_deref()), (Code::InvalidRequest, Some(param)), "{body}");
    }
    assert_eq!(refused(b"[{}]").0, Code::InvalidRequest);
    assert_eq!(refused(b" \"text\" ").0, Code::InvalidRequest);
}

#[test]
fn what_is_no_json_is_refused_with_its_byte() {
    for (body, byte) in [
        (&b"{\"a\":NaN}"[..], 5),
        (b"{\"a\":Infinity}", 5),
        (b"{\"a\":01}", 6),
        (b"{\"a\":+1}", 5),
        (b"{\"a\":1.}", 7),
        (b"{\"a\":.5}", 5),
        (b"{\"a\":1e}", 7),
        (b"{\"a\":-}", 6),
        (b"{\"a\":tru}", 5),
        (b"{\"a\":1,}", 7),
        (b"{\"a\":[1,]}", 8),
        (b"{\"a\":[,1]}", 6),
        (b"{\"a\":[1 2]}", 8),
        (b"{\"a\":[1}}", 7),
        (b"{\"a\":{1:2}}", 6),
        (b"{\"a\" 1}", 5),
        (b"{'a':1}", 1),
        (b"{\"a\":\"\\x\"}", 6),
        (b"{\"a\":\"\\u12g4\"}", 6),
        (b"{\"a\":\"\n\"}", 6),
        (b"{\"a\":\"\x00\"}", 6),
        (b"{}x", 2),
        (b"{} {}", 3),
        (b"{\"a\":1", 6),
        (b"{\"a\":\"bc", 8),
        (b"{\"a\":\"\xff\"}", 6),
        (b"{\"a\":\"\xed\xa0\x80\"}", 6),
        (b"\xff{}", 0),
        (b"{/**/}", 1),
        (b"nonsense", 0),
    ] {
        let (code, _, message) = refused(body);
        assert_eq!(code, Code::InvalidJson, "{}", String::from_utf8_lossy(body));
        assert!(message.contains(&format!("byte {byte}")), "{} {message}", String::from_utf8_lossy(body));
    }
    assert!(refused(b"").2.contains("empty"));
    assert!(refused(b" \n ").2.contains("empty"));
    assert!(refused(b"\xef\xbb\xbf{}").2.contains("byte order mark"));
}

#[test]
fn deep_nesting_is_refused_and_the_limit_is_exact() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    ok(&nested(128));
    for depth in [129, 1000, 100_000] {
        let (code, _, message) = refused(nested(depth).as_bytes());
        assert_eq!(code, Code::InvalidJson);
        assert!(message.contains("more than 128 deep"), "{message}");
    }
    assert!(scan(nested(4).as_bytes(), 4).is_ok());
    assert!(scan(nested(5).as_bytes(), 4).is_err());
    let objects = format!("{}1{}", "{\"a\":".repeat(129), "}".repeat(129));
    assert!(refused(objects.as_bytes()).2.contains("deep"));
}
