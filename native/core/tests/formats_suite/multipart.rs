//! The `model` field of a form is found wherever it stands, or the form is refused.

use penstock_core::{
    error::{Code, Error},
    request::{
        estimate::Prompt,
        multipart::{Form, Found},
    },
};
use proptest::prelude::*;

const TYPE: &[u8] = b"multipart/form-data; boundary=XX";

fn find_model(content_type: &[u8], body: &[u8]) -> Result<Found, Error> {
    Form::new(content_type)?.find_model(body)
}

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(head, value): &(&str, &str)| ["--XX\r\n", head, "\r\n\r\n", value, "\r\n"].concat();
    parts.iter().map(part).collect::<String>() + "--XX--\r\n"
}

fn prompt(body: &str) -> Prompt {
    let mut form = Form::new(TYPE).unwrap();
    form.find_model(body.as_bytes()).unwrap();
    form.prompt(body.len())
}

fn named(name: &str) -> String {
    format!("Content-Disposition: form-data; name={name}")
}

fn model(body: &str, content_type: &[u8]) -> Option<String> {
    match find_model(content_type, body.as_bytes()).unwrap() {
        Found::Model { model, span } => {
            assert_eq!(&body[span], model);
            Some(model)
        }
        _ => None,
    }
}

#[test]
fn the_model_is_found_before_and_behind_a_file() {
    let file = "Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav";
    let data = "\r\n--X\r\nname=\"model\"\r\n\r\n--XXY";
    let disposition = named("\"model\"");
    assert_eq!(model(&form(&[(&disposition, "whisper-1"), (file, "x")]), TYPE).as_deref(), Some("whisper-1"));
    assert!(find_model(TYPE, form(&[(file, data), (&disposition, "m")]).as_bytes()).is_err());
    let data = "\r\n--X\r\nname=\"model\"\r\n\r\n--";
    assert_eq!(model(&form(&[(file, data), (&disposition, "m")]), TYPE).as_deref(), Some("m"));
}

#[test]
fn names_and_boundaries_may_be_quoted_or_not() {
    for head in [
        named("model"),
        named("\"model\""),
        "content-disposition:form-data;name=model".to_owned(),
        "CONTENT-DISPOSITION: Form-Data ; NAME = \"model\"".replace(" = ", "="),
        "X-Other: 1\r\nContent-Disposition: form-data; filename=\"a;\\\"name=b\"; name=\"model\"".to_owned(),
    ] {
        assert_eq!(model(&form(&[(&head, "m")]), TYPE).as_deref(), Some("m"), "{head}");
    }
    for content_type in [
        "multipart/form-data; boundary=\"XX\"",
        "Multipart/Form-Data; charset=utf-8; BOUNDARY=XX",
        "multipart/form-data;boundary=XX ",
    ] {
        assert_eq!(model(&form(&[(&named("model"), "m")]), content_type.as_bytes()).as_deref(), Some("m"));
    }
}

#[test]
fn other_names_are_not_the_model() {
    for name in ["models", "\"Model\"", "\"mo\\\"del\"", "\"\""] {
        assert_eq!(find_model(TYPE, form(&[(&named(name), "m")]).as_bytes()).unwrap(), Found::Absent, "{name}");
    }
}

#[test]
fn empty_values_preambles_and_blanks_behind_boundaries_are_fine() {
    assert_eq!(model(&form(&[(&named("model"), "")]), TYPE).as_deref(), Some(""));
    let body = format!("preamble\r\n--XX \t\r\n{}\r\n\r\nm\r\n--XX--", named("model"));
    assert_eq!(model(&body, TYPE).as_deref(), Some("m"));
}

#[test]
fn malformed_forms_are_refused() {
    let long = format!("{}\r\nX: {}", named("a"), "x".repeat(9000));
    for body in [
        form(&[("Content-Type: text/plain", "x")]),
        form(&[("Content-Disposition: attachment; name=model", "x")]),
        form(&[("Content-Disposition: form-data; name=model; name=other", "x")]),
        form(&[("Content-Disposition: form-data; name*=utf-8''model", "x")]),
        form(&[(&format!("{0}\r\n{0}", named("model")), "x")]),
        form(&[(&format!("{}\r\nContent-Transfer-Encoding: base64", named("model")), "bQ==")]),
        form(&[("no colon", "x")]),
        form(&[("Content-Disposition: form-data; name=\"model", "x")]),
        form(&[(&format!("{}\nX: 1", named("model")), "x")]),
        form(&[(&long, "x")]),
        format!("--XXmore\r\n{}\r\n\r\nm\r\n--XX--", named("model")),
        format!("--XX{}\r\n{}\r\n\r\nm\r\n--XX--", " ".repeat(71), named("model")),
        "x".repeat(100_000),
    ] {
        let error = find_model(TYPE, body.as_bytes()).expect_err(&body);
        assert_eq!(error.code, Code::InvalidRequest);
    }
    let twice = form(&[(&named("model"), "a"), (&named("model"), "b")]);
    assert_eq!(find_model(TYPE, twice.as_bytes()).unwrap_err().code, Code::DuplicateField);
    for value in ["x".repeat(2000).as_bytes(), b"\xff"] {
        let body = [format!("--XX\r\n{}\r\n\r\n", named("model")).as_bytes(), value, b"\r\n--XX--"].concat();
        assert_eq!(find_model(TYPE, &body).unwrap_err().param.as_deref(), Some("model"));
    }
    for content_type in [
        &b"multipart/form-data"[..],
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; boundary=\"a\r\nb\"",
    ] {
        assert!(find_model(content_type, b"").is_err());
    }
}

