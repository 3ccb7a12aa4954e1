//! The scanner accepts what `serde_json` accepts, but for what it documents.

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use crate::{agree::agree, json_noise};

proptest! {
    #[test]
    fn generated_json_is_judged_as_serde_json_does(value in json_noise::value(), style in json_noise::style()) {
        agree(json_noise::write(&value, &style).as_bytes());
    }

    #[test]
    fn damaged_json_is_judged_as_serde_json_does(
        object in json_noise::object(),
        style in json_noise::style(),
        damage in vec((any::<u16>(), 0..4_u8, prop_oneof![any::<u8>(), proptest::sample::select(&b"\"\\{}[]:,0.-+eEtfnu \n"[..])]), 0..4),
    ) {
        let mut body = json_noise::write(&Value::Object(object), &style).into_bytes();
        for (at, how, byte) in damage {
            let at = usize::from(at) % body.len().max(1);
            match how {
                0 if !body.is_empty() => drop(body.remove(at)),
                1 if !body.is_empty() => body[at] = byte,
                2 => body.truncate(at),
                _ => body.insert(at.min(body.len()), byte),
            }
        }
        agree(&body);
    }

    #[test]
    fn json_like_noise_is_judged_as_serde_json_does(text in "[{}\\[\\]\",:\\\\a0-9.eE+\\-tfn ]{0,30}") {
        agree(text.as_bytes());
        agree(format!("{{\"a\":{text}}}").as_bytes());
    }

    #[test]
    fn strings_of_every_length_and_place_are_judged_alike(
        before in 0_usize..70, byte in any::<u8>(), after in 0_usize..70,
    ) {
        let body = [b"{\"a\":\"", "x".repeat(before).as_bytes(), &[byte], "x".repeat(after).as_bytes(), b"\"}"].concat();
        agree(&body);
    }

    #[test]
    fn long_strings_are_judged_alike_however_much_of_them_was_seen_ahead(
        texts in vec("[a-zé\n]{0,40}|[a-zé]{700,1300}", 1..6),
        damage in proptest::option::of((any::<u16>(), proptest::sample::select(&b"\"\\\x01\xffx"[..]))),
    ) {
        let mut body = serde_json::to_vec(&serde_json::json!({"model": "m", "messages": texts})).unwrap();
        if let Some((at, byte)) = damage {
            let at = usize::from(at) % body.len();
            body[at] = byte;
        }
        agree(&body);
    }
}
