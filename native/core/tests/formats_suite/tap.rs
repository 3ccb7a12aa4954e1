//! Usage, finish, errors and ends of each dialect's streams.

use penstock_core::{
    dialects::{
        StreamKind::{self, Chat, Completions, Messages, OllamaChat, OllamaGenerate, OtherSse, Responses},
        usage::Tier,
    },
    relay::tap::{Closing, Meaning, Tap, UpstreamError, Usage},
};

use crate::drive::{tokens, whole};

const CHUNK: &str = r#"data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a \"usage\": \"error\" \\"},"finish_reason":null}],"usage":null}

"#;
const FINISH: &str = r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

"#;
const USAGE: &str = r#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1},"completion_tokens_details":{"reasoning_tokens":2,"audio_tokens":5}}}

"#;
const DONE: &str = "data: [DONE]\n\n";

fn error(seen: &crate::drive::Seen) -> &UpstreamError {
    let found = seen.meanings.iter().find_map(|m| if let Meaning::Error(e) = m { Some(e) } else { None });
    found.expect("an error")
}

#[test]
fn a_whole_chat_passes_untouched() {
    let body = [CHUNK, CHUNK, FINISH, USAGE, DONE].concat();
    let seen = whole(Chat, false, &body);
    assert_eq!(seen.out, body);
    assert_eq!(seen.finish.as_deref(), Some("stop"));
    assert_eq!(
        seen.usage,
        Some(Usage { cached_tokens: 4, audio_tokens: 6, audio_output_tokens: 5, reasoning_tokens: 2, ..tokens(9, 3) })
    );
    assert_eq!((seen.ended, seen.frames, seen.closing), (true, 4, Closing::Complete(b"")));
    assert_eq!(seen.meanings.last(), Some(&Meaning::End));
}

