//! `.tvc` files, known by what they begin with.

use gst::glib;
use gst_torch_models::codec::stream::{self, Found, Header, StreamError, UNIT_MIN};

use crate::codec::MEDIA_TYPE;

/// What can be peeked at is limited, and a stream that begins with a larger unit is not worth it.
const PEEK_MAX: usize = 64 * 1024;

pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    let caps = gst::Caps::new_empty_simple(MEDIA_TYPE);
    let suggestion = caps.clone();
    gst::TypeFind::register(Some(plugin), MEDIA_TYPE, gst::Rank::PRIMARY, Some("tvc"), Some(&caps), move |find| {
        if let Some(probability) = probability(|length| find.peek(0, length as u32).map(<[u8]>::to_vec)) {
            find.suggest(probability, &suggestion);
        }
    })
}

/// A checked sequence header is certain; a stream that was cut may begin with another checked unit.
fn probability(mut begin: impl FnMut(usize) -> Option<Vec<u8>>) -> Option<gst::TypeFindProbability> {
    let mut length = UNIT_MIN;
    loop {
        let bytes = begin(length)?;
        return match stream::find(&bytes) {
            Found::More(more) if more > length && more <= PEEK_MAX => {
                length = more;
                continue;
            }
            // One that this version does not know, too: the parser says what is the matter with it.
            Found::Unit(unit) if unit.kind == b'S' => match Header::read(unit.payload) {
                Ok(_) | Err(StreamError::Version(_) | StreamError::Header(_)) => {
                    Some(gst::TypeFindProbability::Maximum)
                }
                Err(StreamError::Damaged { .. }) => None,
            },
            Found::Unit(unit) if unit.kind == b'I' || unit.kind == b'P' => Some(gst::TypeFindProbability::Likely),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<gst::TypeFindProbability> {
        probability(|length| bytes.get(..length).map(<[u8]>::to_vec))
    }

    #[test]
    fn only_checked_units_are_known() {
        let mut picture = stream::unit(b'I', &[7; 300]);
        assert_eq!(of(&picture), Some(gst::TypeFindProbability::Likely));
        picture[100] ^= 1;
        assert_eq!(of(&picture), None);
        assert_eq!(of(&stream::unit(b'S', &[stream::VERSION; 3])), None, "not a whole header");
        assert_eq!(of(&stream::unit(b'S', &[99; 60])), Some(gst::TypeFindProbability::Maximum), "another version's");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&stream::unit(b'P', &vec![0; PEEK_MAX])), None);
    }
}
