//! Entries as rows of the records' table: every column, their days, streams that have not ended.

use std::sync::Arc;

use penstock_core::{
    dialects::usage::Usage,
    journal::{Durability, Kind, Position, Reader},
    observe::{
        Record,
        record::{Outcome, Phases},
        record_form::{begin, public},
        row_form::{Cell, read},
        rows::{MOST_BEGUN, Rows, Wanted, read_begun, rows},
    },
};

use crate::made::{DAY_US, MS, Made, START_US};

const DAY: i32 = (START_US / DAY_US) as i32;

fn wanted(at: &Rows) -> Wanted<'_> {
    Wanted {
        instance: "one",
        from: at.next,
        after: at.sequence,
        most_bytes: usize::MAX,
        is_live: true,
        first_day: at.day,
        last_day: DAY + 10,
        begun: &at.begun,
    }
}

fn start() -> Rows {
    Rows { day: DAY - 10, ..Rows::default() }
}

/// What comes behind `at`.
fn next(made: &Made, at: &Rows) -> Rows {
    rows(&Reader::new(Arc::new(made.sim.clone()), &made.dir), &wanted(at)).unwrap()
}

fn cells(rows: &Rows) -> Vec<Vec<Cell<'_>>> {
    let (mut rest, mut found) = (&rows.data[..], Vec::new());
    while let Some((cells, after)) = read(rest) {
        found.push(cells);
        rest = after;
    }
    assert!(rest.is_empty());
    assert_eq!(found.len() as u64, rows.count);
    found
}

fn packed(record: &Record, count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    public(record, count, &mut out);
    out
}

fn record(number: u64, ended_us: u64) -> Record {
    let phases = Phases { total_us: 5 * MS, ..Phases::default() };
    Record { number, started_utc_us: ended_us - 5 * MS, phases, ..Record::default() }
}

fn full() -> Record {
    Record {
        request_id: "req".into(),
        key_id: "abcdefghijkl".into(),
        team: "lab".into(),
        model: "fast".into(),
        target: "up/real".into(),
        status: Some(200),
        outcome: Outcome::Complete,
        usage: Some(Usage {
            prompt_tokens: 1,
            completion_tokens: 2,
            cached_tokens: 3,
            cache_write_tokens: 4,
            reasoning_tokens: 5,
            audio_tokens: 6,
            image_tokens: 7,
            ..Usage::default()
        }),
        cost_nanousd: Some(8),
        ..record(7, START_US + 5 * MS)
    }
}

#[test]
fn every_column_is_what_the_record_says() {
    let mut made = Made::new(Durability::Group);
    let public = packed(&full(), 3);
    made.put(Kind::Record, &public, b"private");
    made.writer.commit().unwrap();
    let found = next(&made, &start());
    let reader = Reader::new(Arc::new(made.sim.clone()), &made.dir);
    let mut whole = Vec::new();
    let seen = |_, entry: &penstock_core::journal::entry::Entry<'_>| {
        whole.push((entry.hash, entry.digest.unwrap(), entry.sealed.unwrap().to_vec()));
    };
    reader.visit(Position::default(), usize::MAX, true, seen).unwrap();
    let (hash, digest, sealed) = &whole[0];
    assert_eq!(&sealed[16..], b"private");
    let number = Cell::Number;
    let expected = [
        number(DAY.into()),
        Cell::Text("one"),
        number(1),
        number(1),
        Cell::Bytes(hash),
        Cell::Bytes(digest),
        Cell::Bytes(sealed),
        Cell::Bytes(&public),
        number(7),
        number(START_US.cast_signed()),
        number(3),
        Cell::Text("req"),
        Cell::Text("abcdefghijkl"),
        Cell::Text("lab"),
        Cell::Text("fast"),
        Cell::Text("up/real"),
        number(200),
        Cell::Text("complete"),
        Cell::Null,
        Cell::Null,
        number(1),
        number(2),
        number(3),
        number(4),
        number(5),
        number(6),
        number(7),
        number(8),
        number(5_000),
    ];
    assert_eq!(cells(&found), [expected]);
    assert_eq!((found.count, found.records, found.oldest_us), (1, 1, START_US + 5 * MS));
    assert_eq!((found.sequence, &found.hash, found.is_end), (1, hash, true));
    assert_eq!(next(&made, &found).count, 0, "nothing more");
}

