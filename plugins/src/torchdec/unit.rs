//! Access units, taken apart.

use std::ops::Range;

use gst_torch_models::codec::stream::{self, Found, Header, StreamError};
use gst_torch_models::codec::symbols::Kind;

/// What belongs to one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    pub header: Option<Header>,
    pub kind: Kind,
    /// Counts pictures, modulo 256.
    pub number: u8,
    /// The payload of the picture unit.
    pub picture: Range<usize>,
    /// Of the whole.
    pub length: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody wrote this.
    Damaged(String),
    /// Sound, but not for this decoder.
    Unknown(String),
}

impl AccessUnit {
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let (mut at, mut header) = (0, None);
        loop {
            let unit = match stream::find(&bytes[at..]) {
                Found::Unit(unit) => unit,
                Found::More(_) => return Err(Fault::Damaged(format!("it ends after {} bytes", bytes.len()))),
                Found::Nothing(reason) => return Err(Fault::Damaged(format!("{reason} at byte {at}"))),
            };
            at += unit.length;
            let kind = match unit.kind {
                b'S' => {
                    header = Some(Header::read(unit.payload).map_err(|error| match error {
                        StreamError::Damaged { .. } => Fault::Damaged(error.to_string()),
                        StreamError::Version(_) | StreamError::Header(_) => Fault::Unknown(error.to_string()),
                    })?);
                    continue;
                }
                b'I' => Kind::Intra,
                b'P' => Kind::Inter,
                _ => continue,
            };
            let number = unit.payload.get(2).copied();
            let number = number.ok_or_else(|| Fault::Damaged("a picture unit that is too short".into()))?;
            return Ok(AccessUnit { header, kind, number, picture: at - unit.payload.len()..at, length: at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_found_behind_what_comes_before_it() {
        let mut bytes = stream::unit(b'X', b"later versions may say more");
        bytes.extend(stream::unit(b'P', &[0, 40, 7, 1, 2, 99]));
        let unit = AccessUnit::read(&bytes).unwrap();
        assert_eq!((unit.kind, unit.number, unit.header), (Kind::Inter, 7, None));
        assert_eq!(bytes[unit.picture], [0, 40, 7, 1, 2, 99]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let sound = stream::unit(b'P', &[0, 40, 7, 1, 2, 99]);
        for length in 0..sound.len() {
            assert!(matches!(AccessUnit::read(&sound[..length]), Err(Fault::Damaged(_))), "{length}");
        }
        assert!(matches!(AccessUnit::read(&stream::unit(b'P', &[0])), Err(Fault::Damaged(_))));
        let Err(Fault::Unknown(text)) = AccessUnit::read(&stream::unit(b'S', &[9, 1])) else { panic!() };
        assert!(text.contains("version 9"), "{text}");
    }
}