#[test]
fn the_usage_frame_that_only_we_asked_for_is_swallowed() {
    let body = [CHUNK, FINISH, USAGE, DONE].concat();
    let seen = whole(Chat, true, &body);
    assert_eq!(seen.out, [CHUNK, FINISH, DONE].concat());
    assert_eq!(seen.usage.map(|u| u.prompt_tokens), Some(9));
    // Usage beside choices is part of the answer.
    let finish = FINISH.replace("\"usage\":null", r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#);
    let seen = whole(Completions, true, &finish);
    assert_eq!((seen.out, seen.usage), ([&finish, DONE].concat(), Some(tokens(1, 2))));
}

#[test]
fn the_last_usage_wins_and_null_is_none() {
    let second = USAGE.replace(":9,", ":10,");
    let seen = whole(Chat, false, &[CHUNK, USAGE, &second, FINISH].concat());
    assert_eq!(seen.usage.map(|u| u.prompt_tokens), Some(10));
    assert_eq!(whole(Chat, false, &[CHUNK, FINISH].concat()).usage, None);
}

#[test]
fn usage_that_stands_in_a_choice_counts_where_none_stands_beside_it() {
    let within = |usage: &str, choices: &str| {
        FINISH
            .replace("\"usage\":null", usage)
            .replace("\"finish_reason\":\"stop\"", &format!("\"finish_reason\":\"stop\",{choices}"))
    };
    let of_choice =
        r#""usage":{"prompt_tokens":10000,"completion_tokens":200,"total_tokens":10200,"cached_tokens":9000}"#;
    let expected = Usage { cached_tokens: 9_000, ..tokens(10_000, 200) };
    for outer in [r#""usage":null"#, r#""id":"c""#] {
        let body = [CHUNK, &within(outer, of_choice), DONE].concat();
        let seen = whole(Chat, true, &body);
        assert_eq!((seen.out, seen.usage), (body, Some(expected)));
    }
    let outer = r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#;
    assert_eq!(whole(Chat, false, &within(outer, of_choice)).usage, Some(tokens(1, 2)));
    let first = format!("data: {{{outer},\"choices\":[{{\"finish_reason\":\"stop\",{of_choice}}}]}}\n\n");
    assert_eq!(whole(Chat, false, &first).usage, Some(tokens(1, 2)));
    assert_eq!(whole(Chat, false, &within(r#""usage":null"#, r#""usage":null"#)).usage, None);
}

#[test]
fn a_chat_with_finish_but_no_end_mark_is_completed() {
    let seen = whole(Chat, false, &[CHUNK, FINISH].concat());
    assert_eq!((seen.out, seen.ended), ([CHUNK, FINISH, DONE].concat(), false));
}

#[test]
fn a_chat_without_finish_is_cut() {
    assert_eq!(whole(Chat, false, CHUNK).closing, Closing::Cut);
    assert_eq!(whole(Chat, false, "").closing, Closing::Cut);
    let empty = FINISH.replace("stop", "");
    assert_eq!(whole(Chat, false, &empty).closing, Closing::Cut);
}

#[test]
fn one_choice_that_finished_is_enough() {
    let both = r#"data: {"choices":[{"index":1,"finish_reason":"length"},{"index":0,"finish_reason":null}]}

"#;
    assert_eq!(whole(Chat, false, both).finish.as_deref(), Some("length"));
}

#[test]
fn a_doubled_end_and_what_follows_the_end_are_dropped() {
    let seen = whole(Chat, false, &[FINISH, DONE, DONE, CHUNK, ": late\n\n", USAGE].concat());
    assert_eq!(seen.out, [FINISH, DONE].concat());
    assert_eq!(seen.usage, None);
}

#[test]
fn an_end_mark_is_known_in_every_disguise() {
    for disguise in ["data: \"[DONE]\"\n\n", "data:  [DONE] \n\n", "id: 1\ndata: [DONE]\n\n"] {
        let seen = whole(Chat, false, &[FINISH, disguise].concat());
        assert_eq!(seen.out, [FINISH, DONE].concat(), "{disguise:?}");
        assert!(seen.ended);
    }
    for plain in ["data:[DONE]\n\n", "data: [DONE]  \n\n", "data: [DONE]\r\n\r\n", "event: x\ndata: [DONE]\n\n"] {
        let seen = whole(Chat, false, &[FINISH, plain].concat());
        assert_eq!(seen.out, [FINISH, plain].concat());
    }
}

#[test]
fn an_error_in_a_chat_is_seen_whatever_its_form() {
    for (data, status, message, kind) in [
        (r#"{"error":{"message":"m","type":"server_error","code":null}}"#, Some(500), "m", Some("server_error")),
        (r#"{"error":{"message":"m \"x\"","code":502},"choices":[]}"#, Some(502), "m \"x\"", Some("502")),
        (r#"{"error":"broken"}"#, None, "broken", None),
        (r#"{"error":{"code":"rate_limit_exceeded"}}"#, Some(429), "", Some("rate_limit_exceeded")),
        (r#"{"\u0065rror":{"message":"m"}}"#, None, "m", None),
    ] {
        let frame = format!("data: {data}\n\n");
        let seen = whole(Chat, false, &frame);
        let expected = UpstreamError { status, message: message.into(), kind: kind.map(str::to_owned) };
        assert_eq!(error(&seen), &expected, "{data}");
        assert_eq!((seen.out, seen.closing), (frame, Closing::Complete(b"")));
    }
    for data in [r#"{"error":null,"choices":[{}]}"#, r#"{"error":{},"choices":[{}]}"#, r#"{"error":"","choices":[{}]}"#]
    {
        assert_eq!(whole(Chat, false, &format!("data: {data}\n\n")).meanings, [Meaning::Model], "{data}");
    }
}

#[test]
fn a_flat_error_is_nested_so_that_the_sdk_raises() {
    for frame in [
        "data: {\"object\":\"error\",\"message\":\"m\",\"type\":\"BadRequestError\",\"code\":400}\n\n",
        "event: error\ndata: {\"message\":\"m\",\"type\":\"BadRequestError\",\"code\":400}\n\n",
    ] {
        let seen = whole(Chat, false, frame);
        assert_eq!(error(&seen).status, Some(400));
        let data: serde_json::Value = serde_json::from_str(seen.out.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["error"]["message"], "m");
        assert_eq!(data["error"]["type"], "BadRequestError");
    }
}

#[test]
fn an_error_followed_by_the_end_mark_is_an_error_and_an_end() {
    let body = "data: {\"error\":{\"message\":\"m\"}}\n\ndata: [DONE]\n\n";
    let seen = whole(Chat, false, body);
    assert_eq!(seen.out, body);
    assert!(matches!(seen.meanings[..], [Meaning::Error(_), Meaning::End]));
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn messages() -> Vec<String> {
    vec![
        event(
            "message_start",
            r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":25,"cache_read_input_tokens":5,"cache_creation_input_tokens":2,"output_tokens":1}}}"#,
        ),
        event("content_block_start", r#"{"type":"content_block_start","index":0,"content_block":{"type":"text"}}"#),
        event("ping", r#"{"type":"ping"}"#),
        event(
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"stop_reason\":\"x\""}}"#,
        ),
        event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
        event(
            "message_delta",
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15,"output_tokens_details":{"thinking_tokens":3}}}"#,
        ),
        event("message_stop", r#"{"type":"message_stop"}"#),
    ]
}

#[test]
fn messages_pass_and_their_counts_are_cumulative() {
    let body = messages().concat();
    let seen = whole(Messages, false, &body);
    assert_eq!(seen.out, body);
    let usage = Usage { cached_tokens: 5, cache_write_tokens: 2, reasoning_tokens: 3, ..tokens(32, 15) };
    assert_eq!(seen.usage, Some(usage));
    assert_eq!((seen.finish.as_deref(), seen.ended, seen.frames), (Some("end_turn"), true, 5));
    assert_eq!(seen.meanings[2], Meaning::Comment);
}

#[test]
fn messages_without_their_stop_are_completed_and_without_finish_cut() {
    let events = messages();
    let seen = whole(Messages, false, &events[..6].concat());
    assert_eq!(seen.out, events.concat());
    assert_eq!(whole(Messages, false, &events[..5].concat()).closing, Closing::Cut);
}

#[test]
fn an_error_event_of_messages_tells_its_status() {
    let body = event("error", r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#);
    let seen = whole(Messages, false, &body);
    let expected = UpstreamError { status: Some(529), message: "busy".into(), kind: Some("overloaded_error".into()) };
    assert_eq!((error(&seen), &seen.out), (&expected, &body));
}

#[test]
fn responses_end_with_their_terminal_event() {
    let usage = r#""usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":1,"cache_write_tokens":2},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":12}"#;
    let created = event("response.created", r#"{"type":"response.created","response":{"error":null,"usage":null}}"#);
    for (name, extra, finish) in [
        ("response.completed", "", "completed"),
        ("response.incomplete", r#""incomplete_details":{"reason":"max_output_tokens"},"#, "max_output_tokens"),
        ("response.failed", r#""error":{"code":"server_error","message":"m"},"#, "failed"),
    ] {
        let last = event(name, &format!(r#"{{"type":"{name}","response":{{{extra}{usage}}}}}"#));
        let body = [created.as_str(), &last].concat();
        let seen = whole(Responses, false, &body);
        assert_eq!((&seen.out, seen.ended, seen.closing), (&body, true, Closing::Complete(b"")));
        assert_eq!(seen.finish.as_deref(), Some(finish));
        assert_eq!(
            seen.usage,
            Some(Usage { cached_tokens: 1, cache_write_tokens: 2, reasoning_tokens: 1, ..tokens(9, 3) })
        );
        assert_eq!(seen.meanings, [Meaning::Model, Meaning::End]);
    }
    assert_eq!(whole(Responses, false, &created).closing, Closing::Cut);
}

#[test]
fn a_failed_response_as_first_event_is_an_error() {
    let body = event(
        "response.failed",
        r#"{"type":"response.failed","response":{"error":{"code":"server_error","message":"m"}}}"#,
    );
    let seen = whole(Responses, false, &body);
    assert_eq!((error(&seen).status, error(&seen).message.as_str()), (Some(500), "m"));
}

#[test]
fn a_flat_error_event_of_responses_passes_as_documented() {
    let body = event(
        "error",
        r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null,"sequence_number":1}"#,
    );
    let seen = whole(Responses, false, &body);
    assert_eq!((error(&seen).status, error(&seen).message.as_str(), &seen.out), (Some(429), "m", &body));
}

#[test]
fn an_end_mark_never_hides_a_cut_of_responses() {
    let created = event("response.created", r#"{"type":"response.created","response":{}}"#);
    let seen = whole(Responses, false, &[&created, DONE].concat());
    assert_eq!((seen.out, seen.closing), (created.clone(), Closing::Cut));
    let completed = event("response.completed", r#"{"type":"response.completed","response":{}}"#);
    let seen = whole(Responses, false, &[&completed, DONE, DONE].concat());
    assert_eq!(seen.out, [&completed, DONE].concat());
}

#[test]
fn ollamas_last_object_holds_usage_and_finish() {
    let body = "{\"model\":\"m\",\"message\":{\"content\":\"\\\"done\\\":true\"},\"done\":false}\n\
                {\"model\":\"m\",\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":11,\"eval_count\":18}\n";
    for kind in [OllamaChat, OllamaGenerate] {
        let seen = whole(kind, false, &[body, "\n{\"late\":1}\n"].concat());
        assert_eq!((seen.out.as_str(), seen.ended, seen.frames), (body, true, 2));
        assert_eq!((seen.usage, seen.finish.as_deref()), (Some(tokens(11, 18)), Some("stop")));
    }
    assert_eq!(whole(OllamaChat, false, body.split_inclusive('\n').next().unwrap()).closing, Closing::Cut);
    let failed = "{\"error\":\"out of memory\"}\n";
    let seen = whole(OllamaChat, false, failed);
    assert_eq!((error(&seen).message.as_str(), seen.out.as_str()), ("out of memory", failed));
}

#[test]
fn other_streams_end_with_their_body() {
    let body = event(
        "image_generation.completed",
        r#"{"type":"image_generation.completed","usage":{"input_tokens":1,"output_tokens":2,"input_tokens_details":{"image_tokens":7}}}"#,
    );
    let seen = whole(OtherSse, false, &body);
    assert_eq!((&seen.out, seen.closing), (&body, Closing::Complete(b"")));
    assert_eq!(seen.usage, Some(Usage { image_tokens: 7, ..tokens(1, 2) }));
}

#[test]
fn a_last_event_without_its_blank_line_gets_it_if_its_data_is_whole() {
    for (kind, body, out) in [
        (Chat, FINISH.trim_end().to_owned(), [FINISH, DONE].concat()),
        (Chat, [FINISH, "data: [DONE]"].concat(), [FINISH, DONE].concat()),
        (Chat, [FINISH, "data: [DONE]\n"].concat(), [FINISH, DONE].concat()),
        (Chat, [FINISH, "data: [DONE]\r"].concat(), [FINISH, "data: [DONE]\r\n\n"].concat()),
        (Chat, [FINISH, "data: {\"choices\":"].concat(), [FINISH, DONE].concat()),
        (Chat, [CHUNK, &FINISH[..FINISH.len() - 4]].concat(), CHUNK.to_owned()),
        (Chat, [FINISH, ": comment"].concat(), [FINISH, DONE].concat()),
        (Messages, messages().concat().trim_end().to_owned(), messages().concat()),
        (OllamaChat, "{\"done\":true}".to_owned(), "{\"done\":true}\n".to_owned()),
        (OllamaChat, "{\"done\":tru".to_owned(), String::new()),
    ] {
        assert_eq!(whole(kind, false, &body).out, out, "{body:?}");
    }
}

#[test]
fn every_kind_of_stream_survives_an_empty_body() {
    for &kind in StreamKind::ALL {
        assert_eq!(whole(kind, true, "").out, "");
    }
}

#[test]
fn the_tier_of_service_is_read_where_it_stands() {
    let chat = r#"data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}],"service_tier":"default","usage":null}

data: {"choices":[{"delta":{},"finish_reason":"stop"}],"service_tier":"flex"}

data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}

data: [DONE]

"#;
    assert_eq!(whole(Chat, true, chat).usage, Some(Usage { tier: Some(Tier::Flex), ..tokens(9, 3) }));
    let response = r#"{"type":"response.completed","response":{"service_tier":"priority","usage":{"input_tokens":1,"output_tokens":2}}}"#;
    let seen = whole(Responses, false, &event("response.completed", response));
    assert_eq!(seen.usage, Some(Usage { tier: Some(Tier::Priority), ..tokens(1, 2) }));
    let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"service_tier":"batch","cache_creation_input_tokens":3,"cache_creation":{"ephemeral_1h_input_tokens":2}}}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
    let seen = whole(Messages, false, &[event("message_start", start), event("message_delta", end)].concat());
    let usage = Usage { tier: Some(Tier::Batch), cache_write_tokens: 3, cache_write_1h_tokens: 2, ..tokens(8, 7) };
    assert_eq!(seen.usage, Some(usage));
}

#[test]
fn what_a_stream_was_served_as_is_known_before_its_usage() {
    let mut tap = Tap::new(Chat, true);
    assert_eq!(tap.tier(), None);
    let chunk = r#"data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}],"service_tier":"flex","usage":null}

"#;
    tap.frame(chunk.as_bytes());
    assert_eq!((tap.usage(), tap.tier()), (None, Some(Tier::Flex)));
    let mut tap = Tap::new(Responses, false);
    let created = r#"{"type":"response.created","response":{"service_tier":"priority","usage":null}}"#;
    tap.frame(event("response.created", created).as_bytes());
    assert_eq!((tap.usage(), tap.tier()), (None, Some(Tier::Priority)));
}

#[test]
fn what_iterations_add_comes_whole_each_time() {
    let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1,"iterations":[{"type":"compaction","input_tokens":900,"output_tokens":20}]}}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7,"iterations":[{"type":"compaction","input_tokens":1000,"output_tokens":30},{"type":"message","input_tokens":5,"output_tokens":7},{"type":"compaction","input_tokens":100,"output_tokens":3}]}}"#;
    let seen = whole(Messages, false, &[event("message_start", start), event("message_delta", end)].concat());
    assert_eq!(seen.usage, Some(Usage { longest_prompt_tokens: 1_000, ..tokens(1_105, 40) }));
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
    let seen = whole(Messages, false, &[event("message_start", start), event("message_delta", end)].concat());
    assert_eq!(seen.usage, Some(Usage { longest_prompt_tokens: 900, ..tokens(905, 27) }));
}

#[test]
fn what_is_written_to_the_cache_later_is_kept_as_long_as_what_was_first() {
    let start = |long: u64| {
        let usage = format!(
            r#"{{"input_tokens":10,"cache_creation_input_tokens":1000,"cache_creation":{{"ephemeral_1h_input_tokens":{long}}},"output_tokens":1}}"#
        );
        event("message_start", &format!(r#"{{"type":"message_start","message":{{"usage":{usage}}}}}"#))
    };
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":30,"cache_creation_input_tokens":50000,"output_tokens":200}}"#;
    for (long, expected) in [(1_000, 50_000), (999, 999), (0, 0)] {
        let seen = whole(Messages, false, &[start(long), event("message_delta", end)].concat());
        let usage = Usage { cache_write_tokens: 50_000, cache_write_1h_tokens: expected, ..tokens(50_030, 200) };
        assert_eq!(seen.usage, Some(usage));
    }
}

#[test]
fn who_declines_before_writing_anything_is_not_paid() {
    let start =
        r#"{"type":"message_start","message":{"stop_reason":null,"usage":{"input_tokens":412,"output_tokens":1}}}"#;
    for (written, is_waived) in [(0, true), (1, true), (2, false)] {
        let end = format!(
            r#"{{"type":"message_delta","delta":{{"stop_reason":"refusal"}},"usage":{{"output_tokens":{written}}}}}"#
        );
        let stream = [event("message_start", start), event("message_delta", &end)].concat();
        assert_eq!(whole(Messages, false, &stream).usage, Some(Usage { is_waived, ..tokens(412, written) }));
    }
}

#[test]
fn thought_that_is_in_the_total_alone_is_part_of_a_streamed_answer() {
    let chat = r#"data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}

data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":52}}

data: [DONE]

"#;
    let thought = Usage { reasoning_tokens: 40, ..tokens(9, 43) };
    assert_eq!(whole(Chat, true, chat).usage, Some(thought));
    let sound = r#"{"type":"transcript.text.done","usage":{"input_tokens":9,"output_tokens":3,"total_tokens":52}}"#;
    assert_eq!(whole(OtherSse, false, &event("transcript.text.done", sound)).usage, Some(tokens(9, 3)));
}

#[test]
fn fast_mode_is_told_at_the_start_of_a_message() {
    let start = |speed: &str| {
        let usage = format!(r#"{{"input_tokens":5,"service_tier":"standard","speed":"{speed}"}}"#);
        event("message_start", &format!(r#"{{"type":"message_start","message":{{"usage":{usage}}}}}"#))
    };
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7,"service_tier":"standard"}}"#;
    for (speed, tier) in [("fast", Tier::Fast), ("standard", Tier::Standard)] {
        let seen = whole(Messages, false, &[start(speed), event("message_delta", end)].concat());
        assert_eq!(seen.usage, Some(Usage { tier: Some(tier), ..tokens(5, 7) }));
    }
}
