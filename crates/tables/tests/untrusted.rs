//! Damaged files end in an error, never in a panic or a large allocation.

use std::alloc::System;

use cap::Cap;
use random::Stream;

/// Refuses nothing, but remembers the most that was ever held at once.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Far above the size of the files, far below what they can be made to declare.
const LIMIT: usize = 512 << 20;

tables::rows! {
    /// Columns of every physical kind.
    struct MixedRow in "mixed" {
        /// Text.
        name: String,
        /// Text with nulls.
        note: Option<String>,
        /// A number.
        step: u64,
        /// A number with nulls.
        score: Option<f64>,
        /// A truth value.
        flag: bool,
        /// Numbers.
        logits: Vec<f32>,
    }
}

fn file(rows: usize) -> Vec<u8> {
    let row = |index: usize| MixedRow {
        name: format!("run-{}", index % 7),
        note: index.is_multiple_of(3).then(|| "note ".repeat(index % 11)),
        step: index as u64 * 100,
        score: index.is_multiple_of(2).then_some(index as f64 / 3.0),
        flag: index.is_multiple_of(5),
        logits: vec![index as f32; index % 4],
    };
    MixedRow::write(&(0..rows).map(row).collect::<Vec<_>>()).unwrap()
}

/// One of several ways to damage a file; headers and footer, where sizes are declared, are hit more often.
fn damage(bytes: &mut Vec<u8>, stream: &mut Stream) {
    let len = bytes.len();
    for _ in 0..=stream.below(3) {
        let at = match stream.below(3) {
            0 => stream.below(len),
            1 => stream.below(len.min(64)),
            _ => len - 1 - stream.below(len.min(1500)),
        };
        match stream.below(6) {
            0 => bytes[at] ^= 1 << stream.below(8),
            1 => bytes[at] = stream.u32() as u8,
            2 => bytes[at] = *stream.choose(&[0x00, 0x7f, 0x80, 0xff]),
            3 => bytes[at..len.min(at + 4)].fill(0xff),
            4 => {
                let from = stream.below(len);
                let n = stream.below(32).min(len - at).min(len - from);
                bytes.copy_within(from..from + n, at);
            }
            _ => {
                // A long number where a short one was: most declared sizes take one or two bytes.
                let end = len.min(at + 5);
                bytes[at..end].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0x0f][..end - at]);
            }
        }
    }
    if stream.bernoulli(0.1) {
        bytes.truncate(stream.below(len));
    }
}

#[test]
fn damaged_files_are_errors() {
    let files = [file(0), file(3), file(400)];
    let mut stream = Stream::new(0, "damage");
    let (mut refused, mut read) = (0, 0);
    let mut count = |ok: bool| if ok { read += 1 } else { refused += 1 };
    for _ in 0..30_000 {
        let mut bytes = stream.choose(&files).clone();
        damage(&mut bytes, &mut stream);
        count(MixedRow::read(&bytes).is_ok());
        count(tables::read_text_columns(&bytes, &["note", "step"]).is_ok());
        assert!(ALLOCATOR.max_allocated() < LIMIT, "{} bytes were held", ALLOCATOR.max_allocated());
    }
    assert!(refused > 10_000 && read > 1_000, "{refused} refused, {read} read");
}

#[test]
fn truncated_files_are_errors() {
    let bytes = file(50);
    for len in 0..bytes.len() {
        assert!(MixedRow::read(&bytes[..len]).is_err(), "{len} bytes");
    }
    assert!(MixedRow::read(&bytes).is_ok());
}

#[test]
fn other_bytes_are_errors() {
    assert!(MixedRow::read(b"").is_err());
    assert!(MixedRow::read(b"PAR1PAR1").is_err());
    assert!(MixedRow::read(&[b"PAR1".as_slice(), &[0xff; 8], b"PAR1"].concat()).is_err());
    assert!(MixedRow::read(&[b"PAR1".as_slice(), &[0; 8], b"PAR1"].concat()).is_err());
}