#[test]
fn what_is_beyond_the_known_places_is_passed_over_and_tags_are_sorted_json() {
    let mut made = Made::new(Durability::Group);
    let mut public = packed(&full(), 1);
    assert_eq!(public[..3], [0xdc, 0, 35]);
    public[2] = 36;
    assert_eq!(
        public.split_off(public.len() - 4),
        [0xc0, 0xc0, 0xc0, 0],
        "no tags, no limits, counted nowhere, priced"
    );
    public.extend([0x82, 0xa1, b'b', 0xa1, b'2', 0xa1, b'a', 0xa3, b'1', 0, b'"']); // {"b": "2", "a": …}
    public.extend([0x91, 0xa1, b'x', 0xc0, 0]); // limits, where it is counted, whether it has no price
    public.extend([0xcb, 0, 0, 0, 0, 0, 0, 0, 0]); // of a later release
    made.put(Kind::Record, &public, b"");
    made.writer.commit().unwrap();
    let found = next(&made, &start());
    let row = &cells(&found)[0];
    assert_eq!((row[5], row[6]), (Cell::Null, Cell::Null), "no private part");
    assert_eq!(row[19], Cell::Text("{\"a\":\"1\u{fffd}\\\"\",\"b\":\"2\"}"));
    assert_eq!(row[28], Cell::Number(5_000));
}

#[test]
fn what_costs_something_and_nobody_knows_how_much_is_used_in_sums() {
    for (usage, is_unpriced, expected) in
        [(None, true, Cell::Number(0)), (None, false, Cell::Null), (full().usage, true, Cell::Number(1))]
    {
        let mut made = Made::new(Durability::Group);
        let record = Record { usage, is_unpriced, cost_nanousd: None, ..full() };
        made.put(Kind::Record, &packed(&record, 1), b"");
        made.writer.commit().unwrap();
        let found = next(&made, &start());
        let row = &cells(&found)[0];
        assert_eq!((row[20], row[27]), (expected, Cell::Null));
        assert_eq!(row[21] == Cell::Null, usage.is_none());
    }
}

#[test]
fn an_older_shorter_record_has_what_it_has() {
    let mut made = Made::new(Durability::Group);
    let mut public = vec![0x97, 1, 9, 1, 0xa1, b'r', 0xc0, 0xc0]; // form, number, count, request, two ids, started
    public.push(5);
    made.put(Kind::Record, &public, b"");
    made.put(Kind::Record, b"\xc1 no list", b"");
    made.put(Kind::Gap, &[0x91, 1], b"");
    made.writer.commit().unwrap();
    let found = next(&made, &start());
    let rows = cells(&found);
    assert_eq!((rows[0][8], rows[0][9], rows[0][11]), (Cell::Number(9), Cell::Number(5), Cell::Text("r")));
    assert_eq!((rows[0][17], rows[0][28]), (Cell::Null, Cell::Null));
    assert!(rows[1][8..].iter().chain(&rows[2][8..]).all(|cell| *cell == Cell::Null));
    assert_eq!(rows[1][7], Cell::Bytes(b"\xc1 no list"), "it is kept as it is");
}

#[test]
fn texts_are_such_as_every_store_and_its_indexes_take() {
    let mut made = Made::new(Durability::Group);
    let mut public = vec![0x94, 1, 1, 1, 0xdb, 0, 0, 4, 0];
    public.extend([b'a'; 255]);
    public.extend("ü".as_bytes());
    public.extend([b'x'; 1024 - 257]);
    made.put(Kind::Record, &public, b"");
    let mut nul = vec![0x94, 1, 1, 1, 0xa3];
    nul.extend(b"a\0b");
    made.put(Kind::Record, &nul, b"");
    made.writer.commit().unwrap();
    let found = next(&made, &start());
    let rows = cells(&found);
    assert_eq!(rows[0][11], Cell::Text(&"a".repeat(255)));
    assert_eq!(rows[1][11], Cell::Text("a\u{fffd}b"));
}

