//! What was measured, as it is written to `--json` and read again by `--peers`.

use std::path::Path;

use anyhow::{Context, Result};
use gst_torch_models::metrics::bd::{self, BdRate, bd_rate};
use gst_torch_models::metrics::ssim;
use serde::{Deserialize, Serialize};

use super::codecs::Codec;
use crate::clip::Clip;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub clips: Vec<ClipReport>,
    /// Follow from the curves; written for readers, not read.
    #[serde(default)]
    pub bd_rates: Vec<Comparison>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClipReport {
    pub clip: String,
    /// SHA-256 of the frames, after scaling.
    pub digest: String,
    pub width: usize,
    pub height: usize,
    pub frames: usize,
    pub frames_per_second: f64,
    pub curves: Vec<Curve>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curve {
    pub codec: String,
    /// Launch line of the encoder, with `{q}` for the quality.
    pub encoder: String,
    pub points: Vec<Point>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// In the codec's own terms.
    pub quality: f64,
    pub bytes: u64,
    pub kbit_per_second: f64,
    pub bits_per_pixel: f64,
    /// (6 Y + U + V) / 8 of the planes' means over the frames, in dB.
    pub psnr: f64,
    pub psnr_yuv: [f64; 3],
    /// Of luma, mean over the frames; none of a picture smaller than the window.
    pub ssim: Option<f64>,
    /// Frames a second.
    pub encode_speed: Option<f64>,
    pub decode_speed: Option<f64>,
}

/// How many more bits a codec spends than an anchor on a clip.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    pub anchor: String,
    pub codec: String,
    pub clip: String,
    pub by_psnr: Option<Difference>,
    pub by_ssim: Option<Difference>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Difference {
    pub percent: f64,
    /// Over which qualities, in dB.
    pub overlap: [f64; 2],
}

impl From<BdRate> for Difference {
    fn from(BdRate { percent, overlap }: BdRate) -> Self {
        Difference { percent, overlap }
    }
}

impl Report {
    pub fn read(path: &Path) -> Result<Report> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report of eval codec", path.display()))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
    }

    /// The point of the same frames, settings and quality, unless the codec is one of ours.
    pub fn find(&self, clip: &Clip, codec: &Codec, quality: f64) -> Option<&Point> {
        let clips = self.clips.iter().filter(|report| !codec.ours && report.digest == clip.digest);
        let curves = clips.flat_map(|report| &report.curves).filter(|curve| curve.encoder == codec.encoder);
        curves.flat_map(|curve| &curve.points).find(|point| (point.quality - quality).abs() < 1e-9)
    }

    /// Every codec against each of `anchors`, on every clip.
    pub fn compare(&mut self, anchors: &[String]) {
        self.bd_rates.clear();
        for anchor in anchors {
            for clip in &self.clips {
                let Some(base) = clip.curve(anchor) else { continue };
                let others = clip.curves.iter().filter(|curve| curve.codec != *anchor);
                self.bd_rates.extend(others.map(|curve| Comparison {
                    anchor: anchor.clone(),
                    codec: curve.codec.clone(),
                    clip: clip.clip.clone(),
                    by_psnr: curve.against(base, |point| Some(point.psnr)),
                    by_ssim: curve.against(base, |point| point.ssim.map(ssim::decibels)),
                }));
            }
        }
    }
}

impl ClipReport {
    pub fn curve(&self, codec: &str) -> Option<&Curve> {
        self.curves.iter().find(|curve| curve.codec == codec)
    }
}

