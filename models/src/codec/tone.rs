//! How bright a picture is beside another of the same scene: cameras change their exposure.

use super::picture::{Picture, Plane};

/// What turns the samples of a plane into those of the same scene in another light: 128 + gain * (sample - 128) + offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tone {
    /// Above 1/2, in 256ths: 128 is 1, and the most is 1.496.
    pub gain: u8,
    pub offset: i8,
}

/// Samples that are looked at, about.
const SAMPLES: usize = 1 << 12;
/// How often the samples that do not belong to the scene are left out.
const ROUNDS: usize = 4;
/// Samples are left out whose residue is this many times the median one, but not those within so many levels.
const OUTLIER: f64 = 2.5;
const NEAR: f64 = 3.0;
/// What a tone can say; the same scene is within it.
const GAINS: std::ops::Range<f64> = 0.5..1.496;

impl Tone {
    pub const SAME: Tone = Tone { gain: 128, offset: 0 };

    fn of(self, sample: u8) -> u8 {
        let scaled = (i32::from(sample) - 128) * (128 + i32::from(self.gain)) + 128;
        (128 + (scaled >> 8) + i32::from(self.offset)).clamp(0, 255) as u8
    }

    /// The tone of most of `now` beside `then`, by least squares over the samples that fit; [`Tone::SAME`] where they are not
    /// nearer by it, to `most` of how far apart they are, or no tone fits.
    fn between(then: &Plane, now: &Plane, most: f64) -> Tone {
        let spacing = (then.data.len() / SAMPLES).max(1) | 1;
        let centred = |sample: &u8| f64::from(*sample) - 128.0;
        let samples = |plane: &Plane| plane.data.iter().step_by(spacing).map(centred).collect::<Vec<_>>();
        let pairs: Vec<(f64, f64)> = samples(then).into_iter().zip(samples(now)).collect();
        let mut kept = pairs.clone();
        let (mut gain, mut offset, mut fits) = (1.0f64, 0.0, true);
        for _ in 0..ROUNDS {
            let count = kept.len() as f64;
            let mean = |of: fn(&(f64, f64)) -> f64| kept.iter().map(of).sum::<f64>() / count;
            let (x, y) = (mean(|p| p.0), mean(|p| p.1));
            let (xx, xy) = (mean(|p| p.0 * p.0) - x * x, mean(|p| p.0 * p.1) - x * y);
            // What has no structure says nothing of the gain.
            gain = if xx > 1.0 { xy / xx } else { 1.0 };
            fits = GAINS.contains(&gain);
            gain = gain.clamp(GAINS.start, GAINS.end);
            offset = y - gain * x;
            let residue = |(x, y): &(f64, f64)| (y - gain * x - offset).abs();
            let mut residues: Vec<f64> = pairs.iter().map(residue).collect();
            let middle = residues.len() / 2;
            let median = *residues.select_nth_unstable_by(middle, f64::total_cmp).1;
            let limit = (median * OUTLIER).max(NEAR);
            kept = pairs.iter().filter(|pair| residue(pair) <= limit).copied().collect();
        }
        let tone =
            Tone { gain: (gain * 256.0 - 128.0).round() as u8, offset: offset.round().clamp(-128.0, 127.0) as i8 };
        let apart = |tone: Tone| -> u64 {
            let both = then.data.iter().zip(&now.data).step_by(spacing);
            both.map(|(then, now)| u64::from(tone.of(*then).abs_diff(*now))).sum()
        };
        if fits && (apart(tone) as f64) < apart(Tone::SAME) as f64 * most { tone } else { Tone::SAME }
    }
}

/// The tones of `now` beside `then`, of the same size: of Y, U and V.
pub fn between(then: &Picture, now: &Picture) -> [Tone; 3] {
    std::array::from_fn(|index| Tone::between(&then.planes[index], &now.planes[index], 1.0))
}

/// Another light rounds samples anew, which costs the more the finer they are coded: they must come nearer by this over the
/// quantiser's step in levels. Found on car-detection, whose exposure follows the cars: with it fine steps lose nothing, and
/// coarse ones gain as much as by any change of light.
const WORTH: f64 = 1.4;

/// The tones of a picture beside the one before, if they have changed by enough to be worth saying at that `step`, in levels.
pub fn change(before: &Picture, now: &Picture, step: f64) -> Option<[Tone; 3]> {
    let tone = |index: usize| Tone::between(&before.planes[index], &now.planes[index], 1.0 - WORTH / step);
    let luma = tone(0);
    (luma != Tone::SAME).then(|| [luma, tone(1), tone(2)])
}

/// `picture` in another light.
pub fn apply(tones: &[Tone; 3], mut picture: Picture) -> Picture {
    for (plane, tone) in picture.planes.iter_mut().zip(tones).filter(|(_, tone)| **tone != Tone::SAME) {
        let table: [u8; 256] = std::array::from_fn(|sample| tone.of(sample as u8));
        plane.data.iter_mut().for_each(|sample| *sample = table[usize::from(*sample)]);
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Picture {
        let mut picture = Picture::grey(8, 6);
        for plane in &mut picture.planes {
            let width = plane.width;
            plane.data.iter_mut().enumerate().for_each(|(at, s)| *s = (60 + at % width + at / width) as u8);
        }
        picture
    }

    #[test]
    fn another_exposure_is_found_though_something_stands_in_the_way() {
        let then = scene();
        let tones = [Tone { gain: 70, offset: -40 }, Tone::SAME, Tone { gain: 128, offset: 9 }];
        let mut now = apply(&tones, then.clone());
        assert_ne!(now, then);
        for row in 10..60 {
            now.planes[0].row_mut(row)[20..60].fill(250);
        }
        let found = between(&then, &now);
        assert_eq!(found[1..], tones[1..]);
        assert!(found[0].gain.abs_diff(70) <= 2 && found[0].offset.abs_diff(-40) <= 1, "{:?}", found[0]);
    }

    #[test]
    fn a_change_of_light_is_told_where_it_is_worth_it() {
        let then = scene();
        let tones = [Tone { gain: 120, offset: 4 }; 3];
        let now = apply(&tones, then.clone());
        let found = change(&then, &now, 20.0).expect("the light has changed");
        assert!(found[0].gain.abs_diff(120) <= 2 && found[0].offset.abs_diff(4) <= 1, "{:?}", found[0]);
        assert_eq!(change(&then, &then, 20.0), None);
        assert_eq!(change(&then, &now, 1.0), None, "rounding would cost more than a fine step gains");
    }

    #[test]
    fn the_same_and_the_extreme() {
        let then = scene();
        assert_eq!(between(&then, &then), [Tone::SAME; 3]);
        assert_eq!(apply(&[Tone::SAME; 3], then.clone()), then);
        let [black, white] = [-128, 127].map(|offset| Tone { gain: 255, offset });
        assert_eq!((black.of(0), black.of(128), white.of(255), white.of(0)), (0, 0, 255, 64));
        assert_eq!(between(&then, &Picture::grey(8, 6)), [Tone::SAME; 3], "another scene");
    }
}
