//! IDX, the format of MNIST: two zero bytes, a type, the number of dimensions, each size as four bytes (the most significant
//! first), and the values, row-major. Often packed by gzip.
//!
//! Nothing is reserved because a header says so: what is read grows with what is there, up to a limit.

use std::io::Read;

use crate::Error;
use crate::cue::Canvas;

/// The type of unsigned bytes.
const BYTES: u8 = 0x08;

/// What gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Values of a file, at most: a small packed file may claim to hold anything.
const MOST_VALUES: u64 = 1 << 30;

/// Images of one size, row-major: `[images, height, width, channels]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Images {
    pub(super) canvas: Canvas,
    pub(super) pixels: Vec<u8>,
}

/// The images of a file: grey ones of three dimensions, or with their channels as a fourth.
pub(super) fn images(file: &str, bytes: &[u8]) -> Result<Images, Error> {
    let Values { sizes, values } = read(file, bytes)?;
    let canvas = match sizes[..] {
        [_, height, width] => Canvas { height, width, channels: 1 },
        [_, height, width, channels @ (1 | 3)] => Canvas { height, width, channels },
        _ => return Err(wrong(file, format!("it holds values of sizes {sizes:?}, which are no images"))),
    };
    Ok(Images { canvas, pixels: values })
}

/// The labels of a file.
pub(super) fn labels(file: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let Values { sizes, values } = read(file, bytes)?;
    match sizes.len() {
        1 => Ok(values),
        _ => Err(wrong(file, format!("it holds values of sizes {sizes:?}, which are no labels"))),
    }
}

struct Values {
    sizes: Vec<usize>,
    values: Vec<u8>,
}

fn wrong(file: &str, reason: String) -> Error {
    Error::File { file: file.into(), line: None, reason }
}

fn read(file: &str, bytes: &[u8]) -> Result<Values, Error> {
    match bytes.starts_with(&GZIP) {
        true => read_unpacked(file, flate2::read::MultiGzDecoder::new(bytes)),
        false => read_unpacked(file, bytes),
    }
}

fn read_unpacked(file: &str, mut reader: impl Read) -> Result<Values, Error> {
    let cut = |error: std::io::Error| wrong(file, format!("it ends in its header: {error}"));
    let mut start = [0; 4];
    reader.read_exact(&mut start).map_err(cut)?;
    let [0, 0, kind, dimensions] = start else {
        return Err(wrong(file, format!("it is no IDX file: it begins with the bytes {start:?}")));
    };
    if kind != BYTES {
        return Err(wrong(
            file,
            format!("its values have type {kind:#04x}, but only bytes ({BYTES:#04x}) are read"),
        ));
    }
    let mut sizes = Vec::new();
    for _ in 0..dimensions {
        let mut size = [0; 4];
        reader.read_exact(&mut size).map_err(cut)?;
        sizes.push(u32::from_be_bytes(size) as usize);
    }
    let total = sizes.iter().try_fold(1_u64, |total, &size| total.checked_mul(size as u64));
    let expected = match total {
        Some(total) if total > 0 && total <= MOST_VALUES && !sizes.is_empty() => total,
        _ => {
            let reason =
                format!("its header states sizes {sizes:?}: there must be 1 to {MOST_VALUES} values");
            return Err(wrong(file, reason));
        }
    };
    let mut values = Vec::new();
    let damaged = |error: std::io::Error| wrong(file, format!("it cannot be unpacked: {error}"));
    reader.take(expected + 1).read_to_end(&mut values).map_err(damaged)?;
    match (values.len() as u64).cmp(&expected) {
        std::cmp::Ordering::Equal => Ok(Values { sizes, values }),
        std::cmp::Ordering::Less => Err(wrong(
            file,
            format!(
                "its header states sizes {sizes:?}, {expected} values, but it ends after {}",
                values.len()
            ),
        )),
        std::cmp::Ordering::Greater => Err(wrong(
            file,
            format!("its header states sizes {sizes:?}, but it holds more than these {expected} values"),
        )),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    /// A file of these sizes and values.
    pub(in super::super) fn file(sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let sizes_bytes = sizes.iter().flat_map(|size| size.to_be_bytes());
        [0, 0, BYTES, sizes.len() as u8]
            .into_iter()
            .chain(sizes_bytes)
            .chain(values.iter().copied())
            .collect()
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn images_and_labels_packed_or_not() {
        let grey = file(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        for bytes in [grey.clone(), packed(&grey)] {
            let images = images("f", &bytes).unwrap();
            assert_eq!(images.canvas, Canvas { height: 1, width: 3, channels: 1 });
            assert_eq!(images.pixels, [1, 2, 3, 4, 5, 6]);
        }
        let coloured = images("f", &file(&[1, 1, 2, 3], &[0; 6])).unwrap();
        assert_eq!(coloured.canvas, Canvas { height: 1, width: 2, channels: 3 });
        assert_eq!(labels("f", &packed(&file(&[3], &[7, 0, 9]))).unwrap(), [7, 0, 9]);
    }

    #[test]
    fn files_that_lie_are_named() {
        let message = |bytes: &[u8]| images("f", bytes).unwrap_err().to_string();
        let honest = file(&[2, 1, 3], &[0; 6]);
        assert_eq!(
            message(&honest[..honest.len() - 1]),
            "f: its header states sizes [2, 1, 3], 6 values, but it ends after 5"
        );
        assert!(message(&[&honest[..], &[0]].concat()).contains("more than these 6 values"));
        assert!(message(&honest[..7]).contains("it ends in its header"));
        let gzipped = packed(&honest);
        assert!(message(&gzipped[..gzipped.len() - 9]).contains("f: it"), "a gzip that was cut off");
        assert!(message(b"\x89PNG\r\n").contains("no IDX file"));
        assert!(message(b"").contains("it ends in its header"));
        let mut wide = honest.clone();
        wide[2] = 0x0b;
        assert_eq!(message(&wide), "f: its values have type 0x0b, but only bytes (0x08) are read");
        assert!(message(&file(&[6], &[0; 6])).contains("no images"));
        assert!(message(&file(&[1, 1, 2, 2], &[0; 4])).contains("no images"));
        assert!(labels("f", &honest).unwrap_err().to_string().contains("no labels"));
        for sizes in [&[0, 28, 28][..], &[u32::MAX; 4], &[2_000_000, 28, 28], &[]] {
            assert!(message(&file(sizes, &[])).contains("there must be 1 to 1073741824 values"), "{sizes:?}");
        }
    }

    #[test]
    fn a_bomb_takes_no_memory() {
        // Zeros without end: their header is none.
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let zeros = vec![0; 1 << 20];
        (0..64).for_each(|_| writer.write_all(&zeros).unwrap());
        assert!(images("f", &writer.finish().unwrap()).unwrap_err().to_string().contains("type 0x00"));
        // A header that is modest, and a stream that goes on.
        let mut bomb = file(&[1, 2, 2], &[0; 4]);
        bomb.extend_from_slice(&zeros);
        assert!(images("f", &packed(&bomb)).unwrap_err().to_string().contains("more than these 4"));
        // A header that claims a gigabyte, and a file of a few bytes.
        let claims = file(&[1 << 20, 32, 32], &[1; 100]);
        assert!(images("f", &claims).unwrap_err().to_string().contains("ends after 100"));
    }
}
