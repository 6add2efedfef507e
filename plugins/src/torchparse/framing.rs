//! Access units in bytes that may be damaged.

use std::ops::Range;

use gst_torch_models::codec::stream::{self, Found, Header, MARKER, StreamError, Subsampling, UNIT_MIN};
use gst_torch_models::codec::symbols::Kind;

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq)]
pub enum Step<'a> {
    /// Bytes that are no stream.
    Skip(usize),
    /// Units that are no picture.
    Drop(usize),
    /// A header that is whole, and not for this parser: of another version, or with what it does not know. Why, and
    /// where it lies.
    Refuse(String, Range<usize>),
    /// Not enough bytes; so many are needed.
    More(usize),
    Unit(AccessUnit<'a>),
}

#[derive(Debug, PartialEq)]
pub struct AccessUnit<'a> {
    pub header: Option<Header>,
    pub kind: Kind,
    /// The payload of the picture unit.
    pub picture: &'a [u8],
    /// Of everything.
    pub length: usize,
}

/// The longest header unit is shorter.
const HEADER_MAX: usize = 256;
/// A picture unit is no longer than this, before there is a header.
const UNKNOWN_MAX: usize = 16 << 20;
/// So many places are examined at a time for a unit that would show that the one before is damaged.
const CANDIDATES: usize = 64;

#[derive(Debug, Default)]
pub struct Framer {
    /// Up to here it is known that no other unit begins in the one that is waited for.
    scanned: usize,
    /// Of the last header.
    picture_max: Option<usize>,
}

impl Framer {
    /// Forgets what it waits for.
    pub fn reset(&mut self) {
        self.scanned = 0;
    }

    /// Looks at the beginning of `bytes`. With `last` nothing comes behind them.
    pub fn next<'a>(&mut self, bytes: &'a [u8], last: bool) -> Step<'a> {
        let step = self.look(bytes, last);
        if !matches!(step, Step::More(_)) {
            self.scanned = 0;
        }
        step
    }

    fn look<'a>(&mut self, bytes: &'a [u8], last: bool) -> Step<'a> {
        let (mut at, mut header) = (0, None);
        loop {
            let unit = match stream::find(&bytes[at..]) {
                Found::Unit(unit) => unit,
                Found::More(length) if !last && length <= self.longest(&bytes[at..]) => {
                    return match self.hidden_unit(bytes, at) {
                        Some(place) => Step::Skip(place),
                        None => Step::More(at + length),
                    };
                }
                Found::More(_) | Found::Nothing(_) if at == bytes.len() => return Step::Drop(at),
                Found::More(_) | Found::Nothing(_) => return Step::Skip(next_marker(bytes, at + 1)),
            };
            let begin = at;
            at += unit.length;
            let kind = match unit.kind {
                b'S' if begin > 0 && header.is_none() => return Step::Drop(begin),
                b'S' => match Header::read(unit.payload) {
                    Ok(read) => {
                        self.picture_max = Some(picture_max(&read));
                        header = Some(read);
                        continue;
                    }
                    Err(StreamError::Damaged { .. }) => return Step::Drop(at),
                    Err(error) => return Step::Refuse(error.to_string(), begin..at),
                },
                b'I' => Kind::Intra,
                b'P' => Kind::Inter,
                _ if header.is_none() => return Step::Drop(at),
                _ => continue,
            };
            return Step::Unit(AccessUnit { header, kind, picture: unit.payload, length: at });
        }
    }

    /// The longest unit that this may be the beginning of.
    fn longest(&self, bytes: &[u8]) -> usize {
        match bytes.get(2) {
            Some(b'S') => HEADER_MAX,
            _ => self.picture_max.unwrap_or(UNKNOWN_MAX),
        }
    }

    /// The place of a whole unit inside the one at `at` that is waited for: then its length is a lie.
    fn hidden_unit(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let mut place = next_marker(bytes, self.scanned.max(at + 1));
        let mut undecided = None;
        for _ in 0..CANDIDATES {
            if bytes.len() - place < UNIT_MIN {
                break;
            }
            match stream::find(&bytes[place..]) {
                Found::Unit(_) => return Some(place),
                Found::More(length) if length <= self.longest(&bytes[place..]) => {
                    undecided = undecided.or(Some(place));
                }
                _ => {}
            }
            place = next_marker(bytes, place + 1);
        }
        self.scanned = undecided.unwrap_or(place);
        None
    }
}