#[test]
fn days_follow_the_ends_of_requests_and_never_go_back_nor_beyond_the_last() {
    let mut made = Made::new(Durability::Group);
    made.put(Kind::Gap, &[0x91, 1], b"");
    let mut open = Vec::new();
    begin(&record(9, START_US - DAY_US), "req", &mut open);
    made.put(Kind::Begin, &open, b"");
    for ended_us in [START_US, START_US + 2 * DAY_US, START_US + DAY_US, START_US + 900 * DAY_US] {
        made.put(Kind::Record, &packed(&record(1, ended_us), 1), b"");
    }
    made.put(Kind::End, &[0x91, 1], b"");
    made.writer.commit().unwrap();
    let found = next(&made, &start());
    let days: Vec<_> = cells(&found).iter().map(|row| row[0]).collect();
    let expected = [DAY - 10, DAY - 1, DAY, DAY + 2, DAY + 2, DAY + 10, DAY + 10];
    assert_eq!(days, expected.map(|day| Cell::Number(day.into())));
    assert_eq!((found.days.clone(), found.day), (vec![DAY - 10, DAY - 1, DAY, DAY + 2, DAY + 10], DAY + 10));
    assert!(found.has_ended);
    assert_eq!(found.oldest_us, START_US);
}

#[test]
fn streams_are_begun_until_their_record_comes() {
    let mut made = Made::new(Durability::Group);
    let open = |number| {
        let mut out = Vec::new();
        begin(&record(number, START_US), "req", &mut out);
        out
    };
    for number in 1..=3 {
        made.put(Kind::Begin, &open(number), b"");
    }
    made.put(Kind::Record, &packed(&record(2, START_US), 1), b"");
    made.writer.commit().unwrap();
    let first = next(&made, &start());
    assert_eq!(cells(&first)[0][8..12], [Cell::Number(1), cells(&first)[0][9], Cell::Null, Cell::Text("req")]);
    assert_eq!(cells(&first)[0][17], Cell::Null, "it is no request yet");
    assert_eq!(read_begun(&first.begun).into_iter().collect::<Vec<_>>(), [(1, 1), (3, 3)]);
    made.put(Kind::Record, &packed(&record(3, START_US), 1), b"");
    made.put(Kind::Begin, &open(300), b"");
    made.writer.commit().unwrap();
    let second = next(&made, &first);
    assert_eq!(second.count, 2);
    assert_eq!(read_begun(&second.begun).into_iter().collect::<Vec<_>>(), [(1, 1), (300, 6)]);
}

#[test]
fn of_streams_whose_record_never_comes_the_newest_are_kept() {
    let mut made = Made::new(Durability::Group);
    let mut open = Vec::new();
    begin(&record(1 << 20, START_US), "req", &mut open);
    made.put(Kind::Begin, &open, b"");
    made.writer.commit().unwrap();
    let numbers = 1..=MOST_BEGUN as u64;
    let begun: Vec<_> = numbers.rev().zip(2..).flat_map(<[u64; 2]>::from).flat_map(u64::to_be_bytes).collect();
    let found = read_begun(&next(&made, &Rows { begun, ..start() }).begun);
    assert_eq!((found.len(), found.get(&(1 << 20))), (MOST_BEGUN, None), "it began first");
}

#[test]
fn pieces_are_the_same_rows_as_all_at_once_and_none_comes_twice() {
    let mut made = Made::new(Durability::Group);
    for number in 0..200 {
        made.put(Kind::Record, &packed(&record(number, START_US + number * DAY_US / 50), 1), b"somebody");
        if number % 7 == 0 {
            made.writer.commit().unwrap();
        }
    }
    made.writer.commit().unwrap();
    let whole = next(&made, &start());
    let reader = Reader::new(Arc::new(made.sim.clone()), &made.dir);
    let (mut at, mut data, mut count) = (start(), Vec::<u8>::new(), 0);
    loop {
        let found = rows(&reader, &Wanted { most_bytes: 1_000, ..wanted(&at) }).unwrap();
        data.extend(&found.data);
        count += found.count;
        at = found;
        if at.is_end {
            break;
        }
    }
    assert_eq!((count, at.sequence, at.hash), (200, whole.sequence, whole.hash));
    assert!(data == whole.data);
    let again = rows(&reader, &Wanted { from: Position::default(), ..wanted(&at) }).unwrap();
    assert_eq!((again.count, again.sequence), (0, 200), "what is a row already is passed over");
}
