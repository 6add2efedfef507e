//! What JPEG leaves of a picture. Its entropy coding loses nothing, so that transform and quantiser are all there is to do.

use std::sync::LazyLock;

use super::map_planes;
use crate::restore::samples::Frame;

/// ITU-T T.81, tables K.1 and K.2: what encoders scale by a quality.
const LUMA: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];
const CHROMA: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];

/// The orthonormal cosine transform of 8 samples, a row a frequency.
static COSINES: LazyLock<[[f32; 8]; 8]> = LazyLock::new(|| {
    std::array::from_fn(|k| {
        let scale = if k == 0 { (1f64 / 8.0).sqrt() } else { (2f64 / 8.0).sqrt() };
        let cosine = |n: usize| ((2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos();
        std::array::from_fn(|n| (scale * cosine(n)) as f32)
    })
});

/// A picture after JPEG of a quality from 1 to 100, on the scale of libjpeg.
pub fn jpeg(frame: &Frame, quality: u32) -> Frame {
    let quality = quality.clamp(1, 100);
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    map_planes(frame, |index, plane, width| {
        let table = if index == 0 { &LUMA } else { &CHROMA };
        let steps = table.map(|step| ((u32::from(step) * percent + 50) / 100).clamp(1, 255) as f32);
        let (mut out, height) = (plane.to_vec(), plane.len() / width);
        for (top, left) in (0..height).step_by(8).flat_map(|y| (0..width).step_by(8).map(move |x| (y, x))) {
            let place = |y: usize, x: usize| (top + y).min(height - 1) * width + (left + x).min(width - 1);
            let mut block = [[0f32; 8]; 8];
            for (y, row) in block.iter_mut().enumerate() {
                for (x, sample) in row.iter_mut().enumerate() {
                    *sample = f32::from(plane[place(y, x)]) - 128.0;
                }
            }
            let mut frequencies = transposed(&transform(&transposed(&transform(&block, false)), false));
            for (v, step) in frequencies.iter_mut().flatten().zip(&steps) {
                *v = (*v / step).round() * step;
            }
            let block = transposed(&transform(&transposed(&transform(&frequencies, true)), true));
            for (y, row) in block.iter().enumerate().take(height - top) {
                for (x, sample) in row.iter().enumerate().take(width - left) {
                    out[place(y, x)] = (sample + 128.0).round() as u8;
                }
            }
        }
        out
    })
}

/// Each row to its frequencies, or back.
fn transform(rows: &[[f32; 8]; 8], back: bool) -> [[f32; 8]; 8] {
    let cosines = &*COSINES;
    rows.map(|row| {
        std::array::from_fn(|k| (0..8).map(|n| row[n] * if back { cosines[n][k] } else { cosines[k][n] }).sum::<f32>())
    })
}

fn transposed(rows: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    std::array::from_fn(|y| std::array::from_fn(|x| rows[x][y]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::psnr::psnr;

    fn picture(width: usize, height: usize) -> Vec<u8> {
        let sample = |i: usize| {
            let (x, y) = ((i % width) as f64, (i / width) as f64);
            128.0 + 50.0 * (x * 0.21 + y * 0.05).sin() + 40.0 * (y * 0.33).cos() * (x * 0.4).sin()
        };
        (0..width * height).map(|i| sample(i) as u8).collect()
    }

    /// The same as an encoder and a decoder that somebody else wrote.
    #[test]
    fn luma_is_what_an_image_file_gives() {
        let (width, height) = (93, 50);
        let luma = picture(width, height);
        let half = width.div_ceil(2);
        let chroma = vec![128; half * height.div_ceil(2)];
        let frame = Frame::copy(width, height, [(&luma, width), (&chroma, half), (&chroma, half)]).unwrap();
        for quality in [10u8, 20, 50, 90] {
            let mut file = Vec::new();
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, quality)
                .encode(&luma, width as u32, height as u32, image::ExtendedColorType::L8)
                .unwrap();
            let theirs = image::load_from_memory(&file).unwrap().into_luma8().into_raw();
            let ours = jpeg(&frame, quality.into()).plane(0);
            let (loss, apart) = (psnr(&luma, &ours), psnr(&theirs, &ours));
            assert!(apart > loss + 2.0 && (loss - psnr(&luma, &theirs)).abs() < 0.7, "{quality}: {loss} {apart}");
        }
    }
}
