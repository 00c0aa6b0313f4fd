use super::*;

fn file(format: Format, bytes: &[u8]) -> File<'_> {
    File { name: "f", bytes, format, header: None, quotes: None, skips: false }
}

fn read(format: Format, bytes: &[u8], chosen: &[&str]) -> Result<Vec<Row>, String> {
    file(format, bytes).read(chosen).map(|rows| rows.rows).map_err(|error| error.to_string())
}

fn rows(cells: &[&[&str]], numbers: &[u64]) -> Result<Vec<Row>, String> {
    let owned = |row: &[&str]| row.iter().map(|&cell| cell.to_owned()).collect();
    Ok(cells.iter().zip(numbers).map(|(row, &number)| Row { number, cells: owned(row) }).collect())
}

#[test]
fn jsonl() {
    let bytes = "\u{feff}{\"a\": \"x\\ty\", \"y\": 1}\n\n{\"y\": true, \"a\": \"z\"}\r\n".as_bytes();
    assert_eq!(read(Format::Jsonl, bytes, &["a", "y"]), rows(&[&["x\ty", "1"], &["z", "true"]], &[1, 3]));
    assert_eq!(
        read(Format::Jsonl, b"{\"a\": 1}\n{\"b\": 1, \"c\": 2}", &["a"]),
        Err("f, line 2: it has no `a`; it has `b`, `c`".into())
    );
    assert!(
        read(Format::Jsonl, b"{\"a\": 1}\n{\"a\": ", &["a"])
            .unwrap_err()
            .starts_with("f, line 2: no JSON object")
    );
    assert!(read(Format::Jsonl, b"{\"a\": null}", &["a"]).unwrap_err().contains("`a` is null"));
    assert!(read(Format::Jsonl, b"{\"a\": NaN}", &["a"]).unwrap_err().contains("`a` is NaN"));
    assert!(
        read(Format::Jsonl, b"[1]", &["a"]).unwrap_err().contains("item 1: no JSON object: it is a number")
    );
}

#[test]
fn lists_in_json() {
    for format in [Format::Json, Format::Jsonl] {
        let text = b" [{\"a\": \"x\"},\n\n {\"a\": \"y\"}\n]\n";
        assert_eq!(read(format, text, &["a"]), rows(&[&["x"], &["y"]], &[1, 2]));
        assert_eq!(
            read(format, b"{\"a\": \"x\"}\n{\"a\": \"y\"}\n", &["a"]),
            rows(&[&["x"], &["y"]], &[1, 2])
        );
    }
    let message = |text: &[u8]| read(Format::Json, text, &["a"]).unwrap_err();
    assert_eq!(message(b"[]"), "f: it has no row");
    assert!(
        message(b"[{\"a\": 1},\n{\"b\": 2}]").starts_with("f, line 2: item 2: it has no `a`; it has `b`")
    );
    assert!(message(b"[{\"a\": 1}\n{\"a\": 2}]").starts_with("f, line 2: no JSON: `,` or `]`"));
    assert!(message(b"[{\"a\": 1}] []").contains("something stands behind the list"));
    assert!(message(b"[{\"a\": 1},\n{\"a\": ").starts_with("f, line 2: no JSON: the end"));
    assert!(message(b"{\n\"data\": []\n}").contains("no JSON object"));
}

#[test]
fn messages_by_path() {
    let text =
        br#"{"chosen": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}"#;
    assert_eq!(read(Format::Jsonl, text, &["chosen[-1].content"]), rows(&[&["hello"]], &[1]));
    let message = read(Format::Jsonl, text, &["chosen"]).unwrap_err();
    assert!(message.contains("`chosen` is a list: name one nested value"), "{message}");
    assert!(
        read(Format::Jsonl, text, &["chosen[7].content"])
            .unwrap_err()
            .contains("it has no `chosen[7].content`")
    );
}

#[test]
fn halves_of_characters_are_counted() {
    let bytes = br#"{"a": "cut \ud83d"}"#;
    let read = file(Format::Jsonl, bytes).read(&["a"]).unwrap();
    assert_eq!(read.rows[0].cells, ["cut \u{fffd}"]);
    assert_eq!(read.notes, ["f: 1 half surrogate pair(s) were read as U+FFFD"]);
}

#[test]
fn tsv() {
    let bytes = b"a\ty\nx \"said\"\t1\nz\t0\n";
    let whole = file(Format::Tsv, bytes).read(&["y", "a"]).unwrap();
    assert_eq!(Ok(whole.rows), rows(&[&["1", "x \"said\""], &["0", "z"]], &[2, 3]));
    assert!(whole.notes.is_empty());
    assert_eq!(
        read(Format::Tsv, b"a\ty\nx\n", &["a"]),
        Err("f, line 2: it has 1 cells, but there are 2 columns".into())
    );
    assert_eq!(
        read(Format::Tsv, b"a\ty\nx\t1\n", &["b"]),
        Err("f: it has no column `b`; it has `a`, `y`".into())
    );
    assert_eq!(read(Format::Tsv, b"a\ta\nx\t1\n", &["a"]), Err("f: it has several columns `a`".into()));
    let header = ["a".to_owned(), "y".to_owned()];
    let bare = File { header: Some(&header), ..file(Format::Tsv, b"x\t1\n") };
    assert_eq!(Ok(bare.read(&["a"]).unwrap().rows), rows(&[&["x"]], &[1]));
}

