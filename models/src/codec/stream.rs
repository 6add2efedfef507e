//! Units of the stream: `docs/bitstream.md`, sections Units, Sequence header, Pictures.

use super::symbols::Kind;
use super::tone::Tone;

pub const VERSION: u8 = 2;
pub const MARKER: [u8; 2] = [0x9e, 0x54];
/// Payloads are at most this long.
pub const LENGTH_MAX: usize = 1 << 28;
/// Width and height are at most this.
pub const SIDE_MAX: u16 = 8192;
/// Bytes of a model's name.
const NAME_MAX: usize = 63;
/// The subsampling byte of 4:2:0 whose U and V were interleaved.
const INTERLEAVED: u8 = 4;
/// No unit is shorter.
pub const UNIT_MIN: usize = 7;

/// What is wrong with bytes that should be a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("damaged {what} at byte {at}: {reason}")]
    Damaged { what: &'static str, at: usize, reason: String },
    #[error("bitstream version {0}; this decoder knows version {VERSION}")]
    Version(u8),
    #[error("a sequence header says {0}")]
    Header(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subsampling {
    Grey = 0,
    /// 4:2:0
    Quarter = 1,
    /// 4:2:2
    Half = 2,
    /// 4:4:4
    Full = 3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    Residual = 1,
    Vector = 2,
    Foreign = 3,
}

/// How a model is named in a stream.
pub type Identity = [u8; 16];

/// ISO/IEC 23091-2 code points, 0 where unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Colour {
    pub range: u8,
    pub matrix: u8,
    pub transfer: u8,
    pub primaries: u8,
    pub site: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub coding: Coding,
    pub model: Identity,
    pub name: String,
    pub width: u16,
    pub height: u16,
    pub subsampling: Subsampling,
    /// Whether U and V of the source were interleaved (NV12, only of 4:2:0): for the decoder, to give them back so.
    pub interleaved: bool,
    pub colour: Colour,
    /// Numerator and denominator; 0/1 where it varies.
    pub rate: (u32, u32),
    pub aspect: (u16, u16),
    pub slice_rows: u16,
}

impl Header {
    /// Blocks of 16x16 across and down.
    pub fn blocks(&self) -> (usize, usize) {
        (usize::from(self.width).div_ceil(16), usize::from(self.height).div_ceil(16))
    }

    /// Rows of blocks of each slice.
    pub fn slices(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (rows, slice) = (self.blocks().1, usize::from(self.slice_rows));
        (0..rows.div_ceil(slice)).map(move |i| i * slice..((i + 1) * slice).min(rows))
    }

    /// The whole unit.
    pub fn write(&self) -> Vec<u8> {
        let mut payload = vec![VERSION, self.coding as u8];
        payload.extend(self.model);
        let mut length = self.name.len().min(NAME_MAX);
        while !self.name.is_char_boundary(length) {
            length -= 1;
        }
        payload.push(length as u8);
        payload.extend(&self.name.as_bytes()[..length]);
        payload.extend(self.width.to_be_bytes());
        payload.extend(self.height.to_be_bytes());
        let Colour { range, matrix, transfer, primaries, site } = self.colour;
        let interleaved = self.interleaved && self.subsampling == Subsampling::Quarter;
        let subsampling = if interleaved { INTERLEAVED } else { self.subsampling as u8 };
        payload.extend([subsampling, 8, range, matrix, transfer, primaries, site]);
        payload.extend(self.rate.0.to_be_bytes());
        payload.extend(self.rate.1.to_be_bytes());
        payload.extend(self.aspect.0.to_be_bytes());
        payload.extend(self.aspect.1.to_be_bytes());
        payload.extend(self.slice_rows.to_be_bytes());
        unit(b'S', &payload)
    }

    pub fn read(payload: &[u8]) -> Result<Header, StreamError> {
        let mut input = Input { bytes: payload, at: 0, what: "sequence header" };
        let [version, coding] = input.array()?;
        if version != VERSION {
            return Err(StreamError::Version(version));
        }
        let wrong = |text: String| Err(StreamError::Header(text));
        let coding = match coding {
            1 => Coding::Residual,
            2 => Coding::Vector,
            3 => Coding::Foreign,
            other => return wrong(format!("coding {other}; expected 1 to 3")),
        };
        let model = input.array()?;
        let [length] = input.array()?;
        let name = input.take(usize::from(length))?.to_vec();
        let Some(name) = String::from_utf8(name).ok().filter(|name| name.len() <= NAME_MAX) else {
            return wrong(format!("a model name that is not UTF-8 of at most {NAME_MAX} bytes"));
        };
        let (width, height) = (u16::from_be_bytes(input.array()?), u16::from_be_bytes(input.array()?));
        let side = 1..=SIDE_MAX;
        if !side.contains(&width) || !side.contains(&height) {
            return wrong(format!("{width}x{height} pixels; expected 1 to {SIDE_MAX} each way"));
        }
        let [subsampling, depth, range, matrix, transfer, primaries, site] = input.array()?;
        let interleaved = subsampling == INTERLEAVED;
        let subsampling = match subsampling {
            0 => Subsampling::Grey,
            1 | INTERLEAVED => Subsampling::Quarter,
            2 => Subsampling::Half,
            3 => Subsampling::Full,
            other => return wrong(format!("subsampling {other}; expected 0 to 4")),
        };
        if depth != 8 {
            return wrong(format!("{depth} bits a sample; this decoder knows 8"));
        }
        let rate = (u32::from_be_bytes(input.array()?), u32::from_be_bytes(input.array()?));
        let aspect = (u16::from_be_bytes(input.array()?), u16::from_be_bytes(input.array()?));
        let slice_rows = u16::from_be_bytes(input.array()?);
        let fits = |n: u32| n <= i32::MAX as u32;
        if rate.1 == 0 || !fits(rate.0) || !fits(rate.1) || aspect.0 == 0 || aspect.1 == 0 || slice_rows == 0 {
            return wrong(format!("frame rate {rate:?}, aspect ratio {aspect:?}, {slice_rows} rows a slice"));
        }
        if input.at != payload.len() {
            return wrong(format!("{} bytes; expected {}", payload.len(), input.at));
        }
        let colour = Colour { range, matrix, transfer, primaries, site };
        Ok(Header { coding, model, name, width, height, subsampling, interleaved, colour, rate, aspect, slice_rows })
    }
}

/// A picture unit, its slices still coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureUnit<'a> {
    pub kind: Kind,
    pub step: u8,
    pub number: u8,
    /// Checksum of the picture referred to.
    pub reference: Option<u16>,
    /// How bright Y, U and V are beside what they are predicted from: of an intra picture the model's still, of an inter picture
    /// the picture before.
    pub tones: Option<[Tone; 3]>,
    /// Nanoseconds; see the specification.
    pub time: Option<u64>,
    pub slices: Vec<&'a [u8]>,
    pub detail: Option<&'a [u8]>,
}

