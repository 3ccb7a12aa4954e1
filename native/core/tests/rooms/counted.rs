//! Tokens counted over HTTP: what is answered, what is refused, what a count costs, and whom it does not hold up.

use std::{fs, path::PathBuf, process, sync::atomic::Ordering::SeqCst};

use penstock_core::tokens::{Encoding, count_chat};
use serde_json::{Value, json};

use crate::{
    document::{model, provider},
    house::{Answer, Client, House, Upstream, document, until},
    keyed::{assert_refused, bearer, error, keyed_document, keyed_house, put_known, request},
};

const COUNT: &str = "/v1/tokens/count";
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

fn tables() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../python/penstock/tokens")
}

/// The model `fast` is `gpt-4o` at an upstream, `old` is `gpt-4`, `wise` a Claude; `up/` leads there too.
fn scene(port: u16) -> Value {
    let mut document = document(port);
    let targets = [("fast", Some("gpt-4o")), ("old", Some("gpt-4")), ("wise", Some("claude-opus-4-6"))];
    document["models"] = targets.map(|(name, upstream)| model(name, "up", upstream)).into();
    document
}

fn house(document: &Value, tables: &PathBuf) -> House {
    House::start_with(document, 1, 0, &json!({"tokens_dir": tables}))
}

fn post(house: &House, path: &str, body: &Value) -> Answer {
    house.client().ask(&request("POST", path, &[], body)).unwrap()
}

