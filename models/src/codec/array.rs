//! What both codings of latent arrays share: a network turns a picture into an array of whole numbers, [`Latents`] codes it,
//! a network turns it back. Nothing that is coded depends on what was decoded.
//!
//! [`Latents`]: super::entropy::latents::Latents

use gst_torch_runtime::{Error, Result};

use super::canvas::Frame;
use super::control::Rate;
use super::guess::{Guess, Tries};
use super::stream::Header;

/// Bits of a picture unit besides its arrays, about.
const UNIT_BITS: u32 = 12 * 8;

/// What a picture's array is known by in the next one: the low 16 bits of the CRC-32 over its numbers, each as 32 bits,
/// little-endian.
pub(super) fn checksum(numbers: &[i32]) -> u16 {
    let mut hasher = crc32fast::Hasher::new();
    for part in numbers.chunks(1024) {
        let bytes: Vec<u8> = part.iter().flat_map(|number| number.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hasher.finalize() as u16
}

/// Codes a picture with the step that its rate asks for; `code` says what came out, and its bytes. Coded again with other
/// steps where the bits turn out too many or too few. `beside` foretells the bits that come on top.
pub(super) fn fit<T>(
    guess: &mut Guess,
    rate: Rate,
    key: bool,
    beside: &Guess,
    mut code: impl FnMut(u8) -> Result<(T, usize)>,
) -> Result<(u8, T)> {
    let mut step = match rate {
        Rate::Step(step) => step.min(127),
        Rate::Bits { target, .. } => guess.step(key, target),
    };
    let mut tries = Tries::default();
    loop {
        let (coded, bytes) = code(step)?;
        let bits = bytes as u32 * 8 + UNIT_BITS + beside.bits(key, step);
        guess.learn(key, step, bits);
        match tries.next(rate, step, bits, rate.target().map_or(step, |target| guess.step(key, target))) {
            Some(next) => step = next,
            None => return Ok((step, coded)),
        }
    }
}

/// An error for a picture that is not what the header says.
pub(super) fn expect(frame: &Frame, header: &Header, model: &str) -> Result<()> {
    if frame.fits(header) {
        return Ok(());
    }
    let Frame { width, height, subsampling, .. } = frame;
    let Header { width: w, height: h, subsampling: s, .. } = header;
    let reason = format!("a picture of {width}x{height}, {subsampling:?}; expected {w}x{h}, {s:?}");
    Err(Error::Mismatch { model: model.into(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_met_where_the_step_can_meet_them() {
        let mut guess = Guess::default();
        // Halved by every 12 steps.
        let bytes = |step: u8| (40_000.0 * (-f64::from(step) / 12.0).exp2()) as usize;
        let rate = Rate::Bits { target: 60_000, least: 54_000, most: 66_000 };
        let mut beside = Guess::default();
        let (step, coded) = fit(&mut guess, rate, true, &beside, |step| Ok((bytes(step), bytes(step)))).unwrap();
        assert_eq!(coded, bytes(step));
        assert!((54_000..=66_000).contains(&(coded * 8)), "{coded} bytes");
        beside.learn(true, 60, 30_000);
        let (step, coded) = fit(&mut guess, rate, true, &beside, |step| Ok((bytes(step), bytes(step)))).unwrap();
        assert!((54_000..=66_000).contains(&(coded * 8 + beside.bits(true, step) as usize)), "{coded} bytes");
        let (step, _) = fit(&mut guess, Rate::Step(200), true, &beside, |step| Ok(((), bytes(step)))).unwrap();
        assert_eq!(step, 127);
    }

    #[test]
    fn the_checksum_is_that_of_little_endian_numbers() {
        let numbers: Vec<i32> = (-3000..3000).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(checksum(&numbers), crc32fast::hash(&bytes) as u16);
    }
}
