//! What a cell will take, about, before it is coded: for encoders that choose between ways to predict.
//!
//! The figures are means of what [`super::Coder`] spent on twelve clips at steps of 12 and 24. The coder itself does better
//! where the surroundings are alike and worse where they are not, so an estimate tells choices for one cell apart, and no
//! more.

use std::ops::Range;

use super::scan::{CHROMA, LUMA, Scan, ZONES, zone};
use crate::codec::symbols::{CELL, CHROMA as PARTS};

/// Estimates are in fractions of a bit.
pub const BIT: u32 = 256;

struct Table {
    /// By the number of bits of where the last latent is.
    end: [u16; 8],
    /// Of a latent that is 0, 1 and 2, by zone.
    zero: [u16; ZONES],
    one: [u16; ZONES],
    two: [u16; ZONES],
    /// For each doubling from 2 on.
    double: u32,
    /// Where the mean goes on from the neighbours, what it takes, however large.
    mean: Option<u32>,
}

static INTER: [Table; 2] = [
    Table {
        end: [164, 904, 1502, 1572, 1609, 1554, 1501, 1301],
        zero: [151, 109, 77, 58, 48, 40, 35, 35, 38, 50],
        one: [453, 691, 751, 793, 800, 799, 768, 719, 693, 517],
        two: [1057, 1186, 1265, 1300, 1305, 1207, 1125, 1228, 1798, 1686],
        double: 280,
        mean: None,
    },
    Table {
        end: [8, 967, 1568, 1850, 2157, 2600, 2600, 2600],
        zero: [281, 115, 51, 30, 40, 60, 60, 60, 60, 60],
        one: [207, 435, 422, 390, 400, 300, 300, 300, 300, 300],
        two: [1022, 1109, 1500, 1600, 1600, 1600, 1600, 1600, 1600, 1600],
        double: 300,
        mean: None,
    },
];

static FLAT: [Table; 2] = [
    Table {
        end: [109, 109, 679, 1024, 1248, 1339, 1450, 1384],
        zero: [0, 265, 220, 173, 147, 119, 97, 93, 97, 97],
        one: [0, 520, 606, 630, 624, 621, 618, 607, 603, 525],
        two: [0, 780, 822, 843, 836, 876, 925, 1059, 1245, 1364],
        double: 170,
        mean: Some(565),
    },
    Table {
        end: [12, 12, 599, 964, 1573, 1573, 1573, 1573],
        zero: [0, 80, 46, 44, 84, 84, 84, 84, 84, 84],
        one: [0, 218, 299, 334, 362, 318, 318, 318, 318, 318],
        two: [0, 599, 961, 1141, 1300, 1300, 1300, 1300, 1300, 1300],
        double: 200,
        mean: Some(145),
    },
];

impl Table {
    fn estimate(&self, levels: &[i16], scan: &Scan) -> u32 {
        let first = usize::from(self.mean.is_some());
        let last = levels.iter().rposition(|&level| level != 0).map_or(0, |last| last + 1);
        let end = if last <= first { 0 } else { last };
        let mut sum = self.mean.unwrap_or(0) + u32::from(self.end[(usize::BITS - end.leading_zeros()).min(7) as usize]);
        for (&level, &(u, v)) in levels[..end].iter().zip(scan.at).skip(first) {
            let zone = zone(usize::from(u), usize::from(v));
            let size = u32::from(level.unsigned_abs());
            sum += match size {
                0 => u32::from(self.zero[zone]),
                1 => u32::from(self.one[zone]),
                // Between powers of two along a straight line.
                _ => {
                    let log = size.ilog2();
                    u32::from(self.two[zone]) + self.double * (log - 1) + ((self.double * (size - (1 << log))) >> log)
                }
            };
        }
        sum
    }
}

/// Where the latents of Y, U and V are in a cell.
pub const SQUARES: [Range<usize>; 3] = [0..PARTS[0], PARTS[0]..PARTS[1], PARTS[1]..CELL];

/// About what the latents of one cell take, in 1/256 bit. `flat` is whether the block is predicted from nothing.
pub fn estimate_bits(levels: &[i16; CELL], flat: bool) -> u32 {
    SQUARES.into_iter().map(|square| estimate_square(&levels[square], flat)).sum()
}

/// The same of Y, U or V of a cell.
pub fn estimate_square(levels: &[i16], flat: bool) -> u32 {
    let [luma, chroma] = if flat { &FLAT } else { &INTER };
    if levels.len() == SQUARES[0].len() { luma.estimate(levels, &LUMA) } else { chroma.estimate(levels, &CHROMA) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_takes_more() {
        for flat in [false, true] {
            let mut levels = [0; CELL];
            let empty = estimate_bits(&levels, flat);
            assert!(empty < 4 * BIT);
            let mut before = empty;
            for size in [1, 2, 3, 4, 7, 8, 100, 2047] {
                levels[5] = size;
                let now = estimate_bits(&levels, flat);
                assert!(now > before, "{size}: {now} after {before}");
                before = now;
            }
            levels[70] = -1;
            assert!(estimate_bits(&levels, flat) > before);
        }
    }
}
