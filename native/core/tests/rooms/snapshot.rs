//! The snapshot document: what decodes, what is refused and how, and that no secret is ever shown.

use std::{env, fs, ops::Range, path::PathBuf};

use penstock_core::{
    content::Policy,
    dialects::Dialect,
    limits::{Calendar, Period, Rate, Reserve, Slots},
    route::Route,
    snapshot::{
        Snapshot,
        document::{Document, FORMAT},
    },
};
use serde_json::{Value, json};

use crate::document::{bytes, decode, minimal, model, network, price, provider};

const SECRET: &str = "sk-very-secret-7f3a";

/// A document in which every kind of object occurs.
fn full() -> Value {
    let mut document = minimal();
    let mut one = provider("one", 8080);
    one["dialects"]["openai"]["auth"] =
        json!({"header": "authorization", "prefix": "Bearer ", "secret": [{"text": SECRET}]});
    one["headers"] = json!([["x-extra", [{"text": SECRET}, {"env": "PENSTOCK_UNSET_VARIABLE", "default": SECRET}]]]);
    one["proxy"] = json!({"scheme": "http", "host": "proxy.test", "port": 3128, "authorization": [{"text": SECRET}]});
    document["providers"] = json!([one]);
    document["models"] = json!([model("fast", "one", Some("slow"))]);
    document["models"][0]["fallback"] = json!([{"provider": "one", "model": null, "weight": 1}]);
    document["models"][0]["timeouts"] =
        json!({"connect_ms": 1, "first_token_ms": null, "between_bytes_ms": null, "total_ms": 5});
    document["patterns"] = json!([{"pattern": "gpt-*", "provider": "one"}]);
    document["default_provider"] = json!("one");
    let rates = json!([{"amount": 600, "window_us": 60_000_000}, {"amount": 9, "period": "day"}]);
    document["limits"] = json!({
        "default": {"requests": rates, "concurrent": [{"amount": 5, "queue_us": 2_000_000}], "reserve": "cap"},
        "global": {"tokens": [], "budget": [{"amount": 20_000_000_000_u64, "period": "month"}]},
        "models": {"fast": {"requests": rates}},
        "providers": {"one": {"concurrent": []}},
        "unpriced": "allow",
        "zone": "Europe/Berlin",
    });
    document["prices"] = json!([price(None, "gpt-5*", 1_250_000_000, 10_000_000_000)]);
    document["content"] = json!({"prompts": true, "answers": false, "max_bytes": 100, "redact": ["a+b"]});
    document
}

/// Objects whose names are for the configuration to choose.
fn is_named_freely(place: &str) -> bool {
    ["/dialects", "/limits/models", "/limits/providers"].iter().any(|p| place.ends_with(p))
}

fn refusal(document: &Value) -> String {
    decode(document).expect_err("this document must be refused")
}

fn with_secret(parts: Value) -> Value {
    let mut document = full();
    document["providers"][0]["dialects"]["openai"]["auth"]["secret"] = parts;
    document
}

fn head(snapshot: &Snapshot) -> String {
    String::from_utf8(snapshot.providers[0].base(Dialect::OpenAi).unwrap().head.clone()).unwrap()
}

fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rooms-{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

/// Every object in the document, by its JSON pointer.
fn objects(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, v)| objects(v, format!("{at}/{name}"), found));
            found.push(at);
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| objects(v, format!("{at}/{i}"), found)),
        _ => {}
    }
}

#[test]
fn the_smallest_document_decodes_to_what_it_says() {
    let snapshot = decode(&minimal()).unwrap();
    assert_eq!((snapshot.revision, snapshot.max_attempts, snapshot.keepalive_ms), (7, 4, 15_000));
    assert_eq!((snapshot.max_body_bytes, snapshot.max_inflight_bytes), (1_048_576, 16_777_216));
    assert_eq!(snapshot.timeouts.header_read_ms, 10_000);
    assert!(snapshot.providers.is_empty() && snapshot.allowed_hosts.is_empty() && snapshot.default_provider.is_none());
    assert!(snapshot.routes.names().is_empty());
    assert_eq!(snapshot.origins().count(), 0);
}

#[test]
fn a_full_document_decodes_to_providers_routes_and_ready_header_lines() {
    let snapshot = decode(&full()).unwrap();
    let (index, one) = snapshot.provider("one").unwrap();
    assert_eq!((index, snapshot.default_provider), (0, Some(0)));
    assert!(one.base(Dialect::OpenAi).is_some() && one.base(Dialect::Anthropic).is_none());
    assert_eq!(snapshot.routes.names(), ["fast"]);
    assert!(head(&snapshot).starts_with("host: 127.0.0.1:8080\r\n"), "the host line comes first");
    assert!(head(&snapshot).contains(&format!("authorization: Bearer {SECRET}\r\n")));
    assert!(head(&snapshot).contains(&format!("x-extra: {SECRET}{SECRET}\r\n")));
}

