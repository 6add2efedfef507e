//! Weights out of PyTorch's older checkpoint files (`torch.save` before 1.6), which libtorch itself cannot read.
//!
//! Such a file is a row of pickles (magic number, protocol, machine, the object, the keys of its storages) and then the
//! storages' numbers. A pickle is a program; this reader runs none of it. It knows the instructions that a dictionary of
//! tensors is written with, keeps the name of a function without calling it, and refuses everything else. Sizes are
//! checked against the file before memory is taken.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use tch::{Kind, TchError, Tensor};

/// Why a checkpoint could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint '{file}': {reason}")]
pub struct Error {
    pub file: String,
    pub reason: String,
}

/// The tensors of a state dictionary, by name, on the CPU. A dictionary that holds it as `state_dict` is looked into.
///
/// # Errors
/// When the file cannot be read, is no such checkpoint, is damaged, or holds what no dictionary of tensors needs.
pub fn read(path: &Path) -> Result<HashMap<String, Tensor>, Error> {
    let bad = |reason: String| Error { file: path.display().to_string(), reason };
    let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    parse(&bytes).map_err(bad)
}

/// Like [`read`], from memory.
fn parse(bytes: &[u8]) -> Result<HashMap<String, Tensor>, String> {
    const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    if bytes.starts_with(b"PK") {
        return Err("this is a checkpoint of PyTorch 1.6 or later; only the older format is read here".into());
    }
    let mut input = Input { bytes, at: 0 };
    match unpickle(&mut input) {
        Ok(Value::Long(magic)) if magic == MAGIC => {}
        _ => return Err("not a PyTorch checkpoint: it does not start with the magic number".into()),
    }
    match unpickle(&mut input)? {
        Value::Int(1001) => {}
        other => return Err(format!("protocol {other:?} is not known; expected 1001")),
    }
    unpickle(&mut input)?; // the machine it was written on; always little-endian in practice
    let object = unpickle(&mut input)?;
    let keys = unpickle(&mut input)?;

    let Value::Dict(mut entries) = object else {
        return Err("it holds no dictionary".into());
    };
    if let Some(at) = entries.iter().position(|(key, _)| key == "state_dict")
        && let (_, Value::Dict(inner)) = entries.swap_remove(at)
    {
        entries = inner;
    }
    let views: Vec<(String, View)> =
        entries.into_iter().filter_map(|(key, v)| if let Value::View(v) = v { Some((key, v)) } else { None }).collect();
    let kinds: HashMap<&str, Kind> = views.iter().map(|(_, v)| (v.storage.key.as_str(), v.storage.kind)).collect();

    let Value::List(keys) = keys else {
        return Err("the list of storages is missing".into());
    };
    let mut storages = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else {
            return Err("a storage has no name".into());
        };
        let Some(kind) = kinds.get(key.as_str()) else {
            return Err(format!("storage {key} belongs to no tensor, so that its size is not known"));
        };
        let count = usize::try_from(i64::from_le_bytes(input.array()?)).map_err(|_| "a storage of negative size")?;
        let length = count.checked_mul(kind.elt_size_in_bytes()).ok_or("a storage larger than memory")?;
        let numbers = input.take(length)?;
        let tensor = Tensor::f_from_data_size(numbers, &[count as i64], *kind).map_err(torch)?;
        storages.insert(key, tensor);
    }
    views.into_iter().map(|(name, view)| Ok((name, view.of(&storages)?))).collect()
}

