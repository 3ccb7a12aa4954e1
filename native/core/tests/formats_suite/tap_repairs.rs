//! The few frames that would break a client are repaired, all others pass as they are.

use penstock_core::{
    dialects::StreamKind::{Chat, Messages, OllamaChat, Responses},
    relay::tap::Meaning,
};

use crate::drive::whole;

#[test]
fn openais_sdk_gets_no_line_that_kills_it() {
    for (body, out) in [
        ("id: 7\ndata: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"),
        ("data: {\"a\":1}\r\nid: 7\r\nretry: 5\r\n\r\n", "data: {\"a\":1}\r\n\r\n"),
        ("id\ndata: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"),
        ("retry: 1000\n\n", ""),
        ("event: ping\n\n", ""),
        ("data:\n\n", ""),
        ("data: \n\n", ""),
        ("data\n\n", ""),
        ("event: ping\ndata: {\"type\": \"ping\"}\n\n", ""),
        ("\u{feff}data: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"),
        ("\u{feff}id: 1\ndata: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"),
    ] {
        assert_eq!(whole(Chat, false, body).out, out, "{body:?}");
    }
}

#[test]
fn what_harms_nobody_passes_untouched() {
    for body in [
        ": OPENROUTER PROCESSING\n\n",
        ":\n\n",
        "\n\n\n",
        ": inside\ndata: {\"a\":1}\n\n",
        "data:{\"a\":1}\n\n",
        "data:  {\"a\":1}\n\n",
        "data: {\"a\":\r\ndata: 1}\r\n\r\n",
        "data: {\"a\":\n\ndata: 1}\n\n",
        "event: anything\ndata: {\"a\":1}\n\n",
        "data: {\"a\":\"\u{2028}\u{85}\"}\n\n",
        "data: {\"a\":\"\\ud83d\"}\n\n",
        "data: not json\n\n",
        "idle: 1\ndata: {\"a\":1}\n\n",
    ] {
        assert_eq!(whole(Chat, false, body).out, body, "{body:?}");
    }
}

#[test]
fn a_byte_order_mark_is_only_stripped_at_the_start() {
    // Later it spoils the field's name, and an event without data is left.
    let first = "data: {\"a\":1}\n\n";
    assert_eq!(whole(Chat, false, &[first, "\u{feff}data: {\"b\":1}\n\n"].concat()).out, first);
    let inside = "data: {\"a\":\"\u{feff}\"}\n\n";
    assert_eq!(whole(Chat, false, &[inside, inside].concat()).out, [inside, inside].concat());
    assert_eq!(whole(OllamaChat, false, "\u{feff}{\"done\":true}\n").out, "{\"done\":true}\n");
}

#[test]
fn comments_and_pings_are_no_first_token() {
    assert_eq!(whole(Chat, false, ": wait\n\n").meanings, [Meaning::Comment]);
    assert_eq!(whole(Chat, false, "retry: 1\n\n").meanings, [Meaning::Comment]);
    assert_eq!(whole(Messages, false, "event: ping\ndata: {\"type\":\"ping\"}\n\n").meanings, [Meaning::Comment]);
    assert_eq!(whole(Messages, false, ": x\n\n").meanings, [Meaning::Comment]);
}

#[test]
fn an_event_without_its_name_gets_it_where_clients_need_it() {
    let data = "data: {\"type\":\"message_start\",\"message\":{}}\n\n";
    assert_eq!(whole(Messages, false, data).out, ["event: message_start\n", data].concat());
    let data = "data: {\"type\":\"response.created\",\"response\":{}}\n\n";
    assert_eq!(whole(Responses, false, data).out, ["event: response.created\n", data].concat());
    let data = "data: {\"type\":\"a\\nevent: b\"}\n\n";
    assert_eq!(whole(Messages, false, data).out, data);
}

#[test]
fn anthropics_clients_keep_ids_and_retries() {
    let body = "id: 1\nevent: message_start\ndata: {\"type\":\"message_start\"}\n\nretry: 5\n\n";
    assert_eq!(whole(Messages, false, body).out, body);
}

#[test]
fn a_blank_line_of_ollamas_is_dropped() {
    assert_eq!(whole(OllamaChat, false, "\n \r\n{\"done\":true}\n").out, "{\"done\":true}\n");
}
