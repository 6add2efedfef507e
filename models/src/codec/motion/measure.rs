//! How different two blocks are: sums of absolute differences (SAD), of those after a Hadamard transform (SATD), and of
//! squares (SSD).

use super::interpolate::Area;
use super::lanes::{Lanes, Quads};

/// Sum of absolute differences of two blocks of `N` x `N`, 8 or 16.
#[inline(always)]
pub fn sad<const N: usize>(a: Area, b: Area) -> u32 {
    let mut sum = Quads::splat(0);
    for y in 0..N {
        let (a, b) = (a.row(y, N), b.row(y, N));
        sum = sum.plus(if N == 16 { Quads::apart16(first(a), first(b)) } else { Quads::apart8(first(a), first(b)) });
    }
    sum.total() as u32
}

/// The first samples of a row; copied as a whole, they are one load.
#[inline(always)]
fn first<const N: usize>(row: &[u8]) -> [u8; N] {
    let mut samples = [0; N];
    samples.copy_from_slice(&row[..N]);
    samples
}

/// Sum of squared differences of two blocks of `N` x `N`.
#[inline(always)]
pub fn ssd<const N: usize>(a: Area, b: Area) -> u32 {
    let mut sum = Quads::splat(0);
    for x in (0..N).step_by(8) {
        let (a, b) = (a.from(x, 0), b.from(x, 0));
        for y in 0..N {
            let difference = a.lanes(y).minus(b.lanes(y));
            sum = sum.plus(difference.dot(difference));
        }
    }
    sum.total() as u32
}

/// What a transform makes of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spectrum {
    /// Sum of absolute coefficients, at twice the scale of an orthonormal transform, as is the custom.
    pub satd: u32,
    /// Of that, what exceeds the dead zone of a quantiser in each coefficient.
    pub excess: u32,
}

impl std::ops::AddAssign for Spectrum {
    fn add_assign(&mut self, other: Spectrum) {
        self.satd += other.satd;
        self.excess += other.excess;
    }
}

/// Hadamard transforms of 8x8 over the difference of two blocks of `N` x `N`. `dead` is the dead zone at 8 times the scale
/// of an orthonormal transform.
#[inline(always)]
pub fn spectrum<const N: usize>(a: Area, b: Area, dead: u16) -> Spectrum {
    let mut all = Spectrum::default();
    for y in (0..N).step_by(8) {
        for x in (0..N).step_by(8) {
            all += spectrum8(a.from(x, y), b.from(x, y), dead);
        }
    }
    all
}

#[inline(always)]
fn spectrum8(a: Area, b: Area, dead: u16) -> Spectrum {
    let mut rows: [Lanes; 8] = std::array::from_fn(|y| a.lanes(y).minus(b.lanes(y)));
    for distance in [4, 2, 1] {
        for i in 0..8 {
            if i & distance == 0 {
                let (p, q) = (rows[i], rows[i + distance]);
                (rows[i], rows[i + distance]) = (p.plus(q), p.minus(q));
            }
        }
    }
    // Columns are done by interleaving two rows, which brings the halves of each beside each other. The order that
    // coefficients end up in does not matter.
    for _ in 0..2 {
        for i in [0, 2, 4, 6] {
            let (p, q) = rows[i].interleave(rows[i + 1]);
            (rows[i], rows[i + 1]) = (p.plus(q), p.minus(q));
        }
    }
    // The last step has p + q and p - q, of which the greater is |p| + |q|, the smaller ||p| - |q||, and the sum of both
    // twice the greater of |p| and |q|. Those are at most 32 * 255: four of them fit into 16 bits with a sign, and so do
    // what two pairs have beyond the dead zone.
    let (zero, one, dead) = (Lanes::splat(0), Lanes::splat(1), Lanes::splat(dead as i16));
    let (mut sum, mut excess) = (zero, [zero; 2]);
    for i in [0, 2, 4, 6] {
        let (p, q) = rows[i].interleave(rows[i + 1]);
        let (p, q) = (p.abs(), q.abs());
        sum = sum.plus(p.max(q));
        let beyond = p.plus(q).beyond(dead).plus(p.minus(q).abs().beyond(dead));
        excess[i / 4] = excess[i / 4].plus(beyond);
    }
    let excess = excess[0].dot(one).plus(excess[1].dot(one)).total() as u32;
    Spectrum { satd: (sum.dot(one).total() as u32).div_ceil(2), excess: excess.div_ceil(4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32, len: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    /// By the definition: a product with the matrix of signs on both sides.
    fn slow(a: &[u8], b: &[u8], dead: u32) -> Spectrum {
        let sign = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 1 } else { -1 };
        let (mut sum, mut excess) = (0, 0);
        for v in 0..8 {
            for u in 0..8 {
                let mut coefficient = 0;
                for i in 0..64 {
                    let difference = i32::from(a[i]) - i32::from(b[i]);
                    coefficient += difference * sign(u, i % 8) * sign(v, i / 8);
                }
                sum += coefficient.unsigned_abs();
                excess += coefficient.unsigned_abs().saturating_sub(dead);
            }
        }
        Spectrum { satd: sum.div_ceil(4), excess: excess.div_ceil(4) }
    }

    #[test]
    fn the_spectrum_is_that_of_the_definition() {
        for seed in 0..20 {
            let (a, b) = (noise(seed, 64), noise(seed + 100, 64));
            let (p, q) = (Area { data: &a, stride: 8 }, Area { data: &b, stride: 8 });
            for dead in [0, 100, 700, u16::MAX] {
                assert_eq!(spectrum::<8>(p, q, dead), slow(&a, &b, dead.into()));
            }
        }
        let (black, white) = ([0; 64], [255; 64]);
        let (p, q) = (Area { data: &black, stride: 8 }, Area { data: &white, stride: 8 });
        assert_eq!(spectrum::<8>(p, q, 16000), Spectrum { satd: 4080, excess: 80 });
    }

    #[test]
    fn differences_are_summed_over_the_whole_block() {
        let (a, b) = (noise(1, 20 * 16), noise(2, 16 * 16));
        let (mut absolute, mut squared) = (0, 0);
        for y in 0..16 {
            for x in 0..16 {
                let difference = a[y * 20 + x].abs_diff(b[y * 16 + x]) as u32;
                absolute += difference;
                squared += difference * difference;
            }
        }
        let (a, b) = (Area { data: &a, stride: 20 }, Area { data: &b, stride: 16 });
        assert_eq!(sad::<16>(a, b), absolute);
        assert_eq!(ssd::<16>(a, b), squared);
        assert_eq!(sad::<8>(a, a), 0);
    }
}
