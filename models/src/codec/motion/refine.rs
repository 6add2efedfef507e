//! The search by halves and quarters of a sample, with SATD on exactly interpolated samples.

use multiversion::multiversion;

use super::integer::Target;
use super::interpolate::Area;
use super::measure::spectrum;
use super::reference::Reference;
use crate::codec::symbols::{VECTOR_MAX, Vector};

/// A vector and its cost in SATD and bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fine {
    pub vector: Vector,
    pub cost: u32,
}

/// The SATD between a block and what is a vector away from its place.
// Compiled for several sets of instructions, which all give the same.
#[multiversion(targets("x86_64+avx2"))]
fn satd<const N: usize>(luma: Area, reference: &Reference, place: (i32, i32), vector: Vector) -> u32 {
    let mut room = [0; 256];
    let moved = reference.luma_moved::<N>(place, vector, &mut room);
    spectrum::<N>(luma, moved, u16::MAX).satd
}

impl<const N: usize> Target<'_, N> {
    /// What a vector costs. Those out of range cost the most.
    pub fn fine(&self, vector: Vector) -> Fine {
        if vector.x.abs() > VECTOR_MAX || vector.y.abs() > VECTOR_MAX {
            return Fine { vector, cost: u32::MAX };
        }
        let satd = satd::<N>(self.luma, self.reference, self.place, vector);
        Fine { vector, cost: satd + self.weights.bits(super::settings::vector_bits(vector, self.expected)) }
    }

    /// From the second vector if it costs less than the first.
    pub fn refine_better(&self, first: Vector, second: Vector) -> Fine {
        let (first, second) = (self.fine(first), self.fine(second));
        self.refine(if second.cost < first.cost { second } else { first })
    }

    /// Half a sample, then a quarter of it around a vector: the four sides, and the corner between the better ones. A
    /// thorough search does each again for as long as it gets better, three times at most.
    pub fn refine(&self, mut best: Fine) -> Fine {
        for step in [2, 1] {
            for _ in 0..if self.weights.thorough { 3 } else { 1 } {
                let from = best;
                best = self.around(best, step);
                if best == from {
                    break;
                }
            }
        }
        best
    }

    fn around(&self, mut best: Fine, step: i16) -> Fine {
        let from = best.vector;
        let at = |x: i16, y: i16| self.fine(Vector { x: from.x + x * step, y: from.y + y * step });
        let (left, right, up, down) = (at(-1, 0), at(1, 0), at(0, -1), at(0, 1));
        let x = if left.cost < right.cost { -1 } else { 1 };
        let y = if up.cost < down.cost { -1 } else { 1 };
        for found in [left, right, up, down, at(x, y)] {
            if found.cost < best.cost {
                best = found;
            }
        }
        best
    }
}
