//! One point of a curve: a clip through a codec at a quality.

use anyhow::{Context, Result, ensure};
use gst_torch_models::metrics::psnr::{psnr, weighted};
use gst_torch_models::metrics::ssim::ssim;

use super::report::Point;
use crate::clip::Clip;
use crate::media::Yuv;
use crate::stream;

/// `encoder` and `decoder` are launch lines. Returns what was decoded, too.
pub fn measure(clip: &Clip, encoder: &str, decoder: &str, quality: f64) -> Result<(Point, Vec<Yuv>)> {
    let coded = stream::encode(clip, encoder).with_context(|| format!("encoding by {encoder}"))?;
    let (decoded, decode_speed) = stream::decode(&coded, decoder).with_context(|| format!("decoding by {decoder}"))?;
    let (sent, came) = (clip.frames.len(), decoded.len());
    ensure!(sent == came, "{sent} frames went in and {came} came out of {encoder} ! {decoder}");
    let scores = score(&clip.frames, &decoded)?;
    let mean = |value: &dyn Fn(&Score) -> f64| scores.iter().map(value).sum::<f64>() / sent as f64;
    let psnr_yuv = std::array::from_fn(|plane| mean(&|score| score.psnr[plane]));
    let bits = 8.0 * coded.bytes() as f64;
    let point = Point {
        quality,
        bytes: coded.bytes(),
        kbit_per_second: bits / 1000.0 * clip.frames_per_second() / sent as f64,
        bits_per_pixel: bits / (clip.width() * clip.height() * sent) as f64,
        psnr: weighted(psnr_yuv),
        psnr_yuv,
        ssim: scores[0].ssim.map(|_| mean(&|score| score.ssim.unwrap_or(f64::NAN))),
        encode_speed: coded.speed,
        decode_speed,
    };
    Ok((point, decoded))
}

struct Score {
    psnr: [f64; 3],
    ssim: Option<f64>,
}

/// Each frame against its original, on all cores.
fn score(originals: &[Yuv], decoded: &[Yuv]) -> Result<Vec<Score>> {
    for (number, (a, b)) in originals.iter().zip(decoded).enumerate() {
        let same = (a.width, a.height) == (b.width, b.height);
        ensure!(same, "frame {number} is {}x{} and came back as {}x{}", a.width, a.height, b.width, b.height);
    }
    let part = originals.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let one = |(a, b): (&Yuv, &Yuv)| Score {
        psnr: std::array::from_fn(|plane| psnr(&a.planes[plane], &b.planes[plane])),
        ssim: ssim(&a.planes[0], &b.planes[0], a.width),
    };
    std::thread::scope(|scope| {
        let parts = originals.chunks(part).zip(decoded.chunks(part));
        let threads: Vec<_> =
            parts.map(|(a, b)| scope.spawn(move || a.iter().zip(b).map(one).collect::<Vec<_>>())).collect();
        let mut scores = Vec::with_capacity(originals.len());
        for thread in threads {
            scores.extend(thread.join().map_err(|_| anyhow::anyhow!("a measuring thread panicked"))?);
        }
        Ok(scores)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(frames: usize) -> Clip {
        gst::init().unwrap();
        let plane = |size: usize, number: usize| (0..size).map(|i| (i * (3 + number) % 251) as u8).collect();
        let frame = |number| Yuv {
            width: 38,
            height: 26,
            planes: [plane(988, number), plane(247, number), plane(247, number)],
        };
        Clip::of("clip", (0..frames).map(frame).collect())
    }

    /// An encoder that does nothing writes 8 bits a sample, 12 a pixel (and the padding of its rows), without loss.
    #[test]
    fn bytes_are_those_of_the_stream_and_nothing_lost_is_the_limit() {
        let clip = clip(5);
        let (point, _) = measure(&clip, "identity", "identity", 1.0).unwrap();
        let bytes: usize = clip.buffers.iter().map(|buffer| buffer.size()).sum();
        assert_eq!(point.bytes, bytes as u64);
        assert!((point.kbit_per_second - bytes as f64 * 8.0 / 0.2 / 1000.0).abs() < 1e-6, "25 frames a second");
        assert!((point.bits_per_pixel - bytes as f64 * 8.0 / (38.0 * 26.0 * 5.0)).abs() < 1e-9);
        assert_eq!((point.psnr, point.psnr_yuv), (100.0, [100.0; 3]));
        assert!((point.ssim.unwrap() - 1.0).abs() < 1e-6);
    }

    /// Luma 16 brighter, chroma as it was.
    #[test]
    fn means_are_over_the_frames_and_six_to_one_to_one() {
        let mut clip = clip(3);
        let decoded = clip.frames.clone();
        for (frame, error) in clip.frames.iter_mut().zip([1, 2, 4]) {
            frame.planes[0].iter_mut().for_each(|v| *v = v.wrapping_add(error));
        }
        let scores = score(&clip.frames, &decoded).unwrap();
        assert_eq!(scores.len(), 3);
        assert!(scores[0].psnr[0] > scores[1].psnr[0] && scores[1].psnr[0] > scores[2].psnr[0]);
        assert!(scores.iter().all(|score| score.psnr[1..] == [100.0, 100.0]));
    }

    #[test]
    fn a_lost_frame_is_an_error_that_names_the_codec() {
        let lossy = "identity drop-buffer-flags=gap name=lossy";
        let mut clip = clip(4);
        clip.buffers[2].make_mut().set_flags(gst::BufferFlags::GAP);
        let error = measure(&clip, lossy, "identity", 1.0).unwrap_err();
        assert!(error.to_string().contains("4 frames went in and 3 came out of identity drop-buffer-flags"), "{error}");
    }

    #[test]
    fn an_encoder_that_fails_says_why() {
        let error = measure(&clip(4), "identity error-after=2", "identity", 1.0).err().unwrap();
        let said = format!("{error:#}");
        assert!(said.starts_with("encoding by identity error-after=2: ") && said.contains("Failed after"), "{said}");
    }

    #[test]
    fn a_picture_smaller_than_the_window_has_a_psnr_and_no_ssim() {
        gst::init().unwrap();
        let frame = Yuv { width: 8, height: 8, planes: [vec![9; 64], vec![8; 16], vec![7; 16]] };
        let (point, _) = measure(&Clip::of("dot", vec![frame]), "identity", "identity", 1.0).unwrap();
        assert_eq!((point.psnr, point.ssim, point.encode_speed), (100.0, None, None));
    }
}