/// No coder needs more.
fn picture_max(header: &Header) -> usize {
    let luma = usize::from(header.width).div_ceil(16) * usize::from(header.height).div_ceil(16) * 256;
    let planes = if header.subsampling == Subsampling::Grey { 1 } else { 3 };
    luma * planes * 2 + 65_536
}

/// Where the next unit of a known kind may begin; the end if nowhere.
fn next_marker(bytes: &[u8], from: usize) -> usize {
    let begins = |at: &usize| {
        let rest = &bytes[*at..];
        let kind = rest.get(2).is_none_or(|kind| b"SIP".contains(kind));
        rest.iter().zip(&MARKER).all(|(a, b)| a == b) && kind
    };
    (from.min(bytes.len())..bytes.len()).find(begins).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use gst_torch_models::codec::stream::{Coding, Colour, unit};

    use super::*;

    fn header() -> Header {
        Header {
            coding: Coding::Residual,
            model: [1; 16],
            name: "test".into(),
            width: 64,
            height: 48,
            subsampling: Subsampling::Quarter,
            interleaved: false,
            colour: Colour::default(),
            rate: (30, 1),
            aspect: (1, 1),
            slice_rows: 3,
        }
    }

    /// Key frame, two others.
    fn stream() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = header().write();
        bytes.extend(unit(b'I', &[1; 300]));
        let mut ends = vec![bytes.len()];
        for _ in 0..2 {
            bytes.extend(unit(b'P', &[2; 40]));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    /// The places of all access units, fed in chunks.
    fn units(bytes: &[u8], chunk: usize) -> Vec<(usize, usize)> {
        let mut framer = Framer::default();
        let (mut at, mut have, mut found) = (0, 0, Vec::new());
        while at < bytes.len() {
            match framer.next(&bytes[at..have], have == bytes.len()) {
                Step::More(length) => {
                    assert!(length > have - at, "it asks for what it does not have");
                    have = (have + chunk).min(bytes.len());
                }
                Step::Skip(0) | Step::Drop(0) if at == have => have = (have + chunk).min(bytes.len()),
                Step::Skip(length) | Step::Drop(length) | Step::Refuse(_, Range { end: length, .. }) => {
                    assert!(length > 0);
                    at += length;
                }
                Step::Unit(unit) => {
                    found.push((at, unit.length));
                    at += unit.length;
                }
            }
        }
        found
    }

    #[test]
    fn units_are_found_in_chunks_of_any_size() {
        let (bytes, ends) = stream();
        let expected = [(0, ends[0]), (ends[0], ends[1] - ends[0]), (ends[1], ends[2] - ends[1])];
        for chunk in [1, 2, 7, 50, 10_000] {
            assert_eq!(units(&bytes, chunk), expected, "{chunk}");
        }
        let Step::Unit(unit) = Framer::default().next(&bytes, false) else { panic!() };
        assert_eq!((unit.header, unit.kind, unit.picture), (Some(header()), Kind::Intra, &[1; 300][..]));
    }

    #[test]
    fn what_is_between_units_is_skipped() {
        let (bytes, ends) = stream();
        let mut mixed = vec![0x9e, 0x54, 7, MARKER[0]];
        mixed.extend(&bytes[..ends[0]]);
        mixed.extend(b"not a unit \x9e\x54I");
        mixed.extend(unit(b'Z', b"of another version"));
        mixed.extend(&bytes[ends[0]..]);
        for chunk in [1, 13, 10_000] {
            assert_eq!(units(&mixed, chunk).len(), 3, "{chunk}");
        }
    }

    /// Whatever bit is wrong, only its own access unit is lost, and without waiting for the end.
    #[test]
    fn a_flipped_bit_costs_one_access_unit() {
        let (mut bytes, ends) = stream();
        let total = ends[1];
        for _ in 0..200 {
            bytes.extend(unit(b'P', &[3; 400]));
        }
        for bit in 0..total * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A damaged header alone costs itself: the picture behind it is found.
            assert!(units(&flipped, 64).len() >= 202, "bit {bit}");
            let mut framer = Framer::default();
            let waits = matches!(framer.next(&flipped[..total + 2 * 411], false), Step::More(_));
            assert!(!waits, "bit {bit} makes it wait");
        }
    }

    #[test]
    fn a_truncated_end_is_dropped() {
        let (bytes, ends) = stream();
        for length in ends[1]..ends[2] {
            assert_eq!(units(&bytes[..length], 16).len(), 2, "{length}");
        }
        assert_eq!(units(&header().write(), 16), []);
    }
}
