//! Samples between samples: separable filters of 8 taps for luma at quarters and of 4 taps for chroma at eighths, with
//! the coefficients and the order of operations of HEVC for 8 bits (ITU-T H.265, clause 8.5.3.3.3).
//!
//! The filters add up to 64. In one direction a sample is `(sum + 32) >> 6`, clipped to 8 bits. In both, rows are filtered
//! first and kept as they are in 16 bits (within -6120 and 22440), columns next, and `(sum + 2048) >> 12` is clipped.

use super::lanes::{Lanes, Quads};

/// By the fraction, in quarters of a sample; the first tap is 3 samples before the one that the fraction is added to.
pub const LUMA: [[i16; 8]; 4] = [
    [0, 0, 0, 64, 0, 0, 0, 0],
    [-1, 4, -10, 58, 17, -5, 1, 0],
    [-1, 4, -11, 40, 40, -11, 4, -1],
    [0, 1, -5, 17, 58, -10, 4, -1],
];

/// By the fraction, in eighths of a sample; the first tap is 1 sample before.
pub const CHROMA: [[i16; 4]; 8] = [
    [0, 64, 0, 0],
    [-2, 58, 10, -2],
    [-4, 54, 16, -2],
    [-6, 46, 28, -4],
    [-4, 36, 36, -4],
    [-4, 28, 46, -6],
    [-2, 16, 54, -4],
    [-2, 10, 58, -2],
];

/// Samples of a plane from some point on; rows are `stride` apart.
#[derive(Debug, Clone, Copy)]
pub struct Area<'a> {
    pub data: &'a [u8],
    pub stride: usize,
}

impl<'a> Area<'a> {
    #[inline(always)]
    pub fn row(&self, y: usize, width: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..width]
    }

    /// The first 8 samples of a row.
    #[inline(always)]
    pub(super) fn lanes(&self, y: usize) -> Lanes {
        eight(self.row(y, 8))
    }

    /// From a point within on.
    #[inline(always)]
    pub fn from(&self, x: usize, y: usize) -> Area<'a> {
        Area { data: &self.data[y * self.stride + x..], stride: self.stride }
    }
}

/// A block of `N` x `N` (4, 8 or 16) at a fraction of a sample, in rows `out_stride` apart. `source` begins where the first
/// taps of the first sample are, above and left of the block; blocks of 4 read as far as those of 8 to their right.
#[inline(always)]
pub fn block<const N: usize, const T: usize>(
    source: Area,
    filters: &[[i16; T]],
    (fx, fy): (usize, usize),
    out: &mut [u8],
    out_stride: usize,
) {
    let lead = T / 2 - 1;
    if (fx, fy) == (0, 0) {
        for y in 0..N {
            out[y * out_stride..][..N].copy_from_slice(&source.row(y + lead, N + lead)[lead..]);
        }
        return;
    }
    for x in (0..N).step_by(8) {
        let put = |y: usize, samples: Lanes| {
            let width = N.min(8);
            out[y * out_stride + x..][..width].copy_from_slice(&samples.clip()[..width]);
        };
        let source = source.from(x, 0);
        if fy == 0 {
            across::<N, T>(source.from(0, lead), &filters[fx], put);
        } else if fx == 0 {
            down::<N, T>(source.from(lead, 0), &filters[fy], put);
        } else {
            both::<N, T>(source, &filters[fx], &filters[fy], put);
        }
    }
}

/// 16 rows and 7 more for the taps are the most there are.
const ROWS: usize = 23;

/// `N` rows of 8 samples filtered along the rows.
#[inline(always)]
fn across<const N: usize, const T: usize>(source: Area, taps: &[i16; T], mut put: impl FnMut(usize, Lanes)) {
    let taps = taps.map(Lanes::splat);
    for y in 0..N {
        put(y, round(row_sum(source.row(y, 7 + T), &taps)));
    }
}

/// `N` rows of 8 samples filtered along the columns.
#[inline(always)]
fn down<const N: usize, const T: usize>(source: Area, taps: &[i16; T], mut put: impl FnMut(usize, Lanes)) {
    let taps = taps.map(Lanes::splat);
    let mut rows = [Lanes::splat(0); ROWS];
    for (y, row) in rows.iter_mut().enumerate().take(N + T - 1) {
        *row = source.lanes(y);
    }
    for y in 0..N {
        let mut sum = rows[y].times(taps[0]);
        for k in 1..T {
            sum = sum.plus(rows[y + k].times(taps[k]));
        }
        put(y, round(sum));
    }
}

