//! Video as H.264 leaves it, which cannot be made frame by frame.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rand::Rng;

use crate::clip::Clip;
use crate::media::Yuv;
use crate::stream;

use super::super::footage::{Footage, Shot};

/// Frames of each shot that are coded.
const FRAMES: usize = 8;
/// Times that every shot is coded, each time otherwise.
const TIMES: usize = 3;
const PRESETS: [&str; 3] = ["ultrafast", "veryfast", "medium"];

/// A shot, and what x264 made of it.
pub struct Pair {
    pub good: Shot,
    pub coded: Vec<Yuv>,
}

/// Codes the first frames of every shot that moves, with random quantisers.
///
/// # Errors
/// When x264 or a decoder of H.264 is not installed.
pub fn pairs(data: &Footage, rng: &mut impl Rng) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for shot in data.shots().filter(|shot| shot.len() > 1).flat_map(|shot| [shot; TIMES]) {
        let frames: Vec<Yuv> = shot.iter().take(FRAMES).cloned().collect();
        let count = frames.len();
        let clip = Clip::new("shot".into(), gst::Fraction::new(25, 1), frames)?;
        let (quantiser, preset) = (rng.random_range(22..=40), PRESETS[rng.random_range(0..PRESETS.len())]);
        let encoder = format!(
            "x264enc pass=quant quantizer={quantiser} speed-preset={preset} tune=zerolatency threads=1 aud=false ! \
             video/x-h264,stream-format=byte-stream,alignment=au"
        );
        let coded = stream::encode(&clip, &encoder).and_then(|coded| stream::decode(&coded, "avdec_h264"));
        let (coded, _) = coded.context("the deblocker learns from x264, too (x264enc, avdec_h264)")?;
        ensure!(coded.len() == count, "x264 gave {} of {count} frames", coded.len());
        pairs.push(Pair { good: Arc::clone(shot), coded });
    }
    Ok(pairs)
}
