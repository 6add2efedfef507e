//! What the numbers look like: our pictures beside a peer's at about the same rate, and the original.

use std::path::Path;

use anyhow::{Context, Result};
use image::{Rgb, RgbImage};

use super::plot::canvas::{Align, Canvas};
use super::report::Point;
use crate::clip::Clip;
use crate::media::Yuv;

/// The frame in the middle of a clip, as a codec gave it back.
pub struct Sample {
    pub codec: String,
    pub ours: bool,
    pub point: Point,
    pub frame: Yuv,
}

/// Each picture shows at most so much of the middle of the frame, pixel by pixel.
const SHOWN: (u32, u32) = (480, 360);
const TITLE: u32 = 24;

/// A row for each of our samples: the original, ours, and that of the first of `anchors` that has samples, at the rate that is
/// nearest.
pub fn write(clip: &Clip, samples: &[Sample], anchors: &[String], path: &Path) -> Result<()> {
    let of = |name: &String| samples.iter().filter(|s| s.codec == *name).collect::<Vec<_>>();
    // Of those that come after MJPEG, which is the weakest, if there are any.
    let peers = anchors.iter().rev().map(of).find(|samples| !samples.is_empty()).unwrap_or_default();
    let ours: Vec<_> = samples.iter().filter(|s| s.ours).collect();
    let original = crop(&clip.frames[clip.frames.len() / 2]);
    let (width, height) = original.dimensions();
    let mut canvas = Canvas::new(width * 3, (height + TITLE) * ours.len().max(1) as u32)?;
    for (row, sample) in ours.iter().enumerate() {
        let top = row as u32 * (height + TITLE);
        let distance = |s: &&&Sample| (s.point.bytes as f64 / sample.point.bytes as f64).ln().abs();
        let peer = peers.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        let said = |s: &Sample| format!("{}: {:.0} kbit/s, {:.2} dB", s.codec, s.point.kbit_per_second, s.point.psnr);
        let columns = [
            Some((original.clone(), "original".to_string())),
            Some((crop(&sample.frame), said(sample))),
            peer.map(|peer| (crop(&peer.frame), said(peer))),
        ];
        for (column, (picture, title)) in columns.into_iter().enumerate().filter_map(|(i, c)| Some((i as u32, c?))) {
            let place = ((column * width + 6) as f32, (top + TITLE - 7) as f32);
            canvas.text(&title, place, 15.0, Align::Left, [0, 0, 0]);
            canvas.picture(&picture, (column * width, top + TITLE));
        }
    }
    canvas.write(path).with_context(|| path.display().to_string())
}

/// The middle of a frame, by the matrix of BT.601, full swing of 16 to 235.
fn crop(frame: &Yuv) -> RgbImage {
    let (width, height) = ((frame.width as u32).min(SHOWN.0), (frame.height as u32).min(SHOWN.1));
    let (left, top) = ((frame.width as u32 - width) / 4 * 2, (frame.height as u32 - height) / 4 * 2);
    let half = frame.width.div_ceil(2);
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = ((left + x) as usize, (top + y) as usize);
        let luma = 1.164 * (f32::from(frame.planes[0][y * frame.width + x]) - 16.0);
        let [u, v] = [1, 2].map(|p| f32::from(frame.planes[p][y / 2 * half + x / 2]) - 128.0);
        Rgb([luma + 1.596 * v, luma - 0.392 * u - 0.813 * v, luma + 2.017 * u].map(|c| c.clamp(0.0, 255.0) as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_matrix() {
        let flat = |y, u, v| Yuv { width: 4, height: 4, planes: [vec![y; 16], vec![u; 4], vec![v; 4]] };
        let near = |frame: &Yuv, rgb: [u8; 3]| {
            let found = crop(frame).get_pixel(2, 2).0;
            assert!(found.iter().zip(rgb).all(|(a, b)| a.abs_diff(b) <= 2), "{found:?}, expected {rgb:?}");
        };
        near(&flat(235, 128, 128), [255, 255, 255]);
        near(&flat(16, 128, 128), [0, 0, 0]);
        near(&flat(81, 90, 240), [255, 0, 0]);
    }
}
