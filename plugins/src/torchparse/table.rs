//! Key frames and duration of a file, from the first bytes of its units.

use gst_torch_models::codec::stream::{self, Found, Header, MARKER, UNIT_MIN};
use gst_torch_models::codec::symbols::Kind;

use super::placer::{Picture, Placer};

/// Every header unit, and of other units what stands before the slices, is shorter.
const HEAD: usize = 128;

/// Reads ahead in a file. It trusts lengths and checks no sums: where the file is damaged it ends, and what lies behind is
/// found when it is played.
#[derive(Debug)]
pub struct Table {
    offset: u64,
    /// Where the access unit begins.
    begin: u64,
    header: Option<Header>,
    pub placer: Placer,
    /// Key frames that were not fetched yet: offset and time.
    keys: Vec<(u64, u64)>,
    done: bool,
}

impl Table {
    pub fn new() -> Self {
        Table { offset: 0, begin: 0, header: None, placer: Placer::new(), keys: Vec::new(), done: false }
    }

    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The key frames found since the last call.
    pub fn take_keys(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.keys)
    }

    /// Goes on by so many units. `read` gives bytes at an offset, fewer at the end. `Some` is the duration, once the end is
    /// reached.
    pub fn advance(&mut self, units: usize, mut read: impl FnMut(u64, usize) -> Option<Vec<u8>>) -> Option<u64> {
        for _ in 0..units {
            if self.done {
                return None;
            }
            let bytes = read(self.offset, HEAD).unwrap_or_default();
            let Some(length) = self.unit(&bytes) else {
                self.done = true;
                // Without damage it ends where the file ends.
                return bytes.is_empty().then(|| self.placer.end());
            };
            self.offset += length as u64;
        }
        None
    }

    /// The length of the unit that begins here.
    fn unit(&mut self, bytes: &[u8]) -> Option<usize> {
        if bytes.len() < UNIT_MIN || bytes[..2] != MARKER {
            return None;
        }
        let (length, payload) = match stream::find(bytes) {
            Found::Unit(unit) => (unit.length, unit.payload),
            Found::More(length) => {
                let number = bytes[3..].iter().position(|byte| byte & 0x80 == 0)?;
                (length, bytes.get(3 + number + 1 + 3..)?)
            }
            Found::Nothing(_) => return None,
        };
        let kind = match bytes[2] {
            b'S' => {
                self.header = Some(Header::read(payload).ok()?);
                self.begin = self.offset;
                return Some(length);
            }
            b'I' => Kind::Intra,
            b'P' => Kind::Inter,
            _ => return Some(length),
        };
        let picture = Picture::read(kind, payload)?;
        if let Some(header) = &self.header {
            let time = self.placer.place(self.begin, header, picture);
            if let Some(time) = time.filter(|_| kind == Kind::Intra) {
                self.keys.push((self.begin, time));
            }
        }
        self.begin = self.offset + length as u64;
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use gst_torch_models::codec::stream::{Coding, Colour, PictureUnit, Subsampling};

    use super::*;

    fn file(keys: u64) -> (Vec<u8>, Vec<(u64, u64)>) {
        let header = Header {
            coding: Coding::Residual,
            model: [1; 16],
            name: "test".into(),
            width: 640,
            height: 480,
            subsampling: Subsampling::Quarter,
            interleaved: false,
            colour: Colour::default(),
            rate: (10, 1),
            aspect: (1, 1),
            slice_rows: 30,
        };
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for key in 0..keys {
            expected.push((bytes.len() as u64, key * 500_000_000));
            bytes.extend(header.write());
            for number in 0..5 {
                let kind = if number == 0 { Kind::Intra } else { Kind::Inter };
                let time = (key > 0 && number == 0).then_some(key * 500_000_000);
                let reference = (number > 0).then_some(7);
                let slices = vec![&[9; 700][..number as usize * 170]];
                bytes.extend(
                    PictureUnit { kind, step: 9, number, reference, tones: None, time, slices, detail: None }.write(),
                );
            }
        }
        (bytes, expected)
    }

    fn scan(bytes: &[u8], table: &mut Table, units: usize) -> Option<u64> {
        table.advance(units, |offset, length| {
            let rest = bytes.get(offset as usize..)?;
            Some(rest[..length.min(rest.len())].to_vec())
        })
    }

    #[test]
    fn keys_and_duration_are_found_bit_by_bit() {
        let (bytes, expected) = file(4);
        let mut table = Table::new();
        let (mut keys, mut duration) = (Vec::new(), None);
        while !table.is_done() {
            duration = scan(&bytes, &mut table, 5);
            keys.extend(table.take_keys());
        }
        assert_eq!((keys, duration), (expected, Some(2_000_000_000)));
    }

    #[test]
    fn it_ends_at_damage() {
        let (mut bytes, expected) = file(3);
        let third = expected[2].0 as usize;
        bytes[third] ^= 1;
        let mut table = Table::new();
        assert_eq!(scan(&bytes, &mut table, 1000), None);
        assert!(table.is_done());
        assert_eq!(table.take_keys(), expected[..2]);
    }
}
