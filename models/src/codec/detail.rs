//! What 4:2:0 loses of the chroma of 4:2:2 and 4:4:4 pictures: `docs/bitstream.md`, section Chroma detail.
//!
//! Everything that a decoder computes is in integers, so that it has the encoder's picture of the detail, as the next
//! picture's detail refers to it.

use super::canvas::Frame;
use super::entropy::latents::Latents;
use super::picture::Plane;
use super::stream::Subsampling;

/// Side of a transform block, and its latents.
const SIDE: usize = 8;
const BLOCK: usize = SIDE * SIDE;
const LEVEL_MAX: i32 = 2047;

/// The integer cosine transform of H.265 (clause 8.6.4.2), a row a frequency; rows have a length of about 64 * sqrt(8).
const COSINES: [[i32; SIDE]; SIDE] = [
    [64, 64, 64, 64, 64, 64, 64, 64],
    [89, 75, 50, 18, -18, -50, -75, -89],
    [83, 36, -36, -83, -83, -36, 36, 83],
    [75, -18, -89, -50, 50, 89, 18, -75],
    [64, -64, -64, 64, 64, -64, -64, 64],
    [50, -89, 18, 75, -75, -18, 89, -50],
    [36, -83, 83, -36, -36, 83, -83, 36],
    [18, -50, 75, -89, 89, -75, 50, -18],
];

/// Codes or decodes the detail of one stream; both keep the detail of the picture before.
#[derive(Debug, Clone)]
pub struct Detail {
    /// Of U and V, in levels, as wide and high as the chroma planes rounded up to whole blocks.
    before: [Vec<i16>; 2],
    blocks: (usize, usize),
    coder: Latents,
}

/// Where the steps' sixteenths come from: 0.5 * 2^(index / 16), rounded, as whole numbers that need no logarithm. The first
/// octave is written down, the others double it.
fn step(index: u8) -> i32 {
    const OCTAVE: [i32; 16] =
        [2048, 2139, 2233, 2332, 2435, 2543, 2656, 2774, 2896, 3025, 3158, 3298, 3444, 3597, 3756, 3922];
    // Sixteenths of a level: 8 at index 0.
    (OCTAVE[usize::from(index % 16)] << (index / 16)) >> 8
}

impl Detail {
    /// `None` for subsamplings that lose nothing.
    pub fn new(width: usize, height: usize, subsampling: Subsampling) -> Option<Self> {
        if matches!(subsampling, Subsampling::Grey | Subsampling::Quarter) {
            return None;
        }
        let (width, height) = subsampling.chroma(width, height);
        let blocks = (width.div_ceil(SIDE), height.div_ceil(SIDE));
        let samples = vec![0; blocks.0 * blocks.1 * BLOCK];
        let coder = Latents::new(2 * BLOCK, blocks.1, blocks.0, -LEVEL_MAX, LEVEL_MAX).ok()?;
        Some(Detail { before: [samples.clone(), samples], blocks, coder })
    }

    /// Codes what `base`, the decoded 4:2:0 picture brought to the frame's subsampling, lacks of `frame`, adds to `base`
    /// what the decoder will add, and returns the bytes. Detail refers to the picture before unless `alone`.
    pub fn encode(&mut self, frame: &Frame, base: &mut Frame, index: u8, alone: bool) -> Vec<u8> {
        let step = step(index);
        let mut levels = vec![0i32; 2 * BLOCK * self.blocks.0 * self.blocks.1];
        if alone {
            self.forget();
        }
        for plane in 0..2 {
            let (source, coarse) = (&frame.planes[1 + plane], &base.planes[1 + plane]);
            for block in 0..self.blocks.0 * self.blocks.1 {
                let mut samples = [0; BLOCK];
                self.each(source, block, |at, x, y| {
                    let wanted = i32::from(source.row(y)[x]) - i32::from(coarse.row(y)[x]);
                    samples[at] = wanted - i32::from(self.before[plane][block * BLOCK + at]);
                });
                for (k, value) in forward(&samples).into_iter().enumerate() {
                    // Rounding leans to zero, as it does for other latents.
                    let size = ((value.abs() + step as f32 * 0.36) / step as f32) as i32;
                    let level = size.min(LEVEL_MAX) * value.signum() as i32;
                    levels[(plane * BLOCK + k) * self.blocks.0 * self.blocks.1 + block] = level;
                }
            }
        }
        let mut bytes = vec![u8::from(!alone)];
        bytes.extend(self.coder.encode(&levels).expect("levels are as many as declared, and clamped"));
        self.add(&levels, base, step);
        bytes
    }

    /// Adds what `bytes` say to `base`; an error where no encoder wrote them.
    pub fn decode(&mut self, bytes: &[u8], base: &mut Frame, index: u8) -> Result<(), String> {
        let (&flag, bytes) = bytes.split_first().ok_or("no chroma detail")?;
        match flag {
            0 => self.forget(),
            1 => {}
            other => return Err(format!("chroma detail of kind {other}; expected 0 or 1")),
        }
        let levels = self.coder.decode(bytes).map_err(|_| "damaged chroma detail")?;
        self.add(&levels, base, step(index));
        Ok(())
    }

    fn forget(&mut self) {
        self.before.iter_mut().for_each(|plane| plane.fill(0));
        self.coder.reset();
    }

