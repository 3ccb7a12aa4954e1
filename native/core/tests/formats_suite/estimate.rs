//! What a request may use, as its body tells before anybody has answered.

use penstock_core::{
    dialects::usage::Tier,
    limits::Reserve,
    request::{
        endpoint::Api,
        estimate::{Answers, Estimate, FIRST_GUESS, IMAGE_TOKENS, Prompt, answers_in_tokens, attached::attached},
        scan::scan,
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::json_noise;

fn base64(bytes: usize) -> String {
    "QUJD".repeat(bytes / 4)
}

/// Bytes of text that a body of JSON loses to what is attached, and its images.
fn beside(body: &Value) -> (u64, u64) {
    let bytes = serde_json::to_vec(body).unwrap();
    let prompt = Prompt::of_json(&bytes);
    (bytes.len() as u64 - prompt.text_bytes, prompt.images)
}

fn message(parts: &Value) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": parts}]})
}

#[test]
fn what_is_attached_is_no_text_wherever_a_dialect_has_it() {
    let data = base64(4_000);
    let url = format!("data:image/png;base64,{data}");
    let (raw, of_url) = (data.len() as u64, url.len() as u64);
    let anthropic = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}});
    for (what, body, expected) in [
        ("chat, data", message(&json!([{"type": "image_url", "image_url": {"url": url}}])), (of_url, 1)),
        ("chat, address", message(&json!([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}])), (0, 1)),
        (
            "chat, sound",
            message(&json!([{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}])),
            (raw, 0),
        ),
        ("chat, file", message(&json!([{"type": "file", "file": {"filename": "a.pdf", "file_data": data}}])), (raw, 0)),
        (
            "responses, image",
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}),
            (of_url, 1),
        ),
        ("responses, image by id", json!({"input": [{"content": [{"type": "input_image", "file_id": "f"}]}]}), (0, 1)),
        ("responses, file", json!({"input": [{"content": [{"type": "input_file", "file_data": data}]}]}), (raw, 0)),
        (
            "responses, screenshot",
            json!({"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": url}}]}),
            (of_url, 1),
        ),
        ("responses, made image", json!({"input": [{"type": "image_generation_call", "result": data}]}), (raw, 1)),
        ("anthropic, image", message(&json!([{"type": "text", "text": "look"}, anthropic])), (raw, 1)),
        (
            "anthropic, type last",
            message(&json!([{"source": {"data": data, "type": "base64"}, "type": "image"}])),
            (raw, 1),
        ),
        ("anthropic, result of a tool", message(&json!([{"type": "tool_result", "content": [anthropic]}])), (raw, 1)),
        (
            "anthropic, PDF",
            message(&json!([{"type": "document", "source": {"type": "base64", "data": data}}])),
            (raw, 0),
        ),
        (
            "anthropic, address",
            message(&json!([{"type": "image", "source": {"type": "url", "url": "https://x"}}])),
            (0, 1),
        ),
        ("ollama, chat", json!({"messages": [{"role": "user", "content": "x", "images": [data, data]}]}), (2 * raw, 2)),
        ("ollama, generate", json!({"prompt": "x", "images": [data]}), (raw, 1)),
        ("images", json!({"prompt": "x", "images": [{"image_url": url}]}), (of_url, 1)),
    ] {
        assert_eq!(beside(&body), expected, "{what}");
    }
}

#[test]
fn what_a_model_reads_is_text_whatever_it_looks_like() {
    let long = base64(4_000);
    let url = format!("data:image/png;base64,{long}");
    for body in [
        message(&json!(url)),
        message(&json!([{"type": "text", "text": url}])),
        message(&json!([{"type": "document", "source": {"type": "text", "data": long}}])),
        message(&json!([{"type": "tool_use", "input": {"images": [long], "image_url": url, "file_data": long}}])),
        json!({"prompt": "x", "data": long, "image_url": url, "file_data": long}),
        json!({"tools": [{"messages": [{"images": [long]}], "image_url": url}]}),
        json!({"messages": {"nested": {"images": [long]}}}),
    ] {
        assert_eq!(beside(&body).0, 0, "{body}");
    }
    assert_eq!(attached(b"{\"images\": [\"data"), attached(b""), "what cannot be read is text");
}

