//! Frames end where the standard says, however the bytes come.

use penstock_core::{dialects::StreamKind, relay::frames::Splitter};

fn cut(kind: StreamKind, pieces: &[&str]) -> (Vec<String>, String) {
    let (mut splitter, mut payload, mut frames) = (Splitter::new(kind), Vec::new(), Vec::new());
    for piece in pieces {
        payload.extend_from_slice(piece.as_bytes());
        while let Some(len) = splitter.next(&payload) {
            frames.push(String::from_utf8(payload.drain(..len).collect()).unwrap());
        }
    }
    (frames, String::from_utf8(payload).unwrap())
}

#[test]
fn an_event_ends_with_its_blank_line_whatever_the_line_ends_are() {
    for (body, frames, rest) in [
        ("data: 1\n\ndata: 2\n\n", vec!["data: 1\n\n", "data: 2\n\n"], ""),
        ("data: 1\r\n\r\ndata: 2\r\n\r\n", vec!["data: 1\r\n\r\n"], "data: 2\r\n\r\n"),
        ("data: 1\r\rdata: 2\r\r:", vec!["data: 1\r\r", "data: 2\r\r"], ":"),
        ("data: 1\n\r\ndata: 2\r\n\n", vec!["data: 1\n\r\n", "data: 2\r\n\n"], ""),
        ("a\r\r\nb\n\r:", vec!["a\r\r\n", "b\n\r"], ":"),
        ("a\nb\n\n\n", vec!["a\nb\n\n", "\n"], ""),
        ("data: 1\n", vec![], "data: 1\n"),
        ("data: \u{2028}\u{85}\u{b}\u{c}\n\n", vec!["data: \u{2028}\u{85}\u{b}\u{c}\n\n"], ""),
    ] {
        let frames: Vec<String> = frames.into_iter().map(str::to_owned).collect();
        let undecided = body == "data: 1\r\n\r\ndata: 2\r\n\r\n";
        let (frames, rest) = if undecided {
            ([frames, vec![rest.to_owned()]].concat(), String::new())
        } else {
            (frames, rest.to_owned())
        };
        assert_eq!(cut(StreamKind::Chat, &[body]), (frames, rest), "{body:?}");
    }
}

#[test]
fn a_lone_carriage_return_at_the_end_waits_for_the_next_byte() {
    assert_eq!(cut(StreamKind::Chat, &["data: 1\r\r"]).0.len(), 0);
    assert_eq!(cut(StreamKind::Chat, &["data: 1\r\r", "\ndata"]), (vec!["data: 1\r\r\n".into()], "data".into()));
    assert_eq!(cut(StreamKind::Chat, &["data: 1\r", "\r", "d"]), (vec!["data: 1\r\r".into()], "d".into()));
    assert_eq!(
        cut(StreamKind::Chat, &["data: 1\r", "\n", "\r", "\n"]),
        (vec!["data: 1\r\n\r\n".into()], String::new())
    );
}

#[test]
fn a_line_of_ollamas_is_a_frame() {
    let (frames, rest) = cut(StreamKind::OllamaChat, &["{\"a\":", "1}\n{\"b\":2}\r\n\n{"]);
    assert_eq!(frames, ["{\"a\":1}\n", "{\"b\":2}\r\n", "\n"]);
    assert_eq!(rest, "{");
}

#[test]
fn an_oversize_frame_flows_in_pieces_and_its_end_is_found() {
    let mut splitter = Splitter::new(StreamKind::Chat);
    assert_eq!(splitter.next(b"data: aaaa"), None);
    assert_eq!(splitter.piece(b"data: aaaa"), (10, false));
    assert_eq!(splitter.piece(b""), (0, false));
    assert_eq!(splitter.piece(b"bb\r"), (2, false));
    assert_eq!(splitter.piece(b"\r"), (0, false));
    assert_eq!(splitter.piece(b"\r\n\r\nnext"), (4, true));
    assert_eq!(splitter.next(b"data: 1\n\n"), Some(9));
}