#[test]
fn two_schools_of_quoting() {
    let bytes = b"a\ty\n\"he said \"\"hi\"\"\"\t1\n\"a\nb\"\t0\n";
    let school = |quotes, bytes| File { quotes, ..file(Format::Tsv, bytes) }.read(&["a"]);
    let pandas = school(Some(Quotes::Rfc4180), &bytes[..]).unwrap();
    assert_eq!(Ok(pandas.rows), rows(&[&["he said \"hi\""], &["a\nb"]], &[2, 3]));
    assert!(pandas.notes.is_empty());
    let glue = school(Some(Quotes::None), &bytes[..23]).unwrap();
    assert_eq!(Ok(glue.rows), rows(&[&["\"he said \"\"hi\"\"\""]], &[2]));
    assert!(glue.notes.is_empty(), "who says it is not warned");
    let unsaid = school(None, &bytes[..23]).unwrap();
    assert!(unsaid.notes[0].contains("1 row(s) have a cell between quotation marks"), "{:?}", unsaid.notes);
    assert!(unsaid.notes[0].contains("quotes = \"rfc4180\""));
    let message = school(None, &bytes[..]).unwrap_err().to_string();
    assert!(
        message.starts_with("f, line 3: it has 1 cells, but there are 2 columns; a cell begins"),
        "{message}"
    );
    let plain = File { quotes: Some(Quotes::None), ..file(Format::Csv, b"a,y\n\"x,1\n") };
    assert_eq!(Ok(plain.read(&["a"]).unwrap().rows), rows(&[&["\"x"]], &[2]));
}

#[test]
fn csv() {
    let bytes = b"a,y\n\"x, \"\"y\"\"\nz\",1\nw,0\n";
    assert_eq!(read(Format::Csv, bytes, &["a", "y"]), rows(&[&["x, \"y\"\nz", "1"], &["w", "0"]], &[2, 4]));
    assert_eq!(read(Format::Csv, b"a,y\rx,1\rw,0\r", &["a"]), rows(&[&["x"], &["w"]], &[2, 3]));
    let short = read(Format::Csv, b"a,y\nx,1\nx\n", &["a"]).unwrap_err();
    assert!(short.starts_with("f, line 3: "), "{short}");
    let open = read(Format::Csv, b"a,y\nx,1\n\"never,0\nz,1\n", &["a"]).unwrap_err();
    assert!(open.starts_with("f, line 3: a quotation mark opens a cell and nothing closes it"), "{open}");
}

#[test]
fn damaged_rows_are_left_out_if_that_is_asked_for() {
    let skipping = |format, bytes| File { skips: true, ..file(format, bytes) }.read(&["a"]).unwrap();
    let read = skipping(Format::Tsv, b"a\ty\nx\t1\nshort\nz\t0\n\xff\t1\n");
    assert_eq!((read.skipped, Ok(read.rows)), (2, rows(&[&["x"], &["z"]], &[2, 4])));
    assert_eq!(read.first_skipped.as_deref(), Some("f, line 3: it has 1 cells, but there are 2 columns"));
    let read = skipping(Format::Jsonl, b"{\"a\": \"x\"}\n{\"a\": nul}\n{}\n{\"a\": null}\n{\"a\": \"y\"}\n");
    assert_eq!((read.skipped, Ok(read.rows)), (3, rows(&[&["x"], &["y"]], &[1, 5])));
    let open = File { skips: true, ..file(Format::Csv, b"a\nx\n\"y\n") }.read(&["a"]);
    assert!(open.is_err(), "where a quotation mark never closes, nobody knows where rows end");
}

#[test]
fn nothing_and_noise_are_errors() {
    for format in [Format::Jsonl, Format::Json, Format::Tsv, Format::Csv, Format::Parquet] {
        assert!(read(format, b"", &["a"]).is_err());
        assert!(read(format, b"\xff\xfe\n", &["a"]).is_err());
    }
    assert_eq!(read(Format::Jsonl, b"\n\n", &["a"]), Err("f: it has no row".into()));
    assert_eq!(read(Format::Tsv, b"a\ty\n", &["a"]), Err("f: it has no row".into()));
    assert_eq!(
        read(Format::Tsv, b"a\ty\nx\t\xff\n\xff\t1\n", &["a"]),
        Err("f, line 3: it is not UTF-8".into())
    );
    assert!(read(Format::Tsv, b"\xff\xfea\0\t\0", &["a"]).unwrap_err().contains("UTF-16"));
}

tables::rows! {
    /// As on the hub.
    struct HubRow in "hub" {
        /// Text.
        sentence: Option<String>,
        /// Label.
        label: i64,
    }
}

#[test]
fn parquet() {
    let row = |sentence: Option<&str>, label| HubRow { sentence: sentence.map(str::to_owned), label };
    let bytes = HubRow::write(&[row(Some("a"), 1), row(Some("b"), -1)]).unwrap();
    assert_eq!(
        read(Format::Parquet, &bytes, &["label", "sentence"]),
        rows(&[&["1", "a"], &["-1", "b"]], &[1, 2])
    );
    let bytes = HubRow::write(&[row(Some("a"), 1), row(None, 0)]).unwrap();
    assert_eq!(read(Format::Parquet, &bytes, &["sentence"]), Err("f, line 2: `sentence` is null".into()));
    let read_on = File { skips: true, ..file(Format::Parquet, &bytes) }.read(&["sentence"]).unwrap();
    assert_eq!((read_on.rows.len(), read_on.skipped), (1, 1));
    assert!(read(Format::Parquet, &bytes, &["text"]).unwrap_err().contains("column `text` is missing"));
}