fn torch(error: TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[derive(Debug, Clone)]
struct Storage {
    key: String,
    kind: Kind,
}

/// A tensor before its numbers are there.
#[derive(Debug, Clone)]
struct View {
    storage: Storage,
    offset: i64,
    size: Vec<i64>,
    stride: Vec<i64>,
}

impl View {
    fn of(&self, storages: &HashMap<String, Tensor>) -> Result<Tensor, String> {
        let storage =
            storages.get(&self.storage.key).ok_or_else(|| format!("storage {} is missing", self.storage.key))?;
        let numbers = self.size.iter().try_fold(1i64, |product, side| product.checked_mul(*side));
        if numbers.is_none_or(|numbers| numbers > storage.numel() as i64) {
            return Err(format!("a tensor of {:?} is larger than its storage", self.size));
        }
        // libtorch checks the bounds.
        let view = storage.f_as_strided(&self.size[..], &self.stride[..], self.offset).map_err(torch)?;
        view.f_contiguous().map_err(torch)
    }
}

/// What the instructions put on the stack.
#[derive(Debug, Clone)]
enum Value {
    Mark,
    None,
    Int(i64),
    Long(Vec<u8>),
    Text(String),
    Name(String),
    /// Shared, since references repeat it, with its depth.
    Tuple(Rc<Vec<Value>>, usize),
    List(Vec<Value>),
    Dict(Vec<(String, Value)>),
    Storage(Storage),
    View(View),
    /// Something that no state dictionary is made of, such as an optimizer's settings.
    Other,
}

impl Value {
    /// State dictionaries are flat. What is nested deeper is not looked at, and cannot overflow the stack when dropped.
    const DEEPEST: usize = 6;

    fn depth(&self) -> usize {
        match self {
            Value::Tuple(_, depth) => *depth,
            Value::List(items) => 1 + items.iter().map(Value::depth).max().unwrap_or(0),
            Value::Dict(entries) => 1 + entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn nested(self) -> Value {
        if self.depth() < Self::DEEPEST { self } else { Value::Other }
    }

    fn tuple(items: Vec<Value>) -> Value {
        let items: Vec<Value> = items.into_iter().map(Value::nested).collect();
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        Value::Tuple(Rc::new(items), depth)
    }

    /// What a later reference to this stands for. Of lists and dictionaries, which may still grow, no state dictionary
    /// holds a second one.
    fn remembered(&self) -> Value {
        if matches!(self, Value::List(_) | Value::Dict(_)) { Value::Other } else { self.clone() }
    }
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("it ends at byte {}, in the middle of something", self.bytes.len()))?;
        Ok(&self.bytes[std::mem::replace(&mut self.at, end)..end])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn length(&mut self) -> Result<usize, String> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn text(&mut self, length: usize) -> Result<String, String> {
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| "a text is not UTF-8".into())
    }

    fn line(&mut self) -> Result<String, String> {
        let length = self.bytes[self.at..].iter().position(|b| *b == b'\n').ok_or("a line has no end")?;
        let line = self.text(length)?;
        self.at += 1;
        Ok(line)
    }
}

/// Reads one pickle: the instructions are those of Python's `pickletools`, protocol 2.
fn unpickle(input: &mut Input) -> Result<Value, String> {
    let mut stack: Vec<Value> = Vec::new();
    let mut memo: HashMap<usize, Value> = HashMap::new();
    const EMPTY: &str = "an instruction finds nothing to work on";
    loop {
        let start = input.at;
        let instruction = input.byte()?;
        let value = match instruction {
            0x80 => {
                input.byte()?;
                continue;
            }
            b'.' => return stack.pop().ok_or_else(|| EMPTY.into()),
            b'(' => Value::Mark,
            b'N' => Value::None,
            0x88 | 0x89 => Value::Int(i64::from(instruction == 0x88)),
            b'K' => Value::Int(i64::from(input.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(input.array()?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(input.array()?))),
            0x8a => {
                let length = input.byte()? as usize;
                long(input.take(length)?)
            }
            b'G' => {
                input.take(8)?;
                Value::Other
            }
            b'X' => {
                let length = input.length()?;
                Value::Text(input.text(length)?)
            }
            b'c' => Value::Name(format!("{}.{}", input.line()?, input.line()?)),
            b'}' => Value::Dict(Vec::new()),
            b']' => Value::List(Vec::new()),
            b')' => Value::tuple(Vec::new()),
            b't' => Value::tuple(since_mark(&mut stack)?),
            0x85..=0x87 => {
                let from = stack.len().checked_sub(usize::from(instruction - 0x84)).ok_or(EMPTY)?;
                Value::tuple(stack.split_off(from))
            }
            b'q' | b'r' => {
                let key = if instruction == b'q' { input.byte()? as usize } else { input.length()? };
                memo.insert(key, stack.last().ok_or(EMPTY)?.remembered());
                continue;
            }
            b'h' | b'j' => {
                let key = if instruction == b'h' { input.byte()? as usize } else { input.length()? };
                memo.get(&key).cloned().ok_or("a reference leads nowhere")?
            }
            b's' | b'u' => {
                let items = if instruction == b'u' {
                    since_mark(&mut stack)?
                } else {
                    let from = stack.len().checked_sub(2).ok_or(EMPTY)?;
                    stack.split_off(from)
                };
                if let Value::Dict(entries) = stack.last_mut().ok_or(EMPTY)? {
                    let mut items = items.into_iter();
                    while let (Some(key), Some(value)) = (items.next(), items.next()) {
                        if let Value::Text(key) = key {
                            entries.push((key, value.nested()));
                        }
                    }
                }
                continue;
            }
            b'a' | b'e' => {
                let items = if instruction == b'e' { since_mark(&mut stack)? } else { vec![stack.pop().ok_or(EMPTY)?] };
                if let Value::List(list) = stack.last_mut().ok_or(EMPTY)? {
                    list.extend(items.into_iter().map(Value::nested));
                }
                continue;
            }
            b'b' => {
                stack.pop().ok_or(EMPTY)?; // attributes of an object, such as a dictionary's `_metadata`
                continue;
            }
            b'Q' => storage(stack.pop().ok_or(EMPTY)?)?,
            b'R' => {
                let arguments = stack.pop().ok_or(EMPTY)?;
                call(stack.pop().ok_or(EMPTY)?, arguments)?
            }
            other => {
                return Err(format!("instruction {other:#04x} at byte {start} is none of a state dictionary's"));
            }
        };
        stack.push(value);
    }
}

fn since_mark(stack: &mut Vec<Value>) -> Result<Vec<Value>, String> {
    let mark = stack.iter().rposition(|v| matches!(v, Value::Mark)).ok_or("a mark is missing")?;
    let items = stack.split_off(mark + 1);
    stack.pop();
    Ok(items)
}

/// Little-endian two's complement of any length; only the magic number is longer than a machine word.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Long(bytes.to_vec());
    }
    let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut word = [sign; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(word))
}