#[test]
fn files_count_by_their_bytes_where_the_most_is_reserved() {
    let data = base64(4_000);
    let document = |kind: &str| json!([{"type": kind, "source": {"type": "base64", "data": data}}]);
    for (what, body, file_bytes) in [
        ("sound", message(&json!([{"type": "input_audio", "input_audio": {"data": data}}])), 4_000),
        ("file", json!({"input": [{"content": [{"type": "input_file", "file_data": data}]}]}), 4_000),
        ("PDF", message(&document("document")), 4_000),
        ("image", message(&document("image")), 0),
        ("made image", json!({"input": [{"type": "image_generation_call", "result": data}]}), 0),
    ] {
        let prompt = Prompt::of_json(&serde_json::to_vec(&body).unwrap());
        assert_eq!(prompt.file_bytes, file_bytes, "{what}");
        let estimate = Estimate::new(prompt, Answers { cap: Some(0), own_cap: None, count: 1 }, None, Tier::Standard);
        let beside = prompt.images * IMAGE_TOKENS;
        assert_eq!(estimate.tokens(Reserve::Cap).0, prompt.text_bytes + file_bytes.div_ceil(3) + beside, "{what}");
        assert_eq!(estimate.tokens(Reserve::Expected).0, prompt.text_bytes.div_ceil(3) + beside, "{what}");
    }
}