/// `N` rows of 8 samples filtered along the rows, then along the columns.
#[inline(always)]
fn both<const N: usize, const T: usize>(
    source: Area,
    across: &[i16; T],
    down: &[i16; T],
    mut put: impl FnMut(usize, Lanes),
) {
    let across = across.map(Lanes::splat);
    // Each row beside the next, as products of pairs want them.
    let mut pairs = [(Lanes::splat(0), Lanes::splat(0)); ROWS - 1];
    let mut above = row_sum(source.row(0, 7 + T), &across);
    for (y, pair) in pairs.iter_mut().enumerate().take(N + T - 2) {
        let below = row_sum(source.row(y + 1, 7 + T), &across);
        *pair = above.interleave(below);
        above = below;
    }
    for y in 0..N {
        let (mut left, mut right) = (Quads::splat(2048), Quads::splat(2048));
        for k in (0..T).step_by(2) {
            let taps = Lanes::alternate(down[k], down[k + 1]);
            left = left.plus(pairs[y + k].0.dot(taps));
            right = right.plus(pairs[y + k].1.dot(taps));
        }
        put(y, left.halved::<12>().narrow(right.halved::<12>()));
    }
}

/// A row of 8 samples and the `T - 1` around them through a filter, neither rounded nor scaled.
#[inline(always)]
fn row_sum<const T: usize>(row: &[u8], taps: &[Lanes; T]) -> Lanes {
    let row = &row[..7 + T];
    let mut sum = eight(row).times(taps[0]);
    for k in 1..T {
        sum = sum.plus(eight(&row[k..]).times(taps[k]));
    }
    sum
}

/// The first eight. Copied as a whole, they are one load.
#[inline(always)]
fn eight(row: &[u8]) -> Lanes {
    let mut samples = [0; 8];
    samples.copy_from_slice(&row[..8]);
    Lanes::widen(samples)
}

#[inline(always)]
fn round(sum: Lanes) -> Lanes {
    sum.plus(Lanes::splat(32)).halved::<6>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_add_up_to_unity_and_mirror_each_other() {
        for (fraction, taps) in LUMA.iter().enumerate() {
            assert_eq!(taps.iter().sum::<i16>(), 64);
            if fraction > 0 {
                let mirrored: Vec<i16> = LUMA[4 - fraction].iter().rev().copied().collect();
                assert_eq!(taps.to_vec(), mirrored);
            }
        }
        for (fraction, taps) in CHROMA.iter().enumerate() {
            assert_eq!(taps.iter().sum::<i16>(), 64);
            if fraction > 0 {
                let mirrored: Vec<i16> = CHROMA[8 - fraction].iter().rev().copied().collect();
                assert_eq!(taps.to_vec(), mirrored);
            }
        }
    }

    #[test]
    fn a_constant_stays_itself_at_any_fraction() {
        for value in [0, 1, 77, 128, 254, 255] {
            let data = vec![value; 23 * 23];
            let source = Area { data: &data, stride: 23 };
            let mut out = [3; 256];
            for fraction in 0..16 {
                block::<16, 8>(source, &LUMA, (fraction % 4, fraction / 4), &mut out, 16);
                assert!(out.iter().all(|&sample| sample == value));
            }
            for fraction in 0..64 {
                let out = &mut out[..64];
                block::<8, 4>(source, &CHROMA, (fraction % 8, fraction / 8), out, 8);
                assert!(out.iter().all(|&sample| sample == value));
            }
        }
    }

    #[test]
    fn the_sharpest_edges_do_not_overflow() {
        let signs = LUMA[2].map(|tap| if tap > 0 { 255 } else { 0 });
        for flip in [0, 255] {
            let mut data = vec![0; 23 * 23];
            for y in 0..23 {
                for x in 0..23 {
                    data[y * 23 + x] = flip ^ if signs[y % 8] == signs[x % 8] { 255 } else { 0 };
                }
            }
            let mut out = [0; 64];
            block::<8, 8>(Area { data: &data, stride: 23 }, &LUMA, (2, 2), &mut out, 8);
            assert_eq!(out[0], 255 - flip);
        }
    }
}
