//! Weights in PyTorch's own files, `pytorch_model.bin`: pickles, of which nothing is executed.
//!
//! Two containers are read: the zip archive of PyTorch 1.6 and later, and the row of pickles of the versions before. What
//! is read of a file is bounded by its length: whatever a hostile one says, memory and time are linear in it.

mod archive;
mod machine;
mod values;

use std::collections::{BTreeMap, HashMap};

use archive::Archive;
use values::{Arena, Id, Node, Tensor};

use crate::stored::{half_to_f32, header};
use crate::{Error, Layout};

/// Bytes of all tensors at most, as a multiple of the file: tied weights are told apart here.
const LARGEST: usize = 16;

/// Names under which training scripts keep the weights within what they save.
const INSIDE: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// The tensors of a pickle, by name.
pub struct Pickled<'a> {
    tensors: BTreeMap<&'a str, View<'a>>,
}

/// Numbers of a tensor, where they lie.
struct View<'a> {
    kind: Kind,
    /// From its first number on.
    bytes: &'a [u8],
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// Types of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F64,
    F32,
    F16,
    BF16,
    /// So many bytes: of no weight.
    Other(usize),
}

impl Kind {
    /// The type of a storage or of a tensor by PyTorch's names.
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" | "float64" => Self::F64,
            "FloatStorage" | "float32" => Self::F32,
            "HalfStorage" | "float16" => Self::F16,
            "BFloat16Storage" | "bfloat16" => Self::BF16,
            "LongStorage" | "int64" | "uint64" | "ComplexFloatStorage" | "complex64" => Self::Other(8),
            "IntStorage" | "int32" | "uint32" => Self::Other(4),
            "ShortStorage" | "int16" | "uint16" => Self::Other(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" | "int8" | "uint8" | "bool" => Self::Other(1),
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Other(size) => size,
        }
    }
}

impl<'a> Pickled<'a> {
    /// Reads the tensors of a file: those of the dictionary that it holds, or of the dictionary `inside` that.
    ///
    /// # Errors
    /// [`Error::Pickle`] for what is no such file, for one without tensors, naming the dictionaries inside that have some,
    /// and for a tensor that lies outside of the file.
    pub fn parse(file: &'a [u8], inside: Option<&str>) -> Result<Self, Error> {
        read(file, inside).map_err(|reason| Error::Pickle { reason })
    }

    /// Names and shapes of the floating-point tensors, sorted by name.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        for (name, view) in self.floats() {
            layout.push(name, &view.shape);
        }
        layout
    }

    /// Hands `write` the bytes of a safetensors file of F32 with the floating-point tensors, piece by piece.
    ///
    /// # Errors
    /// Whatever `write` fails with.
    pub fn to_safetensors<E>(&self, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        write(&header(&self.layout()))?;
        let mut bytes = Vec::new();
        for (_, view) in self.floats() {
            if let Some(as_they_are) = view.as_they_are() {
                write(&std::mem::take(&mut bytes))?;
                write(as_they_are)?;
                continue;
            }
            view.for_each(|value| {
                bytes.extend_from_slice(&value.to_le_bytes());
                match bytes.len() < 1 << 20 {
                    true => Ok(()),
                    false => {
                        write(&bytes)?;
                        bytes.clear();
                        Ok(())
                    }
                }
            })?;
        }
        write(&bytes)
    }

    fn floats(&self) -> impl Iterator<Item = (&'a str, &View<'a>)> {
        let is_float = |view: &View<'_>| !matches!(view.kind, Kind::Other(_));
        self.tensors.iter().map(|(name, view)| (*name, view)).filter(move |(_, view)| is_float(view))
    }
}

