//! Video as H.264 leaves it, which cannot be made frame by frame.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use image::GrayImage;
use image::imageops::{self, FilterType};
use indicatif::{ProgressBar, ProgressStyle};
use rand::Rng;

use crate::clip::Clip;
use crate::media::Yuv;
use crate::stream;

use super::super::footage::{Footage, Shot};

/// Frames of each shot that are coded.
const FRAMES: usize = 8;
/// Times that every shot is coded, each time otherwise.
const TIMES: usize = 3;
/// The same of a still. Most footage shows what earlier coding left, and teaches to leave it; stills made smaller do not.
const STILL_FRAMES: usize = 4;
const STILL_TIMES: usize = 2;
/// How many times smaller stills become.
const SMALLER: std::ops::RangeInclusive<f64> = 1.25..=2.0;
/// How far a camera moves over them from frame to frame at most, and the largest sides of what it sees, in samples of U and V.
const STEP: i64 = 3;
const WINDOW: [usize; 2] = [400, 300];
const PRESETS: [&str; 3] = ["ultrafast", "veryfast", "medium"];

/// Frames as they were, and what x264 made of them.
pub struct Pair {
    pub good: Shot,
    pub coded: Vec<Yuv>,
}

/// Codes the first frames of every shot that moves, and stills as a moving camera sees them, with random quantisers. Frames
/// have sides of `side` samples and more.
///
/// # Errors
/// When x264 or a decoder of H.264 is not installed.
pub fn pairs(data: &Footage, side: usize, rng: &mut impl Rng) -> Result<Vec<Pair>> {
    let shots: Vec<&Shot> = data.shots().collect();
    let bar = ProgressBar::new(shots.len() as u64);
    bar.set_style(ProgressStyle::with_template("coding by x264 {wide_bar} {pos}/{len} {eta}")?);
    let mut pairs = Vec::new();
    for shot in bar.wrap_iter(shots.into_iter()) {
        let times = if shot.len() > 1 { TIMES } else { STILL_TIMES };
        for _ in 0..times {
            let frames = match &shot[..] {
                [still] => pan(still, side, rng),
                moving => Some(moving.iter().take(FRAMES).cloned().collect()),
            };
            if let Some(frames) = frames {
                pairs.push(pair(frames, rng.random_range(22..=40), PRESETS[rng.random_range(0..PRESETS.len())])?);
            }
        }
    }
    Ok(pairs)
}

/// Frames coded by x264 with a quantiser.
pub fn pair(frames: Vec<Yuv>, quantiser: u32, preset: &str) -> Result<Pair> {
    let clip = Clip::new("shot".into(), gst::Fraction::new(25, 1), frames)?;
    let coded = stream::x264(&clip, quantiser, preset);
    let coded = coded.context("the deblocker learns from x264, too (x264enc, avdec_h264)")?;
    let count = clip.frames.len();
    ensure!(coded.len() == count, "x264 gave {} of {count} frames", coded.len());
    Ok(Pair { good: Arc::new(clip.frames), coded })
}

/// What a camera that moves over a still sees: smaller, so that what the still's own coding left is gone, and between its
/// samples. Nothing where it is too small.
fn pan(still: &Yuv, side: usize, rng: &mut impl Rng) -> Option<Vec<Yuv>> {
    // Sizes and places are in samples of U and V, of which Y has two.
    let all = [still.width / 2, still.height / 2];
    let reach = (STILL_FRAMES - 1) * STEP as usize;
    let window: [usize; 2] = std::array::from_fn(|way| all[way].saturating_sub(reach).min(WINDOW[way]));
    let most = window[0].min(window[1]) as f64 / (side / 2) as f64;
    let smaller = rng.random_range(SMALLER).min(most);
    if smaller < *SMALLER.start() {
        return None;
    }
    let size = window.map(|side| (side as f64 / smaller + 1e-6) as usize);
    let steps = [(); 2].map(|()| rng.random_range(-STEP..=STEP));
    let seen = |frame: usize| {
        let place = |way: usize| match steps[way] * frame as i64 {
            back @ ..0 => all[way] - window[way] - back.unsigned_abs() as usize,
            forth => forth as usize,
        };
        let plane = |index: usize, unit: usize| {
            let [width, height] = [still.width, still.height].map(|side| (side * unit).div_ceil(2) as u32);
            let [x, y, across, down] = [place(0), place(1), window[0], window[1]].map(|part| (part * unit) as u32);
            let picture = GrayImage::from_raw(width, height, still.planes[index].clone())?;
            let part = imageops::crop_imm(&picture, x, y, across, down);
            let [width, height] = size.map(|side| (side * unit) as u32);
            Some(imageops::resize(&*part, width, height, FilterType::CatmullRom).into_raw())
        };
        let planes = [plane(0, 2)?, plane(1, 1)?, plane(2, 1)?];
        Some(Yuv { width: size[0] * 2, height: size[1] * 2, planes })
    };
    (0..STILL_FRAMES).map(seen).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_still_is_seen_smaller_and_moving() {
        // Luma counts columns and rows by turns, U columns, V rows; two levels a sample of U and V.
        let (width, height) = (121, 99);
        let of = |unit: usize, value: &dyn Fn(usize, usize) -> usize| -> Vec<u8> {
            let [width, height] = [width, height].map(|side: usize| (side * unit).div_ceil(2));
            (0..height).flat_map(|y| (0..width).map(move |x| value(x, y) as u8)).collect()
        };
        let still =
            Yuv { width, height, planes: [of(2, &|x, y| x / 2 + y / 2), of(1, &|x, _| 2 * x), of(1, &|_, y| 2 * y)] };
        let mut rng = StdRng::seed_from_u64(1);
        let (mut moved, mut seen) = (0, 0);
        for _ in 0..20 {
            let frames = pan(&still, 32, &mut rng).unwrap();
            assert_eq!(frames.len(), STILL_FRAMES);
            let Yuv { width, height, .. } = frames[0];
            assert!(width >= 32 && height >= 32 && width % 2 == 0 && height % 2 == 0, "{width}x{height}");
            for frame in &frames {
                // The planes go together: U says the column, V the row, and both are what luma says.
                let middle = height / 4 * (width / 2) + width / 4;
                let (u, v) = (i32::from(frame.planes[1][middle]), i32::from(frame.planes[2][middle]));
                let y = i32::from(frame.planes[0][height / 4 * 2 * width + width / 4 * 2]);
                assert!((y - (u + v) / 2).abs() <= 2, "{y} {u} {v}");
                seen += 1;
            }
            moved += usize::from(frames[0].planes != frames[1].planes);
        }
        assert!(moved > 15 && seen == 80, "{moved}");
        assert!(pan(&still, 96, &mut rng).is_none(), "it would have to become larger");
    }
}
