//! What a search is to weigh, and how long it may take.

use crate::codec::symbols::Vector;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// For live pictures.
    #[default]
    Fast,
    /// Several times slower for a little better.
    Thorough,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What a bit is worth, in units of absolute differences.
    pub lambda: f32,
    /// Coefficients of an orthonormal transform below this are expected to be quantised to zero.
    pub dead: f32,
    /// The mean square of luma's difference that is as good as any, as noise leaves it: a block that is so near to what was at
    /// its place, or where its neighbours or its past say, is not sought elsewhere. The second is for its place where it and its
    /// neighbours rested before. 0 for none.
    pub enough: [f32; 2],
    /// How far to look, in luma samples, 0 to 511.
    pub range: u16,
    pub effort: Effort,
    /// How many threads search at once. They find the same.
    pub threads: usize,
}

impl Settings {
    /// For a quantiser of a step in units of 8-bit samples: the Lagrangian is about 0.13 step² for squares, and its root
    /// for absolute differences. A little more of both was found to cost less, by trying.
    pub fn for_step(step: f32) -> Self {
        let (lambda, dead) = (0.16f32.sqrt() * step, 0.66 * step);
        Settings { lambda, dead, enough: [0.0; 2], range: 64, effort: Effort::default(), threads: 1 }
    }
}

/// Settings in the integers that the search computes with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    /// In 256ths.
    lambda: u32,
    /// Squares per bit, in 256ths.
    lambda_squares: u64,
    /// At 8 times the scale of an orthonormal transform.
    pub dead: u16,
    /// The sum of squares of a block that is as good as it will be: well below what the quantiser leaves.
    pub quiet: u32,
    /// The sums of squares of luma that are as good as any; the second at rest.
    pub enough: [u32; 2],
    step: u32,
    pub range: i32,
    pub thorough: bool,
}

impl Weights {
    pub fn new(settings: &Settings) -> Self {
        let lambda = settings.lambda.clamp(0.0, 4096.0);
        let step = settings.dead.clamp(0.0, 8000.0) / 0.6;
        Weights {
            lambda: (lambda * 256.0) as u32,
            lambda_squares: (lambda * lambda * 256.0) as u64,
            dead: (settings.dead.clamp(0.0, 8000.0) * 8.0) as u16,
            quiet: (step * step / 40.0 * 384.0).min(1e9) as u32,
            enough: settings.enough.map(|mean| (mean * 256.0).min(1e9) as u32),
            step: step as u32,
            range: i32::from(settings.range.min(511)),
            thorough: settings.effort == Effort::Thorough,
        }
    }

    /// What bits cost in absolute differences.
    #[inline(always)]
    pub fn bits(&self, bits: u32) -> u32 {
        (self.lambda * bits) >> 8
    }

    /// What bits cost in squared differences.
    #[inline(always)]
    pub fn bits_squared(&self, bits: u32) -> u64 {
        (self.lambda_squares * u64::from(bits)) >> 8
    }

    /// About how many bits a coefficient of this size takes.
    pub fn level_bits(&self, coefficient: u32) -> u32 {
        1 + 2 * (coefficient / self.step.max(1) + 1).ilog2()
    }
}

/// About how many bits a vector takes where another is expected: each component as a signed exponential Golomb code.
#[inline(always)]
pub(super) fn vector_bits(vector: Vector, expected: Vector) -> u32 {
    let component =
        |a: i16, b: i16| 1 + 2 * (i32::from(a) - i32::from(b)).unsigned_abs().wrapping_mul(2).max(1).ilog2();
    component(vector.x, expected.x) + component(vector.y, expected.y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_grow_with_the_distance_to_what_is_expected() {
        let at = |x, y| vector_bits(Vector { x, y }, Vector { x: 5, y: -5 });
        assert_eq!(at(5, -5), 2);
        assert_eq!(at(6, -5), 4);
        assert_eq!(at(7, -7), 10);
        assert_eq!(vector_bits(Vector { x: i16::MIN, y: 0 }, Vector { x: i16::MAX, y: 0 }), 2 + 2 * 16);
    }

    #[test]
    fn any_settings_are_safe() {
        for value in [f32::NAN, f32::INFINITY, -1.0, 0.0, 1e30] {
            let weights =
                Weights::new(&Settings { lambda: value, dead: value, enough: [value; 2], ..Settings::for_step(8.0) });
            assert!(weights.bits(100) <= 4096 * 100 && weights.bits_squared(100) <= (4096 * 4096 * 100));
        }
    }
}
