//! Chats count as the sums that the rules give.

use penstock_core::tokens::{Encoding, count, count_chat, measure_chat};

use super::oracle::BOTH;

fn encoding() -> &'static Encoding {
    &BOTH[0].0
}

fn tokens(text: &str) -> u64 {
    count(encoding(), text.as_bytes())
}

fn chat(model: &str, body: &str) -> u64 {
    count_chat(encoding(), model, body.as_bytes()).expect("a request")
}

#[test]
fn a_message_costs_three_and_what_it_says() {
    let body = r#"{"messages":[{"role":"user","content":"hello there"}]}"#;
    assert_eq!(chat("gpt-4o", body), 3 + 3 + 1 + tokens("hello there"));
    let named = r#"{"messages":[{"role":"user","name":"bob","content":"hi"},{"role":"assistant","content":null}]}"#;
    assert_eq!(chat("gpt-4o", named), 3 + (3 + 1 + tokens("hi") + tokens("bob") + 1) + (3 + tokens("assistant")));
    assert_eq!(chat("gpt-4o", r#"{"messages":[]}"#), 3);
}

#[test]
fn the_oldest_turbo_counts_four_a_message_and_one_less_for_a_name() {
    let body = r#"{"messages":[{"role":"user","name":"bob","content":"hi"}]}"#;
    assert_eq!(chat("gpt-3.5-turbo-0301", body), 3 + 4 + 1 + tokens("hi") + tokens("bob") - 1);
}

/// Six messages that the page counts with `OpenAI`'s API: 129 tokens of gpt-3.5-turbo and gpt-4, 124 of gpt-4o.
#[test]
fn the_cookbooks_example_counts_what_the_cookbook_says() {
    let body = r#"{"messages":[
        {"role":"system","content":"You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
        {"role":"system","name":"example_user","content":"New synergies will help drive top-line growth."},
        {"role":"system","name":"example_assistant","content":"Things working well together will increase revenue."},
        {"role":"system","name":"example_user","content":"Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
        {"role":"system","name":"example_assistant","content":"Let's talk later when we're less busy about how to do better."},
        {"role":"user","content":"This late pivot means we don't have time to boil the ocean for the client deliverable."}]}"#;
    assert_eq!(count_chat(&BOTH[0].0, "gpt-4o", body.as_bytes()).expect("a request"), 124);
    assert_eq!(count_chat(&BOTH[1].0, "gpt-4", body.as_bytes()).expect("a request"), 129);
}

#[test]
fn parts_calls_and_results_count_what_they_say() {
    let parts =
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a b c"},{"type":"text","text":"d"}]}]}"#;
    assert_eq!(chat("gpt-4o", parts), 3 + 3 + 1 + tokens("a b c") + tokens("d"));
    let calls = r#"{"messages":[{"role":"user","content":null,"tool_calls":[{"id":"call_1","type":"function",
        "function":{"name":"weather","arguments":"{\"city\":\"Bern\"}"}}]}]}"#;
    assert_eq!(chat("gpt-4o", calls), 3 + 3 + 1 + tokens("weather") + tokens(r#"{"city":"Bern"}"#));
    let custom =
        r#"{"messages":[{"role":"user","tool_calls":[{"type":"custom","custom":{"name":"run","input":"ls \"x\""}}]}]}"#;
    assert_eq!(chat("gpt-4o", custom), 3 + 3 + 1 + tokens("run") + tokens(r#"ls "x""#));
    let ollama = r#"{"messages":[{"role":"user","content":"","tool_calls":[{"function":{"name":"weather",
        "arguments":{"city":"Bern"}}},{"function":{"name":"now","arguments":null}}]}]}"#;
    let said = tokens("weather") + tokens(r#"{"city":"Bern"}"#) + tokens("now");
    assert_eq!(chat("gpt-4o", ollama), 3 + 3 + 1 + said);
    let anthropic = r#"{"system":"be kind","messages":[{"role":"user","content":[
        {"type":"tool_use","id":"x","name":"weather","input":{"city":"Bern"}},
        {"type":"tool_result","tool_use_id":"x","content":[{"type":"text","text":"sunny"}]}]}]}"#;
    let said = tokens("be kind") + tokens("weather") + tokens(r#"{"city":"Bern"}"#) + tokens("sunny");
    assert_eq!(chat("gpt-4o", anthropic), 3 + 3 + 3 + 1 + said);
}

