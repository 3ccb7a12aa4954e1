//! The form of credentials. Expected values are from Python's `zlib.crc32` and `hashlib.sha256`.

use penstock_core::keys::format::{Malformed, find_own, key_id};
use proptest::prelude::*;

use crate::made::own;

fn id(credential: &str) -> Result<String, Malformed> {
    key_id(credential.as_bytes()).map(|id| id.to_string())
}

#[test]
fn a_key_of_our_own_carries_its_id_and_a_crc() {
    for (key, expected) in [
        ("sk-pen-abcdefghijkl-ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ1lwcdh", "abcdefghijkl"),
        ("sk-pen-0123456789AB-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg3ATGJB", "0123456789AB"),
        ("sk-pen-zzzzzzzzzzzz-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2mrfLO", "zzzzzzzzzzzz"),
        ("sk-pen-abcdefghijkl-000000000000000000000000000000000000000000k00ShA4", "abcdefghijkl"),
    ] {
        assert_eq!(id(key).as_deref(), Ok(expected));
    }
}

#[test]
fn a_foreign_credential_has_the_first_digits_of_its_sha_256_for_an_id() {
    for (secret, expected) in [
        ("sk-1234567890abcdefghij".to_owned(), "bT8clwNpkrve"),
        ("x".repeat(20), "oVKEEm8iI7bK"),
        (format!("sk-litellm-{}", "q".repeat(40)), "ZnKvmL8xQHov"),
        ("!".repeat(512), "fQNdKzDvvY2d"),
        ("foreign-secret-number-28625".to_owned(), "00S1BYCVkImC"),
    ] {
        assert_eq!(id(&secret).as_deref(), Ok(expected));
    }
}

#[test]
fn a_key_of_ours_is_found_wherever_it_stands_also_when_its_secret_is_cut() {
    let key = own("abcdefghijkl", 'a');
    let text = format!("sk-pen-no, desk-pen-holder; {key}");
    assert_eq!(find_own(text.as_bytes()), Some(28));
    assert_eq!(find_own(&key.as_bytes()[..20]), Some(0));
    for none in [
        "",
        "sk-pen-",
        "desk-pen-holder-of-mine",
        "sk-pen-abcdefghijkl",
        "sk-pen-abcdefghijk--",
        "SK-PEN-abcdefghijkl-",
    ] {
        assert_eq!(find_own(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn what_no_store_takes_is_malformed() {
    let mut long = own("abcdefghijkl", 'a');
    long.push('a');
    for bad in [
        String::new(),
        "x".repeat(19),
        "x".repeat(513),
        format!("{} {}", "x".repeat(15), "x".repeat(15)),
        format!("{}\u{e9}", "x".repeat(30)),
        format!("{}\t", "x".repeat(30)),
        "sk-pen-".to_owned(),
        long,
        own("abcdefghijkl", 'a').replace("kl-", "kl_"),
        own("abcdefghijk-", 'a'),
        own("abcdefghijkl", '.'),
    ] {
        assert_eq!(id(&bad), Err(Malformed), "{bad}");
    }
}

proptest! {
    #[test]
    fn one_changed_character_is_always_noticed(at in 7usize..69, to in "[0-9A-Za-z]") {
        let key = own("abcdefghijkl", 'q');
        let mut changed = key.clone();
        changed.replace_range(at..=at, &to);
        prop_assert_eq!(id(&changed).is_ok(), changed == key);
    }

    #[test]
    fn any_bytes_are_read_without_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let found = key_id(&bytes);
        prop_assert!(found.is_err() || bytes.iter().all(u8::is_ascii_graphic));
    }
}