impl<'a> PictureUnit<'a> {
    /// The whole unit.
    pub fn write(&self) -> Vec<u8> {
        let flags =
            u8::from(self.time.is_some()) | u8::from(self.detail.is_some()) << 1 | u8::from(self.tones.is_some()) << 2;
        let mut payload = vec![flags, self.step, self.number];
        payload.extend(self.reference.into_iter().flat_map(u16::to_be_bytes));
        payload.extend(self.tones.iter().flatten().flat_map(|tone| [tone.gain, tone.offset as u8]));
        if let Some(time) = self.time {
            leb(&mut payload, time);
        }
        for (index, slice) in self.slices.iter().enumerate() {
            if index + 1 < self.slices.len() || self.detail.is_some() {
                leb(&mut payload, slice.len() as u64);
            }
            payload.extend(*slice);
        }
        payload.extend(self.detail.unwrap_or_default());
        unit(if self.kind == Kind::Intra { b'I' } else { b'P' }, &payload)
    }

    /// Reads the payload of a picture unit of `slices` slices.
    pub fn read(kind: Kind, payload: &'a [u8], slices: usize) -> Result<PictureUnit<'a>, StreamError> {
        let (mut unit, mut input, detailed) = Self::head(kind, payload)?;
        for index in 0..slices {
            let last = index + 1 == slices && !detailed;
            let length = if last { payload.len() - input.at } else { input.length()? };
            unit.slices.push(input.take(length)?);
        }
        unit.detail = detailed.then(|| &payload[input.at..]);
        Ok(unit)
    }

    /// What a payload says before its slices, of which it need not have all bytes: a unit without slices.
    pub fn read_head(kind: Kind, payload: &'a [u8]) -> Result<PictureUnit<'a>, StreamError> {
        Self::head(kind, payload).map(|(unit, ..)| unit)
    }

    /// The same, what follows, and whether there is chroma detail.
    fn head(kind: Kind, payload: &'a [u8]) -> Result<(PictureUnit<'a>, Input<'a>, bool), StreamError> {
        let mut input = Input { bytes: payload, at: 0, what: "picture" };
        let [flags, step, number] = input.array()?;
        if flags > 7 || step > 127 {
            return Err(input.damaged(format!("flags {flags:#x}, step index {step}")));
        }
        let reference = if kind == Kind::Inter { Some(u16::from_be_bytes(input.array()?)) } else { None };
        let tones = if flags & 4 != 0 {
            let bytes: [u8; 6] = input.array()?;
            Some([0, 2, 4].map(|at| Tone { gain: bytes[at], offset: bytes[at + 1] as i8 }))
        } else {
            None
        };
        let time = if flags & 1 != 0 { Some(input.leb(10)?) } else { None };
        let unit = PictureUnit { kind, step, number, reference, tones, time, slices: Vec::new(), detail: None };
        Ok((unit, input, flags & 2 != 0))
    }
}

/// A unit found in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit<'a> {
    pub kind: u8,
    pub payload: &'a [u8],
    /// Of the whole unit.
    pub length: usize,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Unit(Unit<'a>),
    /// The bytes end before the unit does; it needs at least this many.
    More(usize),
    /// No unit, or a damaged one.
    Nothing(&'static str),
}

/// Looks at the beginning of `bytes` for a unit.
pub fn find(bytes: &[u8]) -> Found<'_> {
    if bytes.len() < UNIT_MIN {
        let matches = bytes.iter().zip(&MARKER).all(|(a, b)| a == b);
        return if matches { Found::More(UNIT_MIN) } else { Found::Nothing("no marker") };
    }
    if bytes[..2] != MARKER {
        return Found::Nothing("no marker");
    }
    let mut input = Input { bytes, at: 3, what: "unit" };
    let Ok(length) = input.length() else {
        return Found::Nothing("a length that is too large");
    };
    let checked = input.at;
    let end = checked + 3 + length;
    if bytes.len() < end {
        return Found::More(end);
    }
    let payload = &bytes[checked + 3..end];
    if bytes[checked..checked + 3] != checksum(&bytes[2..checked], payload) {
        return Found::Nothing("a wrong checksum");
    }
    Found::Unit(Unit { kind: bytes[2], payload, length: end })
}

/// A whole unit.
pub fn unit(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = MARKER.to_vec();
    bytes.push(kind);
    leb(&mut bytes, payload.len() as u64);
    let sum = checksum(&bytes[2..], payload);
    bytes.extend(sum);
    bytes.extend(payload);
    bytes
}

fn checksum(head: &[u8], payload: &[u8]) -> [u8; 3] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    let [_, sum @ ..] = hasher.finalize().to_be_bytes();
    sum
}

fn leb(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Input<'a> {
    fn damaged(&self, reason: impl Into<String>) -> StreamError {
        StreamError::Damaged { what: self.what, at: self.at, reason: reason.into() }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], StreamError> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| self.damaged("it ends too early"))?;
        Ok(&self.bytes[std::mem::replace(&mut self.at, end)..end])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn leb(&mut self, most: usize) -> Result<u64, StreamError> {
        let mut number = 0u64;
        for index in 0..most {
            let [byte] = self.array()?;
            let part = u64::from(byte & 0x7f);
            if index == 9 && part > 1 {
                break;
            }
            number |= part << (7 * index);
            if byte & 0x80 == 0 {
                // One way only to write a number.
                return if byte == 0 && index > 0 {
                    Err(self.damaged("a number with leading zeros"))
                } else {
                    Ok(number)
                };
            }
        }
        Err(self.damaged("a number that is too long"))
    }