#[test]
fn what_python_compiles_of_its_example_is_a_document() {
    let golden = include_bytes!("../../../../tests/unit/policy/example.snapshot.json");
    let document: Document = serde_json::from_slice(golden).unwrap();
    assert_eq!((document.format, document.models[0].max_output_tokens), (FORMAT, Some(16_384)));
    assert!(document.limits.default.is_some() && !document.prices.is_empty());
}

#[test]
fn an_unknown_field_is_refused_at_every_level_and_named() {
    let mut places = Vec::new();
    objects(&full(), String::new(), &mut places);
    places.retain(|p| !is_named_freely(p));
    assert!(places.len() >= 24, "{places:?}");
    for place in places {
        let mut document = full();
        document.pointer_mut(&place).unwrap()["surprise"] = json!(1);
        let error = refusal(&document);
        let is_part = ["/secret/", "/headers/", "/authorization/"].iter().any(|p| place.contains(p));
        assert!(is_part || error.contains("surprise"), "{place}: {error}");
        assert!(!error.contains(SECRET), "{place}: {error}");
    }
}

#[test]
fn a_missing_field_is_refused_at_every_level() {
    let mut places = Vec::new();
    objects(&full(), String::new(), &mut places);
    let optional = [
        &[
            "kind",
            "ca_file",
            "auth",
            "default",
            "proxy",
            "authorization",
            "timeouts",
            "model",
            "default_provider",
            "content",
        ][..],
        &["connect_ms", "first_token_ms", "between_bytes_ms", "total_ms", "max_output_tokens", "fast"],
        &["global", "requests", "tokens", "budget", "concurrent", "reserve", "window_us", "period", "queue_us"],
    ]
    .concat();
    for place in places.iter().filter(|p| !is_named_freely(p)) {
        let whole = full();
        for name in whole.pointer(place).unwrap().as_object().unwrap().keys() {
            if optional.contains(&name.as_str()) {
                continue;
            }
            let mut document = full();
            document.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(name);
            assert!(decode(&document).is_err(), "{place} without {name}");
        }
    }
}

#[test]
fn which_texts_are_recorded_and_what_is_replaced_in_them() {
    assert!(decode(&minimal()).unwrap().content.is_none());
    let content = decode(&full()).unwrap().content.unwrap();
    assert_eq!((content.prompts, content.answers, content.max_bytes), (true, false, 100));
    let found = |content: &Policy, text: &str| content.redaction.search(&[]).ranges(text, false).unwrap();
    assert_eq!(found(&content, &format!("aab {SECRET}, x")), [0..3, 4..4 + SECRET.len()]);
    let mut document = full();
    document["providers"][0]["headers"] =
        json!([["Authorization", [{"text": "Bearer another-secret"}]], ["x", [{"text": "no-secret"}]]]);
    let content = decode(&document).unwrap().content.unwrap();
    assert_eq!(found(&content, "another-secret, no-secret"), [Range { start: 0, end: 14 }]);
    document["content"]["redact"] = json!(["a", "("]);
    let error = refusal(&document);
    assert!(error.starts_with("audit.content.redact[1]: ") && error.contains("unclosed group"), "{error}");
}

#[test]
fn a_document_of_another_shape_is_refused() {
    let mut document = full();
    document["format"] = json!(2);
    assert!(refusal(&document).contains("format 2"));
    for text in ["", "null", "[]", "{", "{}", "nonsense"] {
        assert!(Snapshot::decode(text.as_bytes(), &network()).is_err(), "{text}");
    }
    assert!(Snapshot::decode(&[bytes(&full()), b"x".to_vec()].concat(), &network()).is_err());
}

#[test]
fn a_provider_that_is_not_defined_is_refused_by_name() {
    for place in
        ["/models/0/targets/0/provider", "/models/0/fallback/0/provider", "/patterns/0/provider", "/default_provider"]
    {
        let mut document = full();
        *document.pointer_mut(place).unwrap() = json!("nobody");
        let error = refusal(&document);
        assert!(error.contains("nobody") && error.contains("unknown"), "{place}: {error}");
    }
}

