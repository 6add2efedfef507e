//! The mean of a square in a block that is predicted from nothing: its difference from what the borders predict.

use super::edges::{Edges, mean};
use super::mixing::{Site, Visitor};
use super::near::{CLASSES, LEANS, LEVEL, Near, STEPS, class, lean, sign};
use super::range::Bits;

/// Sixteenths of a level, in which predictions are.
const UNIT: i32 = 16;
/// Bits that a difference can have after its first.
const EXPONENTS: usize = 13;
/// Beyond any mean, and far from overflowing.
const MEAN_MAX: i32 = 8191;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    zero: Site<5>,
    sign: Site<5>,
    length: Site<5>,
    mantissa: Site<1>,
}

impl Models {
    pub fn new() -> Self {
        let wide = CLASSES;
        Models {
            zero: Site::new([wide * 2, LEANS * 2, wide * wide, STEPS * wide, wide * wide], wide),
            sign: Site::new([LEANS * 2, 3 * 2, wide * 2, LEANS * wide, 9 * 2], wide),
            length: Site::new([wide * 2, wide, wide, STEPS, wide * wide].map(|size| size * EXPONENTS), EXPONENTS),
            mantissa: Site::new([16 * 16], 1),
        }
    }

    pub fn visit(&mut self, visitor: &mut dyn Visitor) {
        self.zero.visit(visitor);
        self.sign.visit(visitor);
        self.length.visit(visitor);
        self.mantissa.visit(visitor);
    }

    /// Codes `level`, adds it to `edges`, and returns by how much it missed its prediction.
    pub fn code<B: Bits>(
        &mut self,
        bits: &mut B,
        level: &mut i16,
        near: &Near,
        edges: &mut Edges,
        size: usize,
        end: usize,
    ) -> i32 {
        let joined = mean(size, edges, &near.around);
        let (guess, spread) =
            joined.map_or((0, 0), |(guess, spread)| (near.in_levels(guess, 0), near.in_levels(spread, 0)));
        let rounded = (guess + UNIT / 2).div_euclid(UNIT).clamp(-MEAN_MAX / 2, MEAN_MAX / 2);
        let offset = lean((guess - rounded * UNIT).clamp(-UNIT, UNIT));
        let doubt = if joined.is_some() { class(spread as u32 / 4).min(CLASSES - 2) } else { CLASSES - 1 };
        // What the means next to it say, which know nothing of the rest of the square.
        let [left, above, corner] = near.means;
        let plane = (left + above - corner).clamp(left.min(above), left.max(above));
        let pull = if joined.is_some() { lean(near.in_levels(plane, 0) - guess) } else { LEVEL };
        let missed = class(near.misses[0].unsigned_abs() + near.misses[1].unsigned_abs());
        let signs = sign(near.misses[0]) * 3 + sign(near.misses[1]);
        let last = usize::from(near.part == 2);
        let toward = if near.part == 2 { sign(near.other_miss) } else { 1 };
        let ending = class(end as u32);

        let miss = i32::from(*level) - rounded;
        let some = self.zero.code(
            bits,
            [
                doubt * 2 + last,
                offset * 2 + last,
                doubt * CLASSES + ending,
                near.step * CLASSES + doubt,
                missed * CLASSES + doubt,
            ],
            doubt,
            miss != 0,
        );
        let mut value = 0;
        if some {
            let negative = self.sign.code(
                bits,
                [offset * 2 + last, toward * 2 + last, doubt * 2 + last, pull * CLASSES + doubt, signs * 2 + last],
                doubt,
                miss < 0,
            );
            let size = miss.unsigned_abs().max(1);
            let mut length = 0;
            while length < EXPONENTS
                && self.length.code(
                    bits,
                    [
                        (length * CLASSES + doubt) * 2 + last,
                        length * CLASSES + ending,
                        length * CLASSES + missed,
                        length * STEPS + near.step,
                        (length * CLASSES + missed) * CLASSES + doubt,
                    ],
                    length,
                    size.ilog2() as usize > length,
                )
            {
                length += 1;
            }
            value = 1;
            for bit in (0..length).rev() {
                value = value * 2 + i32::from(self.mantissa.code(bits, [length * 16 + bit], 0, size >> bit & 1 == 1));
            }
            value = if negative { -value } else { value };
        }
        *level = (rounded + value).clamp(-MEAN_MAX, MEAN_MAX) as i16;
        edges.add(size, 0, 0, i32::from(*level) * near.steps[0]);
        value
    }
}