impl View<'_> {
    /// Its bytes, if they lie as safetensors has them.
    fn as_they_are(&self) -> Option<&[u8]> {
        let mut n = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != n {
                return None;
            }
            n *= size;
        }
        (self.kind == Kind::F32).then(|| &self.bytes[..4 * n])
    }

    /// Calls `with` on each number in row-major order.
    fn for_each<E>(&self, mut with: impl FnMut(f32) -> Result<(), E>) -> Result<(), E> {
        let n: usize = self.shape.iter().product();
        let mut place = vec![0; self.shape.len()];
        let mut at = 0;
        for _ in 0..n {
            with(self.value(at))?;
            for axis in (0..place.len()).rev() {
                place[axis] += 1;
                at += self.strides[axis];
                if place[axis] < self.shape[axis] {
                    break;
                }
                at -= self.shape[axis] * self.strides[axis];
                place[axis] = 0;
            }
        }
        Ok(())
    }

    fn value(&self, at: usize) -> f32 {
        let bytes = &self.bytes[at * self.kind.size()..];
        let half = || u16::from_le_bytes([bytes[0], bytes[1]]);
        match self.kind {
            Kind::F64 => bytes.first_chunk().map_or(f32::NAN, |bytes| f64::from_le_bytes(*bytes) as f32),
            Kind::F32 => bytes.first_chunk().map_or(f32::NAN, |bytes| f32::from_le_bytes(*bytes)),
            Kind::F16 => half_to_f32(half()),
            Kind::BF16 => f32::from_bits(u32::from(half()) << 16),
            Kind::Other(_) => f32::NAN,
        }
    }
}

/// Storages by their names.
type Storages<'a> = HashMap<&'a str, &'a [u8]>;

fn read<'a>(file: &'a [u8], inside: Option<&str>) -> Result<Pickled<'a>, String> {
    let mut arena = Arena::default();
    if file.starts_with(archive::MAGIC) {
        let archive = Archive::parse(file)?;
        if archive.get("byteorder").is_some_and(|order| order != b"little") {
            return Err("it was written on a big-endian machine".to_owned());
        }
        let pickle =
            archive.get("data.pkl").ok_or("its zip archive has no data.pkl: PyTorch did not write it")?;
        let (root, _) = machine::run(pickle, &mut arena)?;
        return tensors(file, &arena, root, inside, |key| archive.get(&format!("data/{key}")));
    }
    let (root, storages) = legacy(file, &mut arena)?;
    tensors(file, &arena, root, inside, |key| storages.get(key).copied())
}

/// What PyTorch before 1.6 begins a file with.
const OLD_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// A file of PyTorch before 1.6: pickles of a magic number, a version, the machine, the value and the names of the storages,
/// then the storages in that order, each after its length.
fn legacy<'a>(file: &'a [u8], arena: &mut Arena<'a>) -> Result<(Id, Storages<'a>), String> {
    if !file.starts_with(OLD_MAGIC) {
        return Err("it is neither a zip archive nor an older file of PyTorch".to_owned());
    }
    let (_, rest) = machine::run(file, arena)?;
    let (version, rest) = machine::run(rest, arena)?;
    if arena.count(version) != Some(1001) {
        return Err("it is of a version of PyTorch's older files that is not known".to_owned());
    }
    let (machine, rest) = machine::run(rest, arena)?;
    if let Node::Dictionary(entries) = arena.get(machine) {
        let big = |&(name, value): &(Id, Id)| {
            arena.text(name) == Some("little_endian") && arena.count(value) == Some(0)
        };
        if entries.iter().any(big) {
            return Err("it was written on a big-endian machine".to_owned());
        }
    }
    let (root, rest) = machine::run(rest, arena)?;
    let kinds = kinds(arena);
    let (keys, mut rest) = machine::run(rest, arena)?;
    let mut storages = HashMap::new();
    for &key in arena.items(keys).ok_or("the names of its storages are no list")? {
        let key = arena.text(key).ok_or("the name of a storage is no text")?;
        let ends = || format!("the file ends before its storage {key:?} does: it was truncated on the way");
        let (len, behind) = rest.split_first_chunk().ok_or_else(ends)?;
        let len = usize::try_from(i64::from_le_bytes(*len)).ok();
        let size = kinds.get(key).copied().ok_or_else(|| format!("no tensor looks into storage {key:?}"))?;
        let (bytes, behind) =
            len.and_then(|len| behind.split_at_checked(len.checked_mul(size)?)).ok_or_else(ends)?;
        storages.insert(key, bytes);
        rest = behind;
    }
    Ok((root, storages))
}

/// Bytes of a number of each storage.
fn kinds<'a>(arena: &Arena<'a>) -> HashMap<&'a str, usize> {
    let size = |node: &Node<'a>| match node {
        Node::Storage(storage) => Some((storage.key, Kind::of(storage.kind)?.size())),
        _ => None,
    };
    arena.nodes().filter_map(size).collect()
}