#[test]
fn an_unknown_dialect_scheme_network_or_certificate_file_is_refused_by_name() {
    let mut document = full();
    document["providers"][0]["dialects"] = json!({"klingon": document["providers"][0]["dialects"]["openai"]});
    assert!(refusal(&document).contains("klingon"));
    let mut document = full();
    document["providers"][0]["dialects"]["openai"]["scheme"] = json!("gopher");
    let error = refusal(&document);
    assert!(error.contains("gopher") && error.contains("one"), "{error}");
    let mut document = full();
    document["trusted_proxies"] = json!(["10.0.0.0/99"]);
    assert!(refusal(&document).contains("10.0.0.0/99"));
    let mut document = full();
    document["tls"]["ca_file"] = json!("/no/such/file.pem");
    assert!(refusal(&document).contains("/no/such/file.pem"));
    let mut document = full();
    document["auth"] = json!("nobody");
    assert!(refusal(&document).contains("nobody"));
}

#[test]
fn limits_of_a_provider_stand_at_its_index_and_an_unknown_one_is_refused_by_name() {
    let mut document = full();
    document["providers"] = json!([provider("zero", 1), document["providers"][0]]);
    let limits = decode(&document).unwrap().limits;
    assert_eq!(limits.providers.len(), 2);
    assert!(limits.providers[0].is_none());
    assert_eq!(limits.providers[1].as_ref().unwrap().concurrent.as_deref(), Some(&[][..]));
    document["limits"]["providers"] = json!({"nobody": {}});
    assert!(refusal(&document).contains("provider nobody is unknown"));
}

#[test]
fn limits_say_what_is_set_and_leave_open_what_is_not() {
    let limits = decode(&full()).unwrap().limits;
    let default = limits.default.unwrap();
    let minute = Rate { amount: 600, window_us: Some(60_000_000), period: None };
    let day = Rate { amount: 9, window_us: None, period: Some(Period::Day) };
    assert_eq!(default.requests.as_deref(), Some(&[minute, day][..]));
    assert_eq!(default.concurrent.as_deref(), Some(&[Slots { amount: 5, queue_us: 2_000_000 }][..]));
    assert_eq!((default.tokens, default.budget, default.reserve), (None, None, Some(Reserve::Cap)));
    let global = limits.global.unwrap();
    assert_eq!((global.tokens.as_deref(), global.requests), (Some(&[][..]), None));
    assert_eq!(limits.models["fast"].requests.as_deref(), Some(&[minute, day][..]));
    assert!(limits.unpriced_allowed && *limits.calendar == Calendar::of("Europe/Berlin").unwrap());
    let none = decode(&minimal()).unwrap().limits;
    assert!(none.default.is_none() && none.global.is_none() && none.models.is_empty() && !none.unpriced_allowed);
}

#[test]
fn a_model_may_say_the_most_that_it_answers() {
    let mut document = full();
    document["models"][0]["max_output_tokens"] = json!(4096);
    let snapshot = decode(&document).unwrap();
    let Some(Route::Model(fast)) = snapshot.routes.find(&snapshot.providers, "fast") else { panic!("no route") };
    assert_eq!(fast.max_output_tokens, Some(4096));
}

#[test]
fn a_secret_that_cannot_be_read_is_named_and_no_value_is_shown() {
    let error = refusal(&with_secret(json!([{"text": SECRET}, {"env": "PENSTOCK_UNSET_VARIABLE", "default": null}])));
    assert!(error.contains("PENSTOCK_UNSET_VARIABLE") && error.contains("one"), "{error}");
    assert!(!error.contains(SECRET), "{error}");
    let error = refusal(&with_secret(json!([{"text": SECRET}, {"file": "/no/such/secret"}])));
    assert!(error.contains("/no/such/secret") && !error.contains(SECRET), "{error}");
}

#[test]
fn secrets_come_from_text_environment_default_and_file_in_one_line() {
    let path = env::var("PATH").unwrap();
    let file = file("key", &format!("{SECRET}\r\n\n"));
    let parts = json!([
        {"text": "a-"}, {"env": "PATH", "default": "unused"}, {"text": "-"},
        {"env": "PENSTOCK_UNSET_VARIABLE", "default": "fallback"}, {"text": "-"}, {"file": file},
    ]);
    let snapshot = decode(&with_secret(parts)).unwrap();
    assert!(head(&snapshot).contains(&format!("authorization: Bearer a-{path}-fallback-{SECRET}\r\n")));
    fs::remove_file(file).unwrap();
}