fn counted(house: &House, body: &Value) -> Value {
    let answer = post(house, COUNT, body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

fn source(answer: &Answer) -> Option<&str> {
    answer.head.lines().find_map(|line| line.strip_prefix("x-penstock-token-source: "))
}

#[test]
fn texts_count_as_the_model_counts_them_by_whatever_name_it_is_asked_for() {
    let upstream = Upstream::start();
    let house = house(&scene(upstream.port), &tables());
    let six = "tokens of a text: six";
    for (model, field, value, tokens, encoding, source) in [
        ("fast", "text", json!("hello world"), 2, "o200k_base", "counted"),
        ("fast", "input", json!("hello world"), 2, "o200k_base", "counted"),
        ("fast", "input", json!(["hello", " world", ""]), 2, "o200k_base", "counted"),
        ("fast", "text", json!([]), 0, "o200k_base", "counted"),
        ("fast", "text", json!("<|endoftext|>"), 7, "o200k_base", "counted"),
        ("old", "text", json!(six), 6, "cl100k_base", "counted"),
        ("up/gpt-4-0613", "text", json!(six), 6, "cl100k_base", "counted"),
        ("up/llama", "text", json!(six), 7, "o200k_base", "estimated"),
        ("wise", "text", json!(six), 8, "o200k_base", "estimated"),
        ("cl100k_base", "text", json!(six), 6, "cl100k_base", "counted"),
    ] {
        let body = json!({"model": model, field: value, "messages": null, "user": "x"});
        let expected = json!({"model": model, "tokens": tokens, "encoding": encoding, "source": source});
        assert_eq!(counted(&house, &body), expected, "{body}");
    }
    let answer = post(&house, "/tokens/count", &json!({"model": "fast", "text": "hello world"}));
    assert_eq!((answer.status, source(&answer)), (200, Some("counted")), "without /v1 as well");
    assert_eq!(upstream.asked.load(SeqCst), 0);
    house.stop();
}

#[test]
fn chats_of_both_dialects_count_as_the_room_of_tokens_says() {
    let house = house(&scene(1), &tables());
    let encoding = Encoding::open(&tables(), "o200k_base").unwrap();
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    for (name, upstream) in [("fast", "gpt-4o"), ("wise", "claude-opus-4-6")] {
        let body = json!({
            "model": name, "system": "Be kind.", "tools": [tool],
            "messages": [{"role": "user", "content": "hello"}, {"role": "user", "content": [{"type": "text", "text": "x"}]}],
        });
        let expected = count_chat(&encoding, upstream, body.to_string().as_bytes()).unwrap();
        assert_eq!(counted(&house, &body)["tokens"], expected);
        let answer = post(&house, COUNT_TOKENS, &body);
        assert_eq!(answer.body, json!({"input_tokens": expected}).to_string());
        assert_eq!(source(&answer), Some(if name == "fast" { "counted" } else { "estimated" }));
    }
    house.stop();
}

#[test]
fn a_provider_that_speaks_anthropic_counts_itself() {
    let upstream = Upstream::start();
    let mut document = scene(upstream.port);
    let mut second = provider("claude", upstream.port);
    second["dialects"] = json!({"anthropic": second["dialects"]["openai"]});
    let mut third = second.clone();
    (third["name"], third["supports_count_tokens"]) = (json!("ollama"), json!(false));
    document["providers"] = json!([provider("up", upstream.port), second, third]);
    document["models"][0]["fallback"] = json!([{"provider": "claude", "model": "claude-opus-4-6", "weight": 1}]);
    let house = house(&document, &tables());
    let body = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    for model in ["fast", "claude/any"] {
        let before = upstream.asked.load(SeqCst);
        let answer = post(&house, COUNT_TOKENS, &body(model));
        assert_eq!((answer.status, source(&answer)), (200, None));
        assert_eq!(upstream.asked.load(SeqCst), before + 1, "{model}");
        assert_eq!(counted(&house, &body(model))["model"], model, "the path of ours asks nobody");
        assert_eq!(upstream.asked.load(SeqCst), before + 1);
    }
    let before = upstream.asked.load(SeqCst);
    let answer = post(&house, COUNT_TOKENS, &body("ollama/any"));
    assert_eq!((answer.status, source(&answer)), (200, Some("estimated")), "it has no such path");
    assert_eq!(upstream.asked.load(SeqCst), before);
    let answer = post(&house, COUNT_TOKENS, &body("nothing"));
    assert_refused(&answer, 404, "model_not_found");
    assert_eq!(error(&answer)["type"], "not_found_error");
    house.stop();
}

#[test]
fn what_cannot_be_counted_is_refused_and_the_field_named() {
    let house = house(&scene(1), &tables());
    let one = json!([{"role": "user", "content": "hi"}]);
    for (field, body) in [
        ("messages", json!({"model": "fast"})),
        ("messages", json!({"model": "fast", "messages": "hi"})),
        ("messages", json!({"model": "fast", "messages": {"role": "user"}})),
        ("messages", json!({"model": "fast", "messages": ["hi"]})),
        ("input", json!({"model": "fast", "input": 5})),
        ("input", json!({"model": "fast", "input": ["a", 5]})),
        ("input", json!({"model": "fast", "input": [["a"]]})),
        ("text", json!({"model": "fast", "text": {"a": 1}})),
        ("text", json!({"model": "fast", "text": "a", "input": "a"})),
        ("input", json!({"model": "fast", "messages": one, "input": "a"})),
        ("text", json!({"model": "fast", "messages": one, "text": "a"})),
        ("functions", json!({"model": "fast", "messages": one, "tools": [{}], "functions": [{}]})),
        ("model", json!({"text": "a"})),
        ("model", json!({"model": 5, "text": "a"})),
        ("model", json!({"model": "", "text": "a"})),
    ] {
        let answer = post(&house, COUNT, &body);
        assert_refused(&answer, 400, "invalid_request");
        assert_eq!(error(&answer)["param"], field, "{body}");
    }
    assert_refused(&post(&house, COUNT, &json!({"model": "quick", "text": "a"})), 404, "model_not_found");
    assert_refused(&post(&house, COUNT_TOKENS, &json!({"model": "fast", "text": "a"})), 400, "invalid_request");
    let form = "--B\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nfast\r\n--B--\r\n";
    let head = format!(
        "POST {COUNT} HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=B\r\ncontent-length: {}\r\n\r\n",
        form.len()
    );
    let answer = house.client().ask(&(head + form)).unwrap();
    assert_refused(&answer, 400, "invalid_request");
    assert_eq!(error(&answer)["param"], "content-type");
    assert_refused(&house.client().get(COUNT), 405, "method_not_allowed");
    house.stop();
}

#[test]
fn a_key_counts_for_its_own_models_on_its_own_paths_only() {
    let house = keyed_house(&keyed_document(1), 1);
    let body = |model: &str| json!({"model": model, "text": "a"});
    assert_refused(&post(&house, COUNT, &body("fast")), 401, "missing_api_key");
    let ask = |key: &str, body: &Value| {
        house.client().ask(&request("POST", COUNT, &[("authorization", &bearer(key))], body)).unwrap()
    };
    let key = put_known(&house, "abcdefghijkl", &json!({"models": ["fast"]}));
    assert_eq!(ask(&key, &body("fast")).status, 200);
    assert_refused(&ask(&key, &body("slow")), 403, "model_not_allowed");
    assert_refused(&ask(&key, &body("o200k_base")), 403, "model_not_allowed");
    let key = put_known(&house, "mnopqrstuvwx", &json!({"paths": ["/chat/completions"]}));
    assert_refused(&ask(&key, &body("fast")), 403, "path_closed");
    house.stop();
}

#[test]
fn a_count_is_a_request_and_costs_neither_tokens_nor_money() {
    let mut document = scene(1);
    let hour = |amount: u64| json!([{"amount": amount, "window_us": 3_600_000_000_u64}]);
    document["limits"]["models"] =
        json!({"fast": {"requests": hour(3), "tokens": hour(5), "budget": hour(1), "reserve": "cap"}});
    let house = house(&document, &tables());
    let text = json!({"model": "fast", "text": "far more than five tokens, and nobody knows what they cost"});
    assert_eq!(post(&house, COUNT, &text).status, 200);
    let chat = json!({"model": "fast", "messages": [{"role": "user", "content": "hi"}]});
    let answer = post(&house, COUNT_TOKENS, &chat);
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("anthropic-ratelimit-requests-remaining: 1\r\n"), "{}", answer.head);
    assert_refused(&post(&house, COUNT, &json!({"model": "fast", "text": 5})), 400, "invalid_request");
    assert_refused(&post(&house, COUNT, &text), 429, "rate_limit_requests");
    let uses: Value = serde_json::from_slice(&house.engine.limits_use("model", "fast").unwrap()).unwrap();
    let used: Vec<_> = uses.as_array().unwrap().iter().map(|of| (of["kind"].as_str().unwrap(), &of["used"])).collect();
    assert_eq!(used, [("requests", &json!(3)), ("tokens", &json!(0)), ("budget", &json!(0))]);
    house.stop();
}

#[test]
fn without_tables_tokens_are_guessed_from_bytes() {
    let directory = |name: &str| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", process::id()));
    let damaged = directory("damaged-tables");
    fs::create_dir_all(&damaged).unwrap();
    fs::write(damaged.join("o200k_base.table"), "penstok1, or so it says").unwrap();
    let document = scene(1);
    let without =
        [house(&document, &directory("no-tables")), house(&document, &damaged), House::start(&document, 1, 0)];
    for house in without {
        for text in ["x".repeat(300), "x".repeat(30_000)] {
            let expected = json!({
                "model": "fast", "tokens": text.len() / 3, "encoding": null, "source": "estimated",
            });
            assert_eq!(counted(&house, &json!({"model": "fast", "text": text})), expected);
        }
        let body = json!({"model": "fast", "messages": [{"role": "user", "content": "hi"}]});
        let answer = post(&house, COUNT_TOKENS, &body);
        assert_eq!(source(&answer), Some("estimated"));
        let tokens = serde_json::from_str::<Value>(&answer.body).unwrap()["input_tokens"].as_u64().unwrap();
        assert_eq!(tokens, (body.to_string().len() as u64).div_ceil(3));
        house.stop();
    }
    fs::remove_dir_all(&damaged).unwrap();
}

#[test]
fn a_long_count_holds_nobody_up_and_one_that_is_given_up_holds_nothing() {
    let house = house(&scene(1), &tables());
    let long = json!({"model": "old", "text": "qxzjkvwpyf".repeat(100_000)});
    let begin = || {
        let mut client = house.client();
        client.send(&request("POST", COUNT, &[], &long)).unwrap();
        client
    };
    let mut counting: Vec<Client> = (0..3).map(|_| begin()).collect();
    until("all are in work", || (house.status()["buffered_bytes"].as_u64() >= Some(2_000_000)).then_some(()));
    // The one worker answers others meanwhile; the last of the three has no turn yet, and leaves.
    assert_eq!(house.client().get("/v1/models").status, 200);
    assert!(!house.engine.is_idle());
    counting.pop().unwrap().leave();
    for mut client in counting {
        let answer = client.answer().unwrap();
        let tokens = serde_json::from_str::<Value>(&answer.body).unwrap()["tokens"].as_u64();
        assert!(tokens > Some(100_000), "{}", answer.body);
    }
    until("nothing is held", || (house.engine.is_idle() && house.status()["buffered_bytes"] == 0).then_some(()));
    house.stop();
}