/// The tensors of the dictionary, checked to lie within their storages.
fn tensors<'a>(
    file: &[u8],
    arena: &Arena<'a>,
    root: Id,
    inside: Option<&str>,
    storage: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Pickled<'a>, String> {
    let mut found = BTreeMap::new();
    let mut left = file.len().saturating_mul(LARGEST);
    for (name, tensor) in chosen(arena, root, inside)? {
        let what = |reason: &str| format!("tensor `{}`: {reason}", name.escape_debug());
        let Some(view) = view(tensor, &storage).map_err(|reason| what(&reason))? else { continue };
        let n: usize = view.shape.iter().product();
        left = left
            .checked_sub(n * view.kind.size())
            .ok_or_else(|| what("all tensors are many times as large as the file"))?;
        if found.insert(name, view).is_some() {
            return Err(what("it is there twice"));
        }
    }
    Ok(Pickled { tensors: found })
}

/// The named tensors of the dictionary at the top, or of the one inside it that was asked for.
fn chosen<'r, 'a>(
    arena: &'r Arena<'a>,
    root: Id,
    inside: Option<&str>,
) -> Result<Vec<(&'a str, &'r Tensor<'a>)>, String> {
    let entries = |id: Id| match arena.get(id) {
        Node::Dictionary(entries) => entries.as_slice(),
        _ => &[],
    };
    let within = |id: Id| -> Vec<(&'a str, &'r Tensor<'a>)> {
        let named = entries(id).iter().filter_map(|&(name, value)| match arena.get(value) {
            Node::Tensor(tensor) => Some((arena.text(name)?, tensor.as_ref())),
            _ => None,
        });
        named.collect()
    };
    let entry = |wanted: &str| {
        let mut entries = entries(root).iter().rev();
        entries.find(|(name, _)| arena.text(*name) == Some(wanted)).map(|&(_, value)| value)
    };
    let tensors = match inside {
        Some(name) => within(entry(name).ok_or_else(|| format!("it has no entry {name:?}"))?),
        None => within(root),
    };
    if !tensors.is_empty() {
        return Ok(tensors);
    }
    let inner = INSIDE.iter().find(|name| entry(name).is_some_and(|value| !within(value).is_empty()));
    Err(match (inside, inner) {
        (None, Some(name)) => format!(
            "it holds no tensors at its top, they are in its entry `{name}`: read those with --entry {name}"
        ),
        _ => "it holds no tensors by name: expected what `torch.save(model.state_dict(), ...)` writes"
            .to_owned(),
    })
}

/// Where the numbers of a tensor lie; `None` for a type that no weights have.
fn view<'a>(
    tensor: &Tensor<'a>,
    storage: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Option<View<'a>>, String> {
    let name = tensor.dtype.unwrap_or(tensor.storage.kind);
    let Some(kind) = Kind::of(name) else {
        return Err(format!("its type is {name}, which is not read"));
    };
    let bytes = storage(tensor.storage.key)
        .ok_or_else(|| format!("its storage {:?} is not in the file", tensor.storage.key))?;
    let n = tensor.shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    let outside = || "it lies outside of its storage".to_owned();
    let n = n.ok_or_else(outside)?;
    let start =
        tensor.storage.start.checked_add(tensor.offset).and_then(|start| start.checked_mul(kind.size()));
    // A number may be looked at once: a view that repeats its storage could be of any size.
    let last = tensor.shape.iter().zip(&tensor.strides).try_fold(0_usize, |last, (&size, &stride)| {
        last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
    });
    let end = last.and_then(|last| (last + usize::from(n > 0)).checked_mul(kind.size())?.checked_add(start?));
    let (start, end) = start.zip(end).ok_or_else(outside)?;
    if end > bytes.len() || n.checked_mul(kind.size()).is_none_or(|size| size > bytes.len()) {
        return Err(outside());
    }
    Ok(Some(View {
        kind,
        bytes: &bytes[start.min(bytes.len())..],
        shape: tensor.shape.clone(),
        strides: tensor.strides.clone(),
    }))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