#[test]
fn a_secret_with_control_characters_is_refused_without_showing_it() {
    let bad = ["\r\nx-evil: 1", "\n", "\0", "\t", "\u{1b}[0m", "\u{7f}"];
    for tail in bad {
        for place in ["/dialects/openai/auth/secret", "/headers/0/1", "/proxy/authorization"] {
            let mut document = full();
            *document["providers"][0].pointer_mut(place).unwrap() = json!([{"text": format!("{SECRET}{tail}-end")}]);
            let error = refusal(&document);
            assert!(error.contains("one") && !error.contains(SECRET), "{place} {tail:?}: {error}");
        }
    }
    let file = file("two-lines", &format!("{SECRET}\nsecond\n"));
    let error = refusal(&with_secret(json!([{"file": file}])));
    assert!(!error.contains(SECRET), "{error}");
    fs::remove_file(file).unwrap();
}

#[test]
fn a_header_name_or_prefix_that_breaks_the_line_is_refused() {
    for (place, bad) in [
        ("/headers/0/0", "x extra"),
        ("/headers/0/0", "x:y"),
        ("/headers/0/0", "x\r\ny"),
        ("/headers/0/0", "é"),
        ("/dialects/openai/auth/header", "auth orization"),
        ("/dialects/openai/auth/prefix", "Bearer\r\nx: "),
    ] {
        let mut document = full();
        *document["providers"][0].pointer_mut(place).unwrap() = json!(bad);
        let error = refusal(&document);
        assert!(!error.contains(SECRET), "{place}: {error}");
    }
}

#[test]
fn no_debug_output_shows_a_secret() {
    let document: Document = serde_json::from_slice(&bytes(&full())).unwrap();
    let snapshot = decode(&full()).unwrap();
    let base = snapshot.providers[0].base(Dialect::OpenAi).unwrap();
    for shown in [
        format!("{document:?} {document:#?}"),
        format!("{snapshot:?} {snapshot:#?}"),
        format!("{:?} {base:?} {:?} {:?}", snapshot.providers, base.origin, snapshot.routes),
    ] {
        assert!(shown.len() > 100 && !shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn plain_http_behind_a_proxy_is_asked_for_in_absolute_form() {
    let prefix =
        |document: &Value| decode(document).unwrap().providers[0].base(Dialect::OpenAi).unwrap().target_prefix.clone();
    let mut document = full();
    assert_eq!(prefix(&document), "http://127.0.0.1:8080/v1");
    document["providers"][0]["dialects"]["openai"]["port"] = json!(80);
    assert_eq!(prefix(&document), "http://127.0.0.1/v1");
    document["providers"][0]["dialects"]["openai"]["host"] = json!("2001:db8::1");
    assert_eq!(prefix(&document), "http://[2001:db8::1]/v1");
    document["providers"][0]["dialects"]["openai"]["scheme"] = json!("https");
    assert_eq!(prefix(&document), "/v1", "through a tunnel");
    document["providers"][0]["proxy"] = Value::Null;
    document["providers"][0]["dialects"]["openai"]["scheme"] = json!("http");
    assert_eq!(prefix(&document), "/v1");
}

#[test]
fn the_proxys_credentials_go_to_the_proxy_alone() {
    let mut document = full();
    let line = format!("proxy-authorization: {SECRET}\r\n");
    assert!(head(&decode(&document).unwrap()).contains(&line));
    document["providers"][0]["dialects"]["openai"]["scheme"] = json!("https");
    assert!(
        !head(&decode(&document).unwrap()).contains("proxy-authorization"),
        "in a tunnel the provider would see it"
    );
    document["providers"][0]["proxy"] = Value::Null;
    assert!(!head(&decode(&document).unwrap()).contains("proxy-authorization"));
}

#[test]
fn passthrough_opens_whole_segments_and_never_the_organization() {
    let mut document = full();
    document["providers"][0]["passthrough"] = json!(["/files", "/batches/", "/organization"]);
    let snapshot = decode(&document).unwrap();
    let one = &snapshot.providers[0];
    for (path, open) in [
        ("/files", true),
        ("/files/f/content", true),
        ("/filesystem", false),
        ("/batches/b", true),
        ("/batches", false),
        ("/organization", false),
        ("/organization/users", false),
        ("/threads", false),
        ("", false),
        ("/", false),
    ] {
        assert_eq!(one.opens(path), open, "{path}");
    }
}

#[test]
fn zero_attempts_mean_one() {
    let mut document = minimal();
    document["max_attempts"] = json!(0);
    assert_eq!(decode(&document).unwrap().max_attempts, 1);
}
