//! The form reader: a growing prefix finds what the whole does.

use penstock_core::request::multipart::{Form, Found};

/// The first line is the content type, the rest is the form.
pub fn multipart(data: &[u8]) {
    let at = data.iter().position(|&b| b == b'\n').unwrap_or(data.len());
    let (content_type, body) = (&data[..at], data.get(at + 1..).unwrap_or(b""));
    let Ok(mut growing) = Form::new(content_type) else { return };
    let mut at_once = growing.clone();
    let whole = at_once.find_model(body);
    let prompt = at_once.prompt(body.len());
    assert!(prompt.text_bytes + prompt.file_bytes + prompt.images <= body.len() as u64);
    let step = body.len() / 50 + 1;
    for end in (0..body.len()).step_by(step).chain([body.len()]) {
        let found = growing.find_model(&body[..end]);
        match &found {
            Err(error) => {
                assert_eq!(whole.as_ref(), Err(error));
                return;
            }
            Ok(Found::Model { model, span }) => assert_eq!(&body[span.clone()], model.as_bytes()),
            Ok(_) => {}
        }
        if end == body.len() {
            assert_eq!(found, whole);
            assert_eq!(growing.prompt(end), prompt);
        }
    }
}
