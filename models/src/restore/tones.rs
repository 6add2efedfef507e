//! How light a picture is as a whole, for networks that see it by parts.

use super::samples::Frame;
use super::{BLACK, WHITE};

/// Numbers that describe a picture.
pub const TONES: usize = SHARES.len();

/// Of the picture: closer together where they tell what a gain and a gamma have done, at both ends.
const SHARES: [f64; 12] = [0.002, 0.01, 0.03, 0.08, 0.2, 0.35, 0.5, 0.65, 0.8, 0.92, 0.97, 0.998];

/// The luma that so much of the picture lies below, from a five-hundredth to all but that; as the square root of its share of
/// the way from black to white, 0 to 1, for what tells dark pictures apart are the lowest levels.
pub fn of(frame: &Frame) -> [f32; TONES] {
    let luma = &frame.picture.planes[0];
    let mut counts = [0u32; 256];
    for y in 0..frame.height {
        luma.row(y)[..frame.width].iter().for_each(|&v| counts[usize::from(v)] += 1);
    }
    let all: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let (mut tones, mut found, mut below) = ([1.0; TONES], 0, 0.0);
    for (value, count) in counts.into_iter().map(f64::from).enumerate() {
        // A level stands for all that rounds to it.
        while found < TONES && SHARES[found] * all < below + count {
            let level = value as f64 - 0.5 + (SHARES[found] * all - below) / count;
            tones[found] = ((level - BLACK) / (WHITE - BLACK)).clamp(0.0, 1.0).sqrt() as f32;
            found += 1;
        }
        below += count;
    }
    tones
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: usize, luma: &[u8]) -> Frame {
        let height = luma.len() / width;
        let chroma = vec![128; width.div_ceil(2) * height.div_ceil(2)];
        let stride = width.div_ceil(2);
        Frame::copy(width, height, [(luma, width), (&chroma, stride), (&chroma, stride)]).unwrap()
    }

    #[test]
    fn an_even_ramp_has_even_tones() {
        let luma: Vec<u8> = (0..219 * 3).map(|at| 16 + (at % 219) as u8).collect();
        for (tone, share) in of(&frame(219, &luma)).into_iter().zip(SHARES) {
            assert!((f64::from(tone * tone) - share).abs() < 0.005, "{share}: {tone}");
        }
    }

    #[test]
    fn one_level_and_what_lies_outside_the_range() {
        let grey = of(&frame(5, &[71; 15]));
        assert!(grey.iter().all(|t| (t * t - 55.0 / 219.0).abs() < 0.5 / 219.0), "{grey:?}");
        assert!(grey.is_sorted(), "{grey:?}");
        assert_eq!(of(&frame(1, &[3])), [0.0; TONES]);
        assert_eq!(of(&frame(3, &[255; 9])), [1.0; TONES]);
    }
}