#[test]
fn escapes_count_as_what_they_stand_for() {
    let plain = "{\"messages\":[{\"role\":\"user\",\"content\":\"é\\n🙂\"}]}";
    let escaped = r#"{"m\u0065ssages":[{"rol\u0065":"us\u0065r","content":"\u00e9\u000a\ud83d\ude42"}]}"#;
    assert_eq!(chat("gpt-4o", plain), chat("gpt-4o", escaped));
    let lone = r#"{"messages":[{"role":"user","content":" \ud800 \udfff\u00e9"}]}"#;
    assert_eq!(
        chat("gpt-4o", lone),
        3 + 3 + 1 + tokens(" \u{fffd} \u{fffd}é"),
        "each stands for one that nobody knows"
    );
    chat("gpt-4o", r#"{"messages":[{"role":"user","content":"x","\ud800":1}]}"#);
}

#[test]
fn tools_count_as_the_typescript_that_models_see() {
    let tools = r#"[{"type":"function","function":{"name":"weather","description":"Tells the weather",
        "parameters":{"type":"object","required":["city"],"properties":{
            "city":{"type":"string","description":"Where"},"unit":{"type":"string","enum":["c","f"]},
            "days":{"type":"array","items":{"type":"integer"}},"more":{"type":"object","properties":{"x":{"type":"null"}}},
            "odd":{"anyOf":[]}}}}},{"type":"function","function":{"name":"now"}}]"#;
    let rendered = "namespace functions {\n\n// Tells the weather\ntype weather = (_: {\n// Where\ncity: string,\n\
                    unit?: \"c\" | \"f\",\ndays?: number[],\nmore?: {\n  x?: null,\n},\nodd?: any,\n}) => any;\n\n\
                    type now = () => any;\n\n} // namespace functions";
    let with = |more: &str| format!(r#"{{"messages":[{{"role":"user","content":"x"}}],"tools":{tools}{more}}}"#);
    let alone = 3 + 3 + 1 + 1;
    assert_eq!(chat("gpt-4o", &with("")), alone + tokens(rendered) + 9);
    assert_eq!(chat("gpt-4o", &with(r#","tool_choice":"none""#)), alone + tokens(rendered) + 10);
    let named = r#","tool_choice":{"type":"function","function":{"name":"weather"}}"#;
    assert_eq!(chat("gpt-4o", &with(named)), alone + tokens(rendered) + 9 + 7 + tokens("weather"));
    let custom = r#","tool_choice":{"type":"custom","custom":{"name":"weather"}}"#;
    assert_eq!(chat("gpt-4o", &with(custom)), chat("gpt-4o", &with(named)));
    let system = with("").replacen('[', r#"[{"role":"system","content":""},"#, 1);
    assert_eq!(chat("gpt-4o", &system), alone + 3 + 1 + tokens(rendered) + 5);
}

#[test]
fn tools_are_counted_as_one_text_however_long_it_is() {
    let words = "what to look for, and where: 'it's' 123 456 ".repeat(60);
    let tool = |n: usize| {
        let description = if n.is_multiple_of(2) { format!(r#""description":"{words}","#) } else { String::new() };
        format!(r#"{{"type":"custom","custom":{{"name":"tool_{n}",{description}"format":{{"type":"text"}}}}}}"#)
    };
    let text = |n: usize| {
        let comment = if n.is_multiple_of(2) { format!("// {words}\n") } else { String::new() };
        format!("{comment}type tool_{n} = () => any;\n\n")
    };
    let tools: Vec<_> = (0..20).map(tool).collect();
    let rendered: String = (0..20).map(text).collect();
    let rendered = format!("namespace functions {{\n\n{rendered}}} // namespace functions");
    let body = |name: &str, other: &str| format!(r#"{{"messages":[],{other}"{name}":[{}]}}"#, tools.join(","));
    let expected = 3 + tokens(&rendered) + 9;
    assert_eq!(chat("gpt-4o", &body("tools", "")), expected);
    assert_eq!(chat("gpt-4o", &body("tools", r#""functions":null,"#)), expected, "null is nothing");
    assert_eq!(chat("gpt-4o", &body("functions", r#""tools":[],"#)), expected, "what they were called before");
}

#[test]
fn pictures_that_none_could_send_cost_no_more_than_there_is() {
    let part = r#"{"type":"input_image","image_url":"data:,iVBORw0KGgoAAAANSUhEUv//////////","detail":"original"}"#;
    let parts = vec![part; 900].join(",");
    let body = format!(r#"{{"messages":[{{"role":"user","content":[{parts}]}}]}}"#);
    assert_eq!(chat("gpt-5.6", &body), u64::MAX);
    let ollama = r#"{"messages":[{"role":"user","images":["iVBORw0KGgoAAAANSUhEUgAAAoAAAAHg"]}]}"#;
    assert_eq!(chat("gpt-4o", ollama), 7 + 85 + 170 * 2);
}

#[test]
fn pictures_cost_by_their_size_and_unknown_ones_by_a_stated_one() {
    let with = |part: &str| format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
    let url =
        |url: &str, detail: &str| with(&format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"{detail}}}}}"#));
    let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAoAAAAHg";
    assert_eq!(chat("gpt-4o", &url(png, "")), 7 + 85 + 170 * 2);
    assert_eq!(chat("gpt-4o", &url(png, r#","detail":"low""#)), 7 + 85);
    assert_eq!(chat("gpt-4o", &url("https://example.com/a.png", "")), 7 + 765);
    assert_eq!(
        chat("gpt-4o", &with(&format!(r#"{{"type":"input_image","image_url":"{png}","detail":"low"}}"#))),
        7 + 85
    );
    let data = png.trim_start_matches("data:image/png;base64,");
    let source = with(&format!(r#"{{"type":"image","source":{{"type":"base64","data":"{data}"}}}}"#));
    assert_eq!(chat("claude-opus-4-6", &source), (7u64 * 12).div_ceil(10) + 23 * 18);
}

#[test]
fn documents_of_text_count_and_what_is_passed_over_is_said() {
    let part = |part: &str| format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
    let words = "ten thousand words ".repeat(30);
    let document =
        |source: &str| part(&format!(r#"{{"type":"document","title":"a","context":"b","source":{source}}}"#));
    let measured = |body: &str| measure_chat(encoding(), "gpt-4o", body.as_bytes()).expect("a request");
    let text = document(&format!(r#"{{"type":"text","media_type":"text/plain","data":"{words}"}}"#));
    assert_eq!(measured(&text), (7 + 2 + tokens(&words), true));
    let parts = document(&format!(r#"{{"type":"content","content":[{{"type":"text","text":"{words}"}}]}}"#));
    assert_eq!(measured(&parts), (7 + 2 + tokens(&words), true));
    assert_eq!(measured(&document(r#"{"type":"base64","data":"JVBERi0xLjc="}"#)), (7 + 2, false));
    let png = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAoAAAAHg";
    for (one, is_all) in [
        (r#"{"type":"text","text":"a"}"#, true),
        (r#"{"type":"tool_result","content":"a"}"#, true),
        (r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBE"}}"#, false),
        (r#"{"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}}"#, false),
        (r#"{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}"#, false),
        (&format!(r#"{{"type":"image_url","image_url":{{"url":"{png}"}}}}"#), true),
        (r#"{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}}"#, true),
        (r#"{"type":"image_url","image_url":{"url":"data:image/avif;base64,AAAAIGZ0eXA"}}"#, false),
        (r#"{"type":"input_image","file_id":"file-1"}"#, false),
        (r#"{"type":"tool_result","content":[{"type":"file"}]}"#, false),
        (&format!("{}{}{}", r#"{"content":["#.repeat(6), r#"{"text":"a"}"#, "]}".repeat(6)), false),
    ] {
        assert_eq!(measured(&part(one)).1, is_all, "{one}");
    }
    let spoken = r#"{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}"#;
    assert!(!measured(spoken).1 && measured(&spoken.replace(r#"{"id":"audio_1"}"#, "null")).1);
}

#[test]
fn what_is_approximate_is_scaled() {
    let body = r#"{"messages":[{"role":"user","content":"hello there"}]}"#;
    let exact = chat("gpt-4o", body);
    assert_eq!(chat("claude-opus-4-6", body), (exact * 12).div_ceil(10));
    assert_eq!(chat("claude-opus-4-8", body), (exact * 27).div_ceil(20));
    assert_eq!(chat("llama3", body), (exact * 11).div_ceil(10));
}

#[test]
fn what_is_no_request_is_refused() {
    for body in ["", "[", "{}", "[]", "null", r#"{"messages":1,"messages":2}"#] {
        assert!(count_chat(encoding(), "gpt-4o", body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_name_twice_hides_nothing() {
    let text = "a long story of many words ".repeat(20);
    let body = format!(r#"{{"messages":[{{"role":"user","role":"user","content":"{text}"}}]}}"#);
    assert!(chat("gpt-4o", &body) > tokens(&text));
}

#[test]
fn odd_shapes_count_without_harm() {
    for body in [
        r#"{"messages":{"a":1}}"#,
        r#"{"messages":[1,null,"x",[],{"content":{"a":1}},{"content":[[[]]]},{"role":1,"tool_calls":"x"}],"tools":{"a":1}}"#,
        r#"{"messages":[{"content":[{"image_url":5},{"type":"image","source":7},{"type":"image"}]}],"tool_choice":5}"#,
        r#"{"messages":[],"tools":[1,{"function":7},{"name":"x","parameters":{"properties":{"a":1,"b":{"type":"array"}}}}]}"#,
    ] {
        assert!(chat("gpt-4o", body) >= 3, "{body}");
    }
    let (open, close) = (r#"{"type":"object","properties":{"a":"#.repeat(5_000), "}}".repeat(5_000));
    let deep = format!(r#"{{"messages":[],"tools":[{{"name":"x","parameters":{open}{{}}{close}}}]}}"#);
    assert!(chat("gpt-4o", &deep) > 3);
}