/// `('storage', torch.FloatStorage, key, device, count, view)`.
fn storage(id: Value) -> Result<Value, String> {
    let Value::Tuple(parts, _) = id else {
        return Err("a storage has no description".into());
    };
    let [Value::Text(word), Value::Name(class), Value::Text(key), _, _, view] = &parts[..] else {
        return Err("the description of a storage has other parts than expected".into());
    };
    if word != "storage" || !matches!(view, Value::None) {
        return Err("storages that are views of others are not read".into());
    }
    let kind = match class.strip_prefix("torch.").and_then(|c| c.strip_suffix("Storage")) {
        Some("Float") => Kind::Float,
        Some("Double") => Kind::Double,
        Some("Half") => Kind::Half,
        Some("BFloat16") => Kind::BFloat16,
        Some("Long") => Kind::Int64,
        Some("Int") => Kind::Int,
        Some("Short") => Kind::Int16,
        Some("Char") => Kind::Int8,
        Some("Byte") => Kind::Uint8,
        Some("Bool") => Kind::Bool,
        _ => return Err(format!("'{class}' is no storage of numbers")),
    };
    Ok(Value::Storage(Storage { key: key.clone(), kind }))
}

/// The calls that mean something here: an empty dictionary, a tensor, a parameter.
fn call(function: Value, arguments: Value) -> Result<Value, String> {
    let (Value::Name(name), Value::Tuple(arguments, _)) = (function, arguments) else {
        return Err("a call without a name".into());
    };
    Ok(match (name.as_str(), &arguments[..]) {
        ("collections.OrderedDict", []) => Value::Dict(Vec::new()),
        (
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
            [Value::Storage(storage), Value::Int(offset), Value::Tuple(size, _), Value::Tuple(stride, _), ..],
        ) => {
            let numbers = |values: &[Value]| -> Result<Vec<i64>, String> {
                let number = |v: &Value| {
                    if let Value::Int(n) = v { Ok(*n) } else { Err("a size is no number".into()) }
                };
                values.iter().map(number).collect()
            };
            let (size, stride) = (numbers(size)?, numbers(stride)?);
            Value::View(View { storage: storage.clone(), offset: *offset, size, stride })
        }
        ("torch._utils._rebuild_parameter", [Value::View(view), ..]) => Value::View(view.clone()),
        _ => Value::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"w": tensor([[1, 2], [3, 4]]).t()}` as torch.save(..., _use_new_zipfile_serialization=False) writes it.
    fn sample() -> Vec<u8> {
        let mut bytes = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.".to_vec();
        bytes.extend(b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((");
        bytes.extend(b"X\x07\x00\x00\x00storageq\x03ctorch\nFloatStorage\nq\x04X\x02\x00\x00\x0042q\x05");
        bytes.extend(b"X\x03\x00\x00\x00cpuq\x06K\x04Ntq\x07QK\x00K\x02K\x02\x86q\x08K\x01K\x02\x86q\x09\x89");
        bytes.extend(b"ccollections\nOrderedDict\nq\x0a)Rq\x0btq\x0cRq\x0ds.");
        bytes.extend(b"\x80\x02]q\x00X\x02\x00\x00\x0042q\x01a.\x04\x00\x00\x00\x00\x00\x00\x00");
        for number in [1f32, 2.0, 3.0, 4.0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn tensors_come_with_their_strides() {
        let weights = parse(&sample()).unwrap();
        assert_eq!(weights.len(), 1);
        let numbers = Vec::<Vec<f32>>::try_from(&weights["w"]).unwrap();
        assert_eq!(numbers, [[1.0, 3.0], [2.0, 4.0]]);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let whole = sample();
        for at in 0..whole.len() {
            for value in [0, 1, b'.', b'R', b't', 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = parse(&bytes);
            }
        }
    }

    #[test]
    fn other_files_are_named_for_what_they_are() {
        assert!(parse(b"PK\x03\x04").unwrap_err().contains("1.6 or later"));
        for bytes in [&b"hello"[..], b"", b"\x80\x02K\x01."] {
            assert!(parse(bytes).unwrap_err().contains("magic number"));
        }
        let mut foreign = sample();
        let at = foreign.windows(3).position(|w| w == b"w\x71\x01").unwrap();
        foreign[at + 3] = b'P';
        assert!(parse(&foreign).unwrap_err().contains("instruction 0x50"));
    }
}
