//! Every error of ours has a shape in every dialect.

use penstock_core::{
    dialects::{Dialect, StreamKind, anthropic, error_body, openai},
    error::{Code, Error},
    relay::tap::{Meaning, Tap},
};
use serde_json::{Value, json};

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn every_code_has_an_envelope_in_every_dialect() {
    for &code in Code::ALL {
        let error = Error::new(code, "what \"is\" wrong\n").at("model");
        let body = parsed(&error_body(Dialect::OpenAi, &error, "r1"));
        let (kind, number) = openai::type_code(code);
        let inner = json!({"message": "what \"is\" wrong\n", "type": kind, "param": "model", "code": number});
        assert_eq!(body, json!({ "error": inner }));

        let body = parsed(&error_body(Dialect::Anthropic, &error, "r1"));
        let inner = json!({"type": anthropic::error_type(code), "message": "what \"is\" wrong\n"});
        assert_eq!(body, json!({"type": "error", "error": inner, "request_id": "r1"}));

        let body = parsed(&error_body(Dialect::Ollama, &error, "r1"));
        assert_eq!(body, json!({"error": "what \"is\" wrong\n"}));
    }
}

#[test]
fn codes_carry_the_vendors_own_names_where_there_are_any() {
    for (code, kind, name) in [
        (Code::InvalidApiKey, "invalid_request_error", Some("invalid_api_key")),
        (Code::KeyDisabled, "invalid_request_error", Some("invalid_api_key")),
        (Code::KeyExpired, "invalid_request_error", Some("invalid_api_key")),
        (Code::ModelNotAllowed, "request_forbidden", Some("model_not_allowed")),
        (Code::ModelUnpriced, "request_forbidden", Some("model_unpriced")),
        (Code::RequestExceedsLimit, "invalid_request_error", Some("request_exceeds_limit")),
        (Code::RateLimitRequests, "requests", Some("rate_limit_exceeded")),
        (Code::RateLimitConcurrent, "requests", Some("rate_limit_exceeded")),
        (Code::RateLimitTokens, "tokens", Some("rate_limit_exceeded")),
        (Code::BudgetExceeded, "insufficient_quota", Some("insufficient_quota")),
        (Code::StoreUnavailable, "server_error", Some("store_unavailable")),
        (Code::ModelNotFound, "invalid_request_error", Some("model_not_found")),
        (Code::InvalidJson, "invalid_request_error", Some("invalid_json")),
        (Code::PathNotFound, "invalid_request_error", None),
        (Code::UpstreamTimeout, "server_error", Some("upstream_timeout")),
    ] {
        assert_eq!(openai::type_code(code), (kind, name));
    }
    for (code, kind) in [
        (Code::InvalidJson, "invalid_request_error"),
        (Code::InvalidApiKey, "authentication_error"),
        (Code::KeyExpired, "authentication_error"),
        (Code::RateLimitRequests, "rate_limit_error"),
        (Code::RateLimitTokens, "rate_limit_error"),
        (Code::RateLimitConcurrent, "rate_limit_error"),
        (Code::BudgetExceeded, "rate_limit_error"),
        (Code::RequestExceedsLimit, "invalid_request_error"),
        (Code::ModelUnpriced, "permission_error"),
        (Code::StoreUnavailable, "api_error"),
        (Code::PathClosed, "permission_error"),
        (Code::ModelNotFound, "not_found_error"),
        (Code::BodyTooLarge, "request_too_large"),
        (Code::Internal, "api_error"),
        (Code::UpstreamConnect, "api_error"),
        (Code::Overloaded, "overloaded_error"),
        (Code::FirstTokenTimeout, "timeout_error"),
    ] {
        assert_eq!(anthropic::error_type(code), kind);
    }
}

#[test]
fn an_error_frame_is_an_error_to_our_own_tap() {
    for &kind in StreamKind::ALL {
        let mut frame = Vec::new();
        kind.error_frame(&Error::new(Code::UpstreamCut, "cut"), "r1", &mut frame);
        let (meaning, _) = Tap::new(kind, false).frame(&frame);
        assert!(matches!(&meaning, Meaning::Error(e) if e.message == "cut"), "{kind:?} {meaning:?}");
    }
}

#[test]
fn the_error_event_of_responses_is_flat_and_nested() {
    let mut frame = Vec::new();
    StreamKind::Responses.error_frame(&Error::new(Code::UpstreamCut, "cut"), "r1", &mut frame);
    let data = frame.strip_prefix(b"event: error\ndata: ").unwrap();
    let data = parsed(data);
    assert_eq!(
        (&data["type"], &data["message"], &data["code"]),
        (&json!("error"), &json!("cut"), &json!("upstream_cut"))
    );
    assert_eq!(data["error"]["message"], "cut");
}

#[test]
fn a_keep_alive_is_no_model_frame_or_an_empty_one() {
    for &kind in StreamKind::ALL {
        let mut frame = Vec::new();
        kind.keep_alive("m\"x", 0, &mut frame);
        let (meaning, _) = Tap::new(kind, false).frame(&frame);
        let lines = kind.is_lines();
        assert_eq!(meaning, if lines { Meaning::Model } else { Meaning::Comment }, "{kind:?}");
        if lines {
            let object = parsed(&frame);
            assert_eq!((&object["model"], &object["done"]), (&json!("m\"x"), &json!(false)));
            let text = if kind == StreamKind::OllamaChat { &object["message"]["content"] } else { &object["response"] };
            assert_eq!(text, "");
        }
    }
}