impl Curve {
    fn against(&self, base: &Curve, quality: impl Fn(&Point) -> Option<f64>) -> Option<Difference> {
        let points = |curve: &Curve| -> Vec<bd::Point> {
            let point = |point: &Point| Some(bd::Point { rate: point.bytes as f64, quality: quality(point)? });
            curve.points.iter().filter_map(point).collect()
        };
        bd_rate(&points(base), &points(self)).map(Difference::from)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A curve with a point every 4 dB, whose rate doubles every 3 dB from `bytes` at 30 dB on.
    pub fn curve(codec: &str, bytes: f64) -> Curve {
        let point = |index: i32| {
            let psnr = 30.0 + 4.0 * f64::from(index);
            let bytes = bytes * 2f64.powf((psnr - 30.0) / 3.0);
            Point {
                quality: f64::from(index),
                bytes: bytes as u64,
                kbit_per_second: bytes / 1000.0,
                bits_per_pixel: bytes / 1e6,
                psnr,
                psnr_yuv: [psnr; 3],
                ssim: Some(1.0 - 0.1f64.powf(psnr / 20.0)),
                encode_speed: Some(100.0),
                decode_speed: None,
            }
        };
        Curve { codec: codec.into(), encoder: format!("{codec}enc q={{q}}"), points: (0..5).map(point).collect() }
    }

    pub fn report(curves: Vec<Curve>) -> Report {
        let (clip, digest) = ("a clip".to_string(), "12ab".to_string());
        let clip = ClipReport { clip, digest, width: 64, height: 48, frames: 9, frames_per_second: 12.5, curves };
        Report { clips: vec![clip], bd_rates: vec![] }
    }

    #[test]
    fn codecs_are_compared_by_both_measures() {
        let mut report = report(vec![curve("a", 1e6), curve("b", 0.75e6)]);
        report.compare(&["a".into(), "absent".into()]);
        let [comparison] = &report.bd_rates[..] else { panic!("{:?}", report.bd_rates) };
        assert_eq!((comparison.anchor.as_str(), comparison.codec.as_str()), ("a", "b"));
        for difference in [comparison.by_psnr.unwrap(), comparison.by_ssim.unwrap()] {
            assert!((difference.percent + 25.0).abs() < 1e-3, "{difference:?}");
        }
        assert_eq!(comparison.by_psnr.unwrap().overlap, [30.0, 46.0]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let mut written = report(vec![curve("a", 1e6), curve("b", 2e6)]);
        written.compare(&["a".into()]);
        written.write(&path).unwrap();
        let read = Report::read(&path).unwrap();
        let (read, written) = (&read.clips[0], &written.clips[0]);
        assert_eq!((&read.clip, &read.digest, read.frames), (&written.clip, &written.digest, written.frames));
        let (read, written) = (&read.curves[1], &written.curves[1]);
        assert_eq!((&read.codec, &read.encoder), (&written.codec, &written.encoder));
        for (read, written) in read.points.iter().zip(&written.points) {
            assert_eq!((read.bytes, read.psnr, read.decode_speed), (written.bytes, written.psnr, None));
        }
        assert_eq!(read.points.len(), written.points.len());
        std::fs::write(&path, "{}").unwrap();
        let error = Report::read(&path).unwrap_err();
        assert!(format!("{error:#}").contains("report.json"), "{error:#}");
    }

    #[test]
    fn points_of_peers_are_found_and_ours_are_measured_anew() {
        gst::init().unwrap();
        let frame = crate::media::Yuv { width: 2, height: 2, planes: [vec![1; 4], vec![2], vec![3]] };
        let clip = Clip::of("a clip", vec![frame]);
        let mut report = report(vec![curve("a", 1e6)]);
        let codec = |name: &str, ours| Codec {
            name: "whatever".into(),
            encoder: format!("{name}enc q={{q}}"),
            decoders: vec![],
            qualities: vec![],
            ours,
        };
        assert!(report.find(&clip, &codec("a", false), 3.0).is_none(), "found on other frames");
        report.clips[0].digest = clip.digest.clone();
        assert_eq!(report.find(&clip, &codec("a", false), 3.0).map(|point| point.psnr), Some(42.0));
        assert!(report.find(&clip, &codec("a", false), 3.5).is_none());
        assert!(report.find(&clip, &codec("b", false), 3.0).is_none());
        assert!(report.find(&clip, &codec("a", true), 3.0).is_none());
    }
}
