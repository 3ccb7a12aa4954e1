//! Every published way to make two parsers disagree is refused, for its own reason, however it is cut.

use crate::{
    reading::{Reading, requests},
    script::Script,
};

/// One row of the table.
pub(crate) struct Hostile {
    pub name: &'static str,
    pub reason: &'static str,
    pub bytes: Vec<u8>,
}

/// The table; other suites read the same file.
pub(crate) fn table() -> Vec<Hostile> {
    let rows = include_str!("hostile.tsv").lines().filter(|line| !line.starts_with('#'));
    let row = |line: &'static str| {
        let mut cells = line.splitn(3, '\t');
        let mut cell = || cells.next().expect("three cells");
        Hostile { name: cell(), reason: cell(), bytes: unescape(cell()) }
    };
    rows.map(row).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next().expect("an escape") {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'x' => {
                let digits = [bytes.next().expect("a digit"), bytes.next().expect("a digit")];
                let digits = std::str::from_utf8(&digits).expect("digits");
                out.push(u8::from_str_radix(digits, 16).expect("digits"));
            }
            other => out.push(other),
        }
    }
    out
}

fn read(bytes: &[u8], sizes: &[usize]) -> Reading<crate::reading::Request> {
    requests(&Script::chopped(bytes, sizes), 0)
}

#[test]
fn every_hostile_request_is_refused_for_its_reason() {
    for row in table() {
        let reading = read(&row.bytes, &[]);
        assert_eq!((reading.end.as_str(), reading.messages.len()), (row.reason, 0), "{}", row.name);
    }
}

#[test]
fn a_hostile_request_is_refused_alike_however_it_is_cut() {
    for row in table() {
        let whole = read(&row.bytes, &[]);
        assert_eq!(read(&row.bytes, &[1]), whole, "{}", row.name);
        for cut in 1..row.bytes.len() {
            assert_eq!(read(&row.bytes, &[cut, usize::MAX]), whole, "{} cut at {cut}", row.name);
        }
    }
}

#[test]
fn a_hostile_request_behind_a_good_one_is_refused_alike() {
    let good = b"POST /v1 HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc";
    for row in table() {
        // An empty line is allowed before a request line, so what begins with one reads the same.
        let reading = read(&[&good[..], &row.bytes].concat(), &[]);
        assert_eq!((reading.end.as_str(), reading.messages.len()), (row.reason, 1), "{}", row.name);
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = table().iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
    assert!(names.len() > 200);
}
