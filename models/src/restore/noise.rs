//! How much noise a picture has.

use super::samples::Frame;

/// The median of the absolute values of a normal distribution, in standard deviations.
const MEDIAN: f64 = 0.6745;

/// The standard deviation of the noise of luma in levels of 8 bits: the median of the absolute diagonal details of a Haar
/// wavelet, which noise fills evenly and pictures sparsely (Donoho and Johnstone 1994). Fine texture all over a picture
/// passes for noise; noise whose neighbours are alike, as that of a scaled or coded picture, is underestimated.
pub fn estimate(frame: &Frame) -> f64 {
    let luma = &frame.picture.planes[0];
    // Details are half of whole numbers up to 510.
    let mut counts = [0u32; 511];
    for y in 0..frame.height / 2 {
        let (above, below) = (luma.row(2 * y), luma.row(2 * y + 1));
        for x in (0..frame.width & !1).step_by(2) {
            let sum = |a: u8, b: u8| i32::from(a) + i32::from(b);
            counts[(sum(above[x], below[x + 1]) - sum(above[x + 1], below[x])).unsigned_abs() as usize] += 1;
        }
    }
    let all: u32 = counts.iter().sum();
    if all == 0 {
        return 0.0;
    }
    // Where the distribution function reaches one half. A whole number stands for what rounds to it: those that are 0
    // for half the width of the others, as the sign is lost.
    let mut below = 0.0;
    for (value, &count) in counts.iter().enumerate() {
        let (count, half) = (f64::from(count), f64::from(all) / 2.0);
        if below + count >= half {
            let (start, width) = if value == 0 { (0.0, 0.5) } else { (value as f64 - 0.5, 1.0) };
            return (start + width * (half - below) / count) / 2.0 / MEDIAN;
        }
        below += count;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::restore::degrade::normal;

    fn picture(deviation: f64, texture: f64) -> Frame {
        let mut rng = StdRng::seed_from_u64(7);
        let luma: Vec<u8> = (0..320 * 240)
            .map(|at| {
                let (x, y) = ((at % 320) as f64, (at / 320) as f64);
                let wave = (x * 0.05).sin() * (y * 0.03).cos();
                (128.0 + 60.0 * wave + texture * (x * 0.9).sin() + deviation * normal(&mut rng)).round() as u8
            })
            .collect();
        let chroma = vec![128; 160 * 120];
        Frame::copy(320, 240, [(&luma, 320), (&chroma, 160), (&chroma, 160)]).unwrap()
    }

    #[test]
    fn the_level_of_gaussian_noise_is_found() {
        for deviation in [1.0, 2.0, 5.0, 10.0, 15.0] {
            let found = estimate(&picture(deviation, 0.0));
            assert!((found - deviation).abs() < 0.04 * deviation + 0.12, "{deviation}: {found}");
        }
    }

    #[test]
    fn shapes_are_not_noise() {
        assert!(estimate(&picture(0.0, 0.0)) < 0.5);
        assert!(estimate(&picture(0.0, 20.0)) < 1.0, "vertical stripes have no diagonal details");
    }

    #[test]
    fn what_has_no_cell_has_no_noise() {
        let frame = Frame::copy(1, 9, [(&[9; 9], 1), (&[9; 5], 1), (&[9; 5], 1)]).unwrap();
        assert_eq!(estimate(&frame), 0.0);
    }
}
