//! What is known around a square of latents before it is coded, and how it is put into classes.

use super::edges::Around;

/// Classes of sums of magnitudes, about logarithmic.
pub const CLASSES: usize = 12;
/// Classes of a signed value, about symmetric.
pub const LEANS: usize = 17;
/// The class of a value near zero.
pub const LEVEL: usize = LEANS / 2;
/// Classes of the step.
pub const STEPS: usize = 8;

static CLASS: [u8; 64] = classes();

const fn classes() -> [u8; 64] {
    let mut table = [0; 64];
    let mut value = 0;
    while value < 64 {
        table[value] = match value {
            0..=4 => value as u8,
            5..=6 => 5,
            7..=8 => 6,
            9..=12 => 7,
            13..=18 => 8,
            19..=28 => 9,
            29..=44 => 10,
            _ => 11,
        };
        value += 1;
    }
    table
}

#[inline(always)]
pub fn class(value: u32) -> usize {
    usize::from(CLASS[value.min(63) as usize])
}

/// The class of a value in sixteenths of a level.
#[inline(always)]
pub fn lean(value: i32) -> usize {
    let size = match value.unsigned_abs() {
        0..=2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        9..=12 => 3,
        13..=18 => 4,
        19..=28 => 5,
        29..=44 => 6,
        45..=80 => 7,
        _ => 8,
    };
    if value < 0 { LEVEL - size } else { LEVEL + size }
}

/// 0 for negative, 1 for zero, 2 for positive.
#[inline(always)]
pub fn sign(value: i32) -> usize {
    (value.signum() + 1) as usize
}

/// Y, U or V of a cell is a *square*. Cells beyond the picture are zero.
#[derive(Debug)]
pub struct Near<'a> {
    pub left: &'a [i16],
    pub above: &'a [i16],
    pub corner: &'a [i16],
    pub right: &'a [i16],
    /// Magnitudes at the same place in the picture before.
    pub before: &'a [u8],
    /// The steps of left, above, corner, right above and before over the own step, in 1/64.
    pub scales: [u32; 5],
    /// Where the same five end: 0 if all zero.
    pub ends: [u8; 5],
    /// For U the latents of Y, for V those of U at the same place, where they end, and by how much their mean missed its
    /// prediction.
    pub other: &'a [i16],
    pub other_end: u8,
    pub other_miss: i32,
    /// By how much the means to the left and above missed theirs.
    pub misses: [i32; 2],
    /// Means of left, above and corner, in sixteenths of a unit.
    pub means: [i32; 3],
    pub around: Around,
    /// Steps of the latents of this square, in sixteenths of a unit, and 2^20 over them.
    pub steps: &'a [i32],
    pub inverse: &'a [i32],
    /// Class of the step.
    pub step: usize,
    /// 0 for Y, 1 for U, 2 for V.
    pub part: usize,
    /// Number of the block's mode.
    pub mode: usize,
}

impl Near<'_> {
    /// Sixteenths of a unit in sixteenths of the level of latent `index`.
    #[inline(always)]
    pub fn in_levels(&self, value: i32, index: usize) -> i32 {
        let levels = (i64::from(value) * i64::from(self.inverse[index])) >> 16;
        levels.clamp(-1 << 20, 1 << 20) as i32
    }
}
