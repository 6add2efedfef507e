//! The inner loops over a frame's rows: columns interpolated, rows blended.

use super::sampling::Columns;
use super::simd::Simd;

/// Spreads every `S`th byte from `OFFSET` on into words, and repeats the last once, for the pair that begins with it.
#[inline(always)]
fn spread<const S: usize, const OFFSET: usize>(source: &[u8], out: &mut [i16], n: usize) {
    for (out, sample) in out[..n].iter_mut().zip(source.chunks_exact(S)) {
        *out = i16::from(sample[OFFSET]);
    }
    out[n] = out[n - 1];
}

/// Interpolates a row of `n` samples, every `STEP`th byte from `OFFSET` on, to the width of the output, in 1/128 of a
/// level. `words` is used on the way where there is no shorter one.
#[inline(always)]
pub(super) fn interpolate<S: Simd, const STEP: usize, const OFFSET: usize>(
    (source, n): (&[u8], usize),
    columns: &Columns,
    words: &mut [i16],
    out: &mut [i16],
) {
    match columns {
        Columns::Same => {
            for (out, sample) in out.iter_mut().zip(source.chunks_exact(STEP)) {
                *out = i16::from(sample[OFFSET]) << 7;
            }
        }
        // Two bytes read as one word are taken apart without a shuffle.
        Columns::Halved if STEP == 1 => {
            for (out, pair) in out.iter_mut().zip(source.as_chunks().0) {
                let pair = u16::from_le_bytes(*pair);
                *out = (((pair & 0xff) + (pair >> 8)) << 6) as i16;
            }
        }
        Columns::Halved => {
            for (out, pair) in out.iter_mut().zip(source.chunks_exact(2 * STEP)) {
                *out = (i16::from(pair[OFFSET]) + i16::from(pair[STEP + OFFSET])) << 6;
            }
        }
        Columns::Table(table) => {
            spread::<STEP, OFFSET>(source, words, n);
            S::look_up(words, table, out);
        }
    }
}

/// The means of four neighbours in two rows, in 1/128 of a level: what interpolating by half both ways comes to.
#[inline(always)]
pub(super) fn quarter([above, below]: [&[u8]; 2], out: &mut [i16]) {
    let pairs = above.as_chunks().0.iter().zip(below.as_chunks().0);
    for (out, (above, below)) in out.iter_mut().zip(pairs) {
        let (above, below) = (u16::from_le_bytes(*above), u16::from_le_bytes(*below));
        *out = (((above & 0xff) + (above >> 8) + (below & 0xff) + (below >> 8)) << 5) as i16;
    }
}

/// How two interpolated rows are blended, and what the result is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blend {
    /// Whole levels, rounded step by step as OpenCV does it.
    Levels,
    /// 1/128 of a level: what is only now made into colours is not rounded before.
    Fine,
}

impl Blend {
    /// Units a level.
    pub fn unit(self) -> f64 {
        match self {
            Blend::Levels => 1.0,
            Blend::Fine => 128.0,
        }
    }
}

/// Blends two interpolated rows.
#[inline(always)]
pub(super) fn blend<S: Simd>(blend: Blend, [above, below]: [&[i16]; 2], [a, b]: [i16; 2], out: &mut [i16]) {
    match blend {
        Blend::Levels => {
            // Products are only needed from the 16th bit on, for which there is an instruction.
            let part = |v: i16, weight: i16| ((i32::from(v) * i32::from(weight)) >> 16) as i16;
            for ((out, above), below) in out.iter_mut().zip(above).zip(below) {
                *out = (part(*above, a) + part(*below, b) + 2) >> 2;
            }
        }
        Blend::Fine => S::between([above, below], (i32::from(b) * 16).min(0x7fff) as i16, out),
    }
}