    /// Adds levels to the detail, and the detail to `base`.
    fn add(&mut self, levels: &[i32], base: &mut Frame, step: i32) {
        let count = self.blocks.0 * self.blocks.1;
        for plane in 0..2 {
            for block in 0..count {
                let mut values = [0i32; BLOCK];
                for (k, value) in values.iter_mut().enumerate() {
                    *value = (levels[(plane * BLOCK + k) * count + block] * step).clamp(-32768, 32767);
                }
                if values.iter().any(|v| *v != 0) {
                    let residual = inverse(&values);
                    let before = &mut self.before[plane][block * BLOCK..][..BLOCK];
                    before.iter_mut().zip(residual).for_each(|(b, r)| *b = (i32::from(*b) + r).clamp(-255, 255) as i16);
                }
            }
            let target = &mut base.planes[1 + plane];
            for block in 0..count {
                let (bx, by) = (block % self.blocks.0 * SIDE, block / self.blocks.0 * SIDE);
                for y in by..(by + SIDE).min(target.height) {
                    for x in bx..(bx + SIDE).min(target.width) {
                        let detail = self.before[plane][block * BLOCK + (y - by) * SIDE + x - bx];
                        let value = &mut target.row_mut(y)[x];
                        *value = (i16::from(*value) + detail).clamp(0, 255) as u8;
                    }
                }
            }
        }
    }

    /// Calls `f` with the index within a block, and the place in the plane, of each of its samples; the border repeats.
    fn each(&self, plane: &Plane, block: usize, mut f: impl FnMut(usize, usize, usize)) {
        let (bx, by) = (block % self.blocks.0 * SIDE, block / self.blocks.0 * SIDE);
        for at in 0..BLOCK {
            f(at, (bx + at % SIDE).min(plane.width - 1), (by + at / SIDE).min(plane.height - 1));
        }
    }
}

/// Latents in sixteenths of a level, raster order of frequencies; the encoder's alone, so that it may be inexact.
fn forward(samples: &[i32; BLOCK]) -> [f32; BLOCK] {
    let mut rows = [0f32; BLOCK];
    let mut out = [0f32; BLOCK];
    const UNIT: f32 = 16.0 / (64.0 * 64.0 * 8.0);
    for y in 0..SIDE {
        for (k, wave) in COSINES.iter().enumerate() {
            rows[y * SIDE + k] = (0..SIDE).map(|x| wave[x] as f32 * samples[y * SIDE + x] as f32).sum();
        }
    }
    for x in 0..SIDE {
        for (k, wave) in COSINES.iter().enumerate() {
            out[k * SIDE + x] = UNIT * (0..SIDE).map(|y| wave[y] as f32 * rows[y * SIDE + x]).sum::<f32>();
        }
    }
    out
}

/// Samples of latents in sixteenths; exact. Sums stay below 2^31: 8 * 32768 * 89, shifted, then as much again.
fn inverse(values: &[i32; BLOCK]) -> [i32; BLOCK] {
    let mut columns = [0i32; BLOCK];
    let mut out = [0i32; BLOCK];
    for x in 0..SIDE {
        for y in 0..SIDE {
            let sum: i32 = (0..SIDE).map(|k| COSINES[k][y] * values[k * SIDE + x]).sum();
            columns[y * SIDE + x] = (sum + 64) >> 7;
        }
    }
    for y in 0..SIDE {
        for x in 0..SIDE {
            let sum: i64 = (0..SIDE).map(|k| i64::from(COSINES[k][x]) * i64::from(columns[y * SIDE + k])).sum();
            // 64 * 64 * 8 over 2^7, and 16: 2^12.
            out[y * SIDE + x] = ((sum + 2048) >> 12) as i32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forward_and_inverse_agree() {
        let mut samples = [0; BLOCK];
        samples.iter_mut().enumerate().for_each(|(i, s)| *s = (i as i32 * 37 % 101) - 50);
        let values = forward(&samples).map(|v| v.round() as i32);
        for (a, b) in inverse(&values).iter().zip(&samples) {
            assert!((a - b).abs() <= 1, "{a} {b}");
        }
        assert!(inverse(&[32767; BLOCK]).iter().all(|v| v.abs() < 1 << 20));
    }

    #[test]
    fn steps_double_every_sixteen() {
        for (index, size) in [(0, 0.5), (16, 1.0), (70, 10.37), (127, 122.6)] {
            assert!((f64::from(step(index)) / 16.0 / size - 1.0).abs() < 0.05, "{index}: {}", step(index));
        }
    }

    #[test]
    fn fine_chroma_comes_back() {
        for subsampling in [Subsampling::Half, Subsampling::Full] {
            let (width, height) = (37, 22);
            let mut frame = Frame::new(width, height, subsampling);
            for plane in &mut frame.planes[1..] {
                plane.data.iter_mut().enumerate().for_each(|(i, v)| *v = if i % 3 == 0 { 160 } else { 100 });
            }
            let mut encoder = Detail::new(width, height, subsampling).unwrap();
            let mut decoder = encoder.clone();
            let mut sizes = Vec::new();
            for alone in [true, false, false] {
                let mut base = Frame::new(width, height, subsampling);
                let mut out = base.clone();
                let bytes = encoder.encode(&frame, &mut base, 32, alone);
                decoder.decode(&bytes, &mut out, 32).unwrap();
                assert_eq!(out, base, "encoder and decoder disagree");
                let wrong =
                    |p: usize| out.planes[p].data.iter().zip(&frame.planes[p].data).map(|(a, b)| a.abs_diff(*b));
                assert!(wrong(1).chain(wrong(2)).max().unwrap() <= 4);
                sizes.push(bytes.len());
            }
            assert!(sizes[2] * 5 < sizes[0], "what stays the same costs nearly nothing: {sizes:?}");
        }
        assert!(Detail::new(8, 8, Subsampling::Quarter).is_none());
    }
}