/// What the form tells when every byte comes alone.
fn byte_by_byte(body: &[u8]) -> Result<Found, Error> {
    let mut growing = Form::new(TYPE)?;
    for end in 0..body.len() {
        growing.find_model(&body[..end])?;
    }
    growing.find_model(body)
}

#[test]
fn at_its_bounds_a_form_is_judged_the_same_however_it_comes() {
    let disposition = named("model");
    for around in 0..12 {
        let head = format!("{disposition}\r\nX: {}", "x".repeat(8192 - 6 - disposition.len() - 3 + around - 6));
        let value = "m".repeat(1024 - 6 + around);
        let preamble = "p".repeat(8192 - 6 + around);
        let blanks = " ".repeat(70 - 6 + around);
        for body in [
            form(&[(&head, "m")]),
            form(&[(&disposition, &value)]),
            form(&[(&disposition, "m"), (&disposition, &value)]),
            format!("{preamble}\r\n{}", form(&[(&disposition, "m")])),
            format!("--XX{blanks}\r\n{disposition}\r\n\r\nm\r\n--XX--"),
        ] {
            assert_eq!(byte_by_byte(body.as_bytes()), find_model(TYPE, body.as_bytes()), "{around}: {body}");
        }
    }
}

proptest! {
    #[test]
    fn a_growing_prefix_finds_what_the_whole_does(
        before in "[\r\nX-]{0,30}",
        name in "[a-z.-]{0,20}",
        step in 1_usize..40,
    ) {
        // With its own end in it the form is over before the model.
        prop_assume!(!before.contains("--XX--"));
        let body = form(&[(&named("file"), &before), (&named("model"), &name), (&named("stream"), "true")]);
        let whole = find_model(TYPE, body.as_bytes());
        if whole.is_err() {
            return Ok(());
        }
        let mut growing = Form::new(TYPE).unwrap();
        let mut first = None;
        for end in (0..body.len()).step_by(step).chain([body.len()]) {
            let found = growing.find_model(&body.as_bytes()[..end]).unwrap();
            if let Found::Model { model, .. } = &found {
                first.get_or_insert_with(|| model.clone());
            }
            if end == body.len() {
                prop_assert_eq!(&found, whole.as_ref().unwrap());
            }
        }
        prop_assert_eq!(first, Some(name));
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), content_type in "\\PC{0,40}") {
        let _ = find_model(content_type.as_bytes(), &bytes);
        let _ = find_model(TYPE, &bytes);
    }
}

#[test]
fn fields_are_text_and_files_are_not() {
    let png = format!("{}; filename=\"a.png\"\r\nContent-Type: Image/PNG", named("image"));
    let sound = format!("content-type: audio/mpeg\r\n{}; FileName*=utf-8''a", named("file"));
    let odd = format!("{}\r\nx-filename: filename", named("\"filename\""));
    let whole = form(&[
        (&named("model"), "m"),
        (&png, &"\u{1}".repeat(5_000)),
        (&named("prompt"), "a cat"),
        (&sound, "sound"),
        (&odd, "text"),
        (&named("empty"), ""),
    ]);
    let expected = Prompt { text_bytes: 10, images: 1, file_bytes: 5, bytes_to_come: 0 };
    assert_eq!(prompt(&whole), expected);
    assert_eq!(prompt(&format!("preamble\r\n--X\r\n{whole}epilogue")), expected, "around a form stands nothing");
    assert_eq!(prompt(&whole.replace("--XX\r\n", "--XX \t\r\n")), expected, "blanks may follow a boundary");
    let begun = &whole[..whole.find("at\r\n").unwrap()];
    assert_eq!(prompt(begun), Prompt { text_bytes: 4, images: 1, ..Prompt::default() }, "as far as it has come");
    let in_image = &whole[..whole.find("Image/PNG").unwrap() + 100];
    assert_eq!(prompt(in_image), Prompt { text_bytes: 1, images: 1, ..Prompt::default() });
    assert_eq!(prompt(""), Prompt::default());
}