    fn length(&mut self) -> Result<usize, StreamError> {
        let length = self.leb(5)?;
        usize::try_from(length)
            .ok()
            .filter(|&l| l <= LENGTH_MAX)
            .ok_or_else(|| self.damaged("a length that is too large"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            coding: Coding::Residual,
            model: *b"0123456789abcdef",
            name: "codec-s".into(),
            width: 639,
            height: 361,
            subsampling: Subsampling::Quarter,
            interleaved: false,
            colour: Colour { range: 2, matrix: 1, transfer: 1, primaries: 1, site: 6 },
            rate: (30000, 1001),
            aspect: (1, 1),
            slice_rows: 10,
        }
    }

    #[test]
    fn headers_and_pictures_are_read_as_written() {
        let bytes = header().write();
        let Found::Unit(unit) = find(&bytes) else { panic!("{:?}", find(&bytes)) };
        assert_eq!((unit.kind, unit.length), (b'S', bytes.len()));
        assert_eq!(Header::read(unit.payload), Ok(header()));
        let slices: Vec<_> = header().slices().collect();
        assert_eq!(slices, [0..10, 10..20, 20..23]);
        let tones = Some([Tone { gain: 0, offset: -128 }, Tone::SAME, Tone { gain: 255, offset: 127 }]);
        let details = Some(&b"detail"[..]);
        for (time, tones, detail) in [(None, None, None), (Some(u64::MAX), tones, None), (Some(7), tones, details)] {
            let picture = PictureUnit {
                kind: Kind::Inter,
                step: 77,
                number: 255,
                reference: Some(0xabcd),
                tones,
                time,
                slices: vec![&[1; 200], &[], &[3; 5]],
                detail,
            };
            let bytes = picture.write();
            let Found::Unit(unit) = find(&bytes) else { panic!() };
            assert_eq!(unit.kind, b'P');
            assert_eq!(PictureUnit::read(Kind::Inter, unit.payload, 3), Ok(picture));
        }
    }

    #[test]
    fn truncated_and_flipped_units_are_found_out() {
        let bytes = header().write();
        for length in 0..bytes.len() {
            assert!(matches!(find(&bytes[..length]), Found::More(more) if more > length), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(find(&flipped), Found::Unit(_)), "bit {bit}");
        }
        let Found::Unit(unit) = find(&bytes) else { panic!() };
        for length in 0..unit.payload.len() {
            assert!(Header::read(&unit.payload[..length]).is_err());
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let bytes = header().write();
        let Found::Unit(unit) = find(&bytes) else { panic!() };
        let with = |at: usize, value: u8| {
            let mut payload = unit.payload.to_vec();
            payload[at] = value;
            Header::read(&payload).unwrap_err().to_string()
        };
        assert_eq!(with(0, 9), "bitstream version 9; this decoder knows version 2");
        assert!(with(1, 0).contains("coding 0"));
        let width = 2 + 16 + 1 + 7;
        assert!(with(width, 0xff).contains("expected 1 to 8192"));
        assert!(with(width + 5, 10).contains("10 bits a sample"));
        let long = Header { name: "x".repeat(80), ..header() }.write();
        let Found::Unit(unit) = find(&long) else { panic!() };
        assert_eq!(Header::read(unit.payload).unwrap().name.len(), 63, "names are cut");
    }
}