#[test]
fn escapes_hide_nothing() {
    let data = base64(4_000);
    for body in [
        r#"{"messages":[{"content":[{"type":"im\u0061ge_url","im\u0061ge_url":{"url":"https://x"}}]}]}"#.to_owned(),
        format!(r#"{{"messages":[{{"\u0069mages":["{data}"]}}]}}"#),
        r#"{"input":[{"content":[{"type":"input_im\u0061ge","file\u005fid":"f"}]}]}"#.to_owned(),
    ] {
        assert_eq!(Prompt::of_json(body.as_bytes()).images, 1, "{body}");
    }
}

#[test]
fn what_our_reader_does_not_take_hides_nothing() {
    let image = r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x"}}]}"#;
    let deep = format!("{}1{}", r#"{"content":["#.repeat(60), "]}".repeat(60));
    for other in
        [r#"{"role":"user","content":"\ud83d"}"#, r#"{"content":"\\ud83d\uDE00\uD83D"}"#, r#"{"\udead":1}"#, &deep]
    {
        let body = format!(r#"{{"messages":[{other},{image}]}}"#);
        assert!(scan(body.as_bytes(), 128).is_ok());
        assert_eq!(Prompt::of_json(body.as_bytes()).images, 1, "{body}");
    }
}

#[test]
fn what_is_still_to_come_of_a_form_may_be_text() {
    let prompt = Prompt { text_bytes: 30, bytes_to_come: 1_000, ..Prompt::default() };
    let estimate = Estimate::new(prompt, Answers { cap: Some(0), own_cap: None, count: 1 }, None, Tier::Standard);
    assert_eq!((estimate.tokens(Reserve::Cap).0, estimate.tokens(Reserve::Expected).0), (1_030, 10));
}

#[test]
fn sound_lasts_about_as_its_bytes_say_and_at_most_as_the_poorest_would() {
    let seconds = |prompt: Prompt, reserve| prompt.measured(Api::Transcription, reserve).audio_seconds;
    let prompt = Prompt { text_bytes: 900, file_bytes: 39_000, ..Prompt::default() };
    assert_eq!([Reserve::Expected, Reserve::Cap].map(|reserve| seconds(prompt, reserve)), [10, 78]);
    let flows = Prompt { bytes_to_come: 1_000, ..prompt };
    assert_eq!([Reserve::Expected, Reserve::Cap].map(|reserve| seconds(flows, reserve)), [10, 80]);
    assert_eq!(seconds(Prompt { bytes_to_come: u64::MAX, ..prompt }, Reserve::Expected), 10, "nobody knows");
    assert_eq!(prompt.measured(Api::Speech, Reserve::Cap).input_characters, 900);
    assert!(prompt.measured(Api::Chat, Reserve::Cap).is_nothing());
}

fn answers(api: Api, body: &str, usual: Option<u64>) -> (Option<u64>, u64) {
    let found = scan(body.as_bytes(), 128).unwrap();
    let answers = Answers::of(api, Some(&found), usual);
    (answers.cap, answers.count)
}

#[test]
fn the_cap_is_the_largest_that_the_request_gives_else_the_models() {
    for (api, body, expected) in [
        (Api::Chat, r#"{"max_tokens":10,"max_completion_tokens":30,"n":3}"#, (Some(30), 3)),
        (Api::Chat, r#"{"max_tokens":null,"n":0}"#, (Some(900), 1)),
        (Api::Chat, r#"{"best_of":9,"max_tokens":1}"#, (Some(1), 1)),
        (Api::Completions, r#"{"best_of":9,"n":2,"max_tokens":1}"#, (Some(1), 9)),
        (Api::Responses, r#"{"max_output_tokens":7}"#, (Some(7), 1)),
        (Api::Messages, r#"{"max_tokens":64}"#, (Some(64), 1)),
        (Api::OllamaChat, r#"{"options":{"num_predict":12},"max_tokens":5}"#, (Some(12), 1)),
        (Api::OllamaGenerate, r#"{"options":{"num_predict":12.0}}"#, (Some(12), 1)),
        (Api::Chat, r#"{"max_output_tokens":10}"#, (Some(900), 1)),
        (Api::Completions, r#"{"max_completion_tokens":10}"#, (Some(900), 1)),
        (Api::Messages, r#"{"max_completion_tokens":10,"max_output_tokens":10}"#, (Some(900), 1)),
        (Api::Responses, r#"{"max_tokens":10,"max_output_tokens":7}"#, (Some(7), 1)),
        (Api::Compact, r#"{"max_tokens":10}"#, (Some(900), 1)),
        (Api::Chat, r#"{"max_tokens":10,"n_predict":30,"num_predict":20}"#, (Some(30), 1)),
        (Api::Chat, r#"{"max_tokens":10,"n_predict":3}"#, (Some(10), 1)),
        (Api::Chat, r#"{"n_predict":3}"#, (Some(900), 1)),
        (Api::Chat, r#"{"max_tokens":0}"#, (None, 1)),
        (Api::Chat, r#"{"max_tokens":0,"max_completion_tokens":10}"#, (None, 1)),
        (Api::Messages, r#"{"max_tokens":0}"#, (Some(0), 1)),
        (Api::Completions, r#"{"max_tokens":0}"#, (None, 1)),
        (Api::Completions, r#"{"max_tokens":10,"n_predict":-1}"#, (None, 1)),
        (Api::Completions, r#"{"max_tokens":10,"n_predict":null}"#, (Some(10), 1)),
        (Api::OllamaChat, r#"{"num_predict":30}"#, (Some(900), 1)),
        (Api::OllamaChat, r#"{"options":{"num_predict":-1}}"#, (None, 1)),
        (Api::OllamaChat, r#"{"options":{"num_predict":0}}"#, (None, 1)),
        (Api::OllamaChat, r#"{"options":{"num_predict":1,"num_predict":100}}"#, (None, 1)),
        (Api::OllamaChat, r#"{"options":{"num_predict":1,"num_pr\u0065dict":100}}"#, (None, 1)),
        (Api::OllamaChat, r#"{"options":{"num_predict":"9"}}"#, (None, 1)),
        (Api::OllamaChat, r#"{"options":{"num_predict":null}}"#, (Some(900), 1)),
        (Api::OllamaChat, r#"{"options":null}"#, (Some(900), 1)),
        (Api::OllamaChat, r#"{"options":{}}"#, (Some(900), 1)),
        (Api::Embeddings, r#"{"max_tokens":64,"n":2}"#, (Some(0), 1)),
        (Api::Images, r#"{"n":4}"#, (Some(0), 1)),
    ] {
        assert_eq!(answers(api, body, Some(900)), expected, "{body}");
    }
    assert_eq!(answers(Api::Chat, "{}", None), (None, 1));
}

#[test]
fn each_of_several_prompts_is_answered() {
    let thousand = format!(r#"{{"max_tokens":1000,"n":2,"prompt":[{}"x"]}}"#, r#""x","#.repeat(999));
    for (api, body, count) in [
        (Api::Completions, thousand.as_str(), 2_000),
        (Api::Chat, &thousand, 2),
        (Api::Completions, r#"{"prompt":[[1,2],[3],[]],"best_of":2}"#, 6),
        (Api::Completions, r#"{"prompt":[1,2,3]}"#, 1),
        (Api::Completions, r#"{"prompt":["a",1,[2]]}"#, 2),
        (Api::Completions, r#"{"prompt":[]}"#, 1),
        (Api::Completions, r#"{"prompt":"a,b"}"#, 1),
        (Api::Completions, r#"{"pr\u006fmpt":["a","b"]}"#, 2),
    ] {
        assert_eq!(answers(api, body, None).1, count, "{body}");
    }
}

#[test]
fn a_guess_is_never_certain() {
    let prompt = Prompt { text_bytes: 301, ..Prompt::default() };
    let of = |cap, count, usual| Estimate::new(prompt, Answers { cap, own_cap: cap, count }, usual, Tier::Standard);
    for (estimate, certain) in [
        (of(None, 1, Some(1_000_000)), 1),
        (of(Some(9), 3, Some(40)), 3),
        (of(Some(0), 3, Some(40)), 0),
        (of(None, 3, Some(0)), 0),
    ] {
        assert_eq!(estimate.certain(Reserve::Expected), (101, certain));
        assert_eq!(estimate.certain(Reserve::Cap), estimate.tokens(Reserve::Cap));
    }
}

#[test]
fn what_is_expected_is_what_is_usual_within_the_cap_and_for_each_choice() {
    let prompt = Prompt { text_bytes: 301, images: 2, ..Prompt::default() };
    let images = 2 * IMAGE_TOKENS;
    let of = |cap, count, usual| Estimate::new(prompt, Answers { cap, own_cap: None, count }, usual, Tier::Standard);
    for (estimate, expected, most) in [
        (of(None, 1, None), FIRST_GUESS, FIRST_GUESS),
        (of(Some(100), 1, None), 100, 100),
        (of(Some(1_000), 2, Some(40)), 80, 2_000),
        (of(Some(0), 1, Some(40)), 0, 0),
        (of(Some(u64::MAX), 2, Some(u64::MAX)), u64::MAX, u64::MAX),
    ] {
        assert_eq!(estimate.tokens(Reserve::Expected), (101 + images, expected));
        assert_eq!(estimate.tokens(Reserve::Cap), (301 + images, most));
    }
}

#[test]
fn apis_that_ask_about_models_answer_in_no_tokens() {
    for api in [Api::Embeddings, Api::Moderations, Api::Images, Api::Speech, Api::Transcription, Api::CountTokens] {
        assert!(!answers_in_tokens(api), "{api:?}");
    }
}

proptest! {
    #[test]
    fn no_body_is_estimated_beyond_its_bytes(value in json_noise::value(), style in json_noise::style()) {
        let body = json_noise::write(&json!({"messages": [value.clone()], "images": value, "x": "image \"data"}), &style);
        let found = attached(body.as_bytes());
        prop_assert!(found.image_bytes + found.file_bytes <= body.len() as u64);
        prop_assert!(found.images <= body.len() as u64);
    }
}
