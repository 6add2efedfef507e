//! A clip as every codec gets it: the same frames in the same buffers.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use gst::prelude::MulDiv;
use sha2::{Digest, Sha256};

use crate::media::{self, Yuv};

/// What GStreamer's own elements assume where a file does not say.
const DEFAULT_RATE: (i32, i32) = (30, 1);

pub struct Clip {
    pub name: String,
    pub caps: gst::Caps,
    pub rate: gst::Fraction,
    pub frames: Vec<Yuv>,
    /// The frames again, as GStreamer wants them: rows padded, with timestamps.
    pub buffers: Vec<gst::Buffer>,
    /// SHA-256 of the pixels: points measured on the same frames can be compared, wherever the file lay.
    pub digest: String,
}

impl Clip {
    /// `count` frames from the one numbered `start` (from 0) on, or as many as there are.
    pub fn read(path: &Path, size: Option<(usize, usize)>, start: usize, count: usize) -> Result<Clip> {
        let rate = media::frame_rate(path)?.unwrap_or(gst::Fraction::new(DEFAULT_RATE.0, DEFAULT_RATE.1));
        let (mut frames, mut number) = (Vec::new(), 0);
        media::each_yuv(path, size, |frame| {
            if number >= start {
                frames.push(even(frame));
            }
            number += 1;
            Ok(if frames.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Clip::new(name, rate, frames).with_context(|| format!("{}, from frame {start} on", path.display()))
    }

    /// Frames of one size, both sides even.
    pub fn new(name: String, rate: gst::Fraction, frames: Vec<Yuv>) -> Result<Clip> {
        let first = frames.first().context("there is no frame")?;
        ensure!(first.width > 0 && first.height > 0, "frames have no pixels");
        let even = first.width.is_multiple_of(2) && first.height.is_multiple_of(2);
        ensure!(even, "frames are {}x{}; expected even sides", first.width, first.height);
        let (width, height) = (first.width as u32, first.height as u32);
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::I420, width, height).fps(rate).build()?;
        let mut digest = Sha256::new();
        let mut buffers = Vec::with_capacity(frames.len());
        for (number, frame) in frames.iter().enumerate() {
            ensure!(
                (frame.width, frame.height) == (first.width, first.height),
                "the size changes at frame {number}; --size makes it one"
            );
            digest.update(frame.width.to_le_bytes());
            frame.planes.iter().for_each(|plane| digest.update(plane));
            buffers.push(buffer(frame, number as u64, &info)?);
        }
        let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Clip { name, caps: info.to_caps()?, rate, frames, buffers, digest })
    }

    #[cfg(test)]
    pub fn of(name: &str, frames: Vec<Yuv>) -> Clip {
        Clip::new(name.into(), gst::Fraction::new(25, 1), frames).unwrap()
    }

    pub fn width(&self) -> usize {
        self.frames[0].width
    }

    pub fn height(&self) -> usize {
        self.frames[0].height
    }

    pub fn frames_per_second(&self) -> f64 {
        f64::from(self.rate.numer()) / f64::from(self.rate.denom())
    }
}

/// Without the last column and row of an odd size, which peers would pad each in its own way.
fn even(mut frame: Yuv) -> Yuv {
    let (width, height) = (frame.width & !1, frame.height & !1);
    let crop = |plane: &[u8], from: usize, width: usize, height: usize| -> Vec<u8> {
        plane.chunks(from.max(1)).take(height).flat_map(|row| &row[..width]).copied().collect()
    };
    if (width, height) != (frame.width, frame.height) {
        let half = frame.width.div_ceil(2);
        let [y, u, v] = &frame.planes;
        let chroma = |plane| crop(plane, half, width / 2, height / 2);
        frame = Yuv { width, height, planes: [crop(y, frame.width, width, height), chroma(u), chroma(v)] };
    }
    frame
}

fn buffer(frame: &Yuv, number: u64, info: &gst_video::VideoInfo) -> Result<gst::Buffer> {
    let mut data = vec![0; info.size()];
    for (index, plane) in frame.planes.iter().enumerate() {
        let width = if index == 0 { frame.width } else { frame.width / 2 };
        let rows = data[info.offset()[index]..].chunks_mut(info.stride()[index] as usize);
        for (to, from) in rows.zip(plane.chunks(width)) {
            to[..width].copy_from_slice(from);
        }
    }
    let mut buffer = gst::Buffer::from_mut_slice(data);
    let writable = buffer.get_mut().ok_or_else(|| anyhow!("a new buffer is writable"))?;
    let time = |number: u64| {
        let (n, d) = (info.fps().numer() as u64, info.fps().denom() as u64);
        gst::ClockTime::SECOND.mul_div_floor(number * d, n)
    };
    writable.set_pts(time(number));
    writable.set_duration(time(number + 1).zip(time(number)).map(|(end, start)| end - start));
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: usize, height: usize, seed: usize) -> Yuv {
        let plane = |w: usize, h: usize, offset| (0..w * h).map(|i| ((i + seed) * 7 + offset) as u8).collect();
        let (w, h) = (width.div_ceil(2), height.div_ceil(2));
        Yuv { width, height, planes: [plane(width, height, 0), plane(w, h, 50), plane(w, h, 99)] }
    }

    #[test]
    fn odd_sizes_lose_their_last_column_and_row() {
        let (odd, cut) = (frame(7, 5, 3), even(frame(7, 5, 3)));
        assert_eq!((cut.width, cut.height), (6, 4));
        for y in 0..4 {
            assert_eq!(cut.planes[0][y * 6..][..6], odd.planes[0][y * 7..][..6]);
        }
        for y in 0..2 {
            assert_eq!(cut.planes[2][y * 3..][..3], odd.planes[2][y * 4..][..3]);
        }
        assert_eq!(even(frame(6, 4, 1)), frame(6, 4, 1));
    }

    #[test]
    fn buffers_hold_the_frames_and_follow_each_other() {
        gst::init().unwrap();
        let rate = gst::Fraction::new(25, 2);
        let clip = Clip::new("clip".into(), rate, vec![frame(18, 6, 0), frame(18, 6, 9)]).unwrap();
        for (buffer, frame) in clip.buffers.iter().zip(&clip.frames) {
            let sample = gst::Sample::builder().buffer(buffer).caps(&clip.caps).build();
            assert_eq!(media::yuv_of(&sample).unwrap(), *frame);
        }
        assert_eq!(clip.buffers[1].pts(), Some(gst::ClockTime::from_mseconds(80)));
        assert_eq!(clip.buffers[0].duration(), Some(gst::ClockTime::from_mseconds(80)));
        assert_eq!(clip.frames_per_second(), 12.5);
    }

    #[test]
    fn the_digest_tells_frames_apart_and_the_name_does_not_matter() {
        gst::init().unwrap();
        let digest = |name: &str, seed| {
            let clip = Clip::new(name.into(), gst::Fraction::new(30, 1), vec![frame(16, 8, seed)]).unwrap();
            clip.digest
        };
        assert_eq!(digest("a", 1), digest("b", 1));
        assert_ne!(digest("a", 1), digest("a", 2));
        assert!(Clip::new("a".into(), gst::Fraction::new(30, 1), vec![]).is_err());
        let odd = Clip::new("a".into(), gst::Fraction::new(30, 1), vec![frame(41, 24, 0)]);
        assert!(odd.err().unwrap().to_string().contains("41x24; expected even sides"));
    }
}
