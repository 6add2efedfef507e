//! Values that options of several commands take, checked where they are read: clap's message then names the option.

use std::str::FromStr;

/// Of frames, rounds and the like: at least 1.
pub fn count(text: &str) -> Result<usize, String> {
    number(text, |&count| count > 0, "expected a whole number from 1 on")
}

/// A standard deviation of noise, in levels of 8 bits.
pub fn sigma(text: &str) -> Result<f64, String> {
    number(text, |sigma| (0.0..=255.0).contains(sigma), "expected a number from 0 to 255, in levels of 8 bits")
}

/// `quality` of torchenc.
pub fn quality(text: &str) -> Result<f64, String> {
    number(text, |quality| (0.0..=100.0).contains(quality), "expected a number from 0 to 100")
}

/// How many times larger super-resolution makes a picture.
pub fn scale(text: &str) -> Result<usize, String> {
    number(text, |scale| matches!(scale, 2 | 4), "expected 2 or 4")
}

/// One side of frames of 4:2:0.
pub fn side(text: &str) -> Result<usize, String> {
    number(text, even_side, "expected an even number of pixels from 2 to 8192")
}

/// Both sides of frames of 4:2:0.
pub fn even_size(text: &str) -> Result<(usize, usize), String> {
    let size = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let valid = |(w, h): &(usize, usize)| even_side(w) && even_side(h);
    size.filter(valid).ok_or_else(|| "expected WIDTHxHEIGHT, both even, 2 to 8192".into())
}

fn even_side(side: &usize) -> bool {
    (2..=8192).contains(side) && side.is_multiple_of(2)
}

fn number<N: FromStr>(text: &str, valid: impl Fn(&N) -> bool, expected: &str) -> Result<N, String> {
    text.trim().parse().ok().filter(valid).ok_or_else(|| expected.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_measured_is_refused_with_what_was_expected() {
        assert_eq!((count("1"), count(" 120")), (Ok(1), Ok(120)));
        assert_eq!((sigma("0"), sigma("12.5"), quality("100"), scale("4")), (Ok(0.0), Ok(12.5), Ok(100.0), Ok(4)));
        assert_eq!((side("360"), even_size("640x360")), (Ok(360), Ok((640, 360))));
        for text in ["0", "-1", "1.5", "nan", "many", ""] {
            assert!(count(text).unwrap_err().contains("from 1 on"), "{text}");
        }
        for text in ["-5", "nan", "inf", "256", "loud"] {
            assert!(sigma(text).unwrap_err().contains("from 0 to 255"), "{text}");
        }
        for text in ["900", "-1", "nan"] {
            assert!(quality(text).unwrap_err().contains("from 0 to 100"), "{text}");
        }
        assert!(["0", "1", "3", "8"].iter().all(|text| scale(text).is_err()));
        assert!(["0", "7", "-2", "9000"].iter().all(|text| side(text).is_err()));
        assert!(["640", "0x360", "641x360", "640x-2"].iter().all(|text| even_size(text).is_err()));
    }
}
