//! The search by whole samples: likely vectors first, in the way of predictive zonal searches, then a hexagon that walks
//! downhill from the best of them, as in x264.

use super::interpolate::Area;
use super::measure::sad;
use super::reference::Reference;
use super::settings::{Weights, vector_bits};
use crate::codec::symbols::Vector;

/// A block of `N` x `N` luma samples to be found.
pub(super) struct Target<'a, const N: usize> {
    pub luma: Area<'a>,
    pub reference: &'a Reference,
    pub weights: &'a Weights,
    /// Where the block is in the picture.
    pub place: (i32, i32),
    /// What vectors are coded relative to.
    pub expected: Vector,
}

/// A vector in whole samples and its cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub x: i32,
    pub y: i32,
    pub cost: u32,
}

impl Found {
    pub fn vector(&self) -> Vector {
        Vector { x: (self.x * 4) as i16, y: (self.y * 4) as i16 }
    }
}

/// In the order of going around.
const HEXAGON: [(i32, i32); 6] = [(-2, 0), (-1, 2), (1, 2), (2, 0), (1, -2), (-1, -2)];
const DIAMOND: [(i32, i32); 4] = [(-1, 0), (0, 1), (1, 0), (0, -1)];
/// A hexagon of 16 points, wider than high as motion is, in quarters of its radius.
const RING: [(i32, i32); 16] = [
    (0, -4),
    (0, 4),
    (-2, -3),
    (2, -3),
    (-4, -2),
    (4, -2),
    (-4, -1),
    (4, -1),
    (-4, 0),
    (4, 0),
    (-4, 1),
    (4, 1),
    (-4, 2),
    (4, 2),
    (-2, 3),
    (2, 3),
];
const CORNERS: [(i32, i32); 4] = [(-1, -1), (-1, 1), (1, -1), (1, 1)];

impl<const N: usize> Target<'_, N> {
    fn cost(&self, x: i32, y: i32) -> u32 {
        let moved = self.reference.luma(self.place.0 + x, self.place.1 + y, N);
        let vector = Vector { x: (x * 4) as i16, y: (y * 4) as i16 };
        sad::<N>(self.luma, moved) + self.weights.bits(vector_bits(vector, self.expected))
    }

    /// Moves `best` if it is better, and says whether it was.
    fn improve(&self, best: &mut Found, x: i32, y: i32) -> bool {
        let range = self.weights.range;
        if x.abs() > range || y.abs() > range {
            return false;
        }
        let cost = self.cost(x, y);
        if cost < best.cost {
            *best = Found { x, y, cost };
            return true;
        }
        false
    }

    /// The best of the vectors that are likely.
    pub fn best_of(&self, candidates: impl Iterator<Item = Vector>) -> Found {
        let mut seen = [(0, 0); 16];
        let mut best = Found { x: 0, y: 0, cost: self.cost(0, 0) };
        let mut count = 1;
        for candidate in candidates {
            let whole = ((i32::from(candidate.x) + 2) >> 2, (i32::from(candidate.y) + 2) >> 2);
            if count < seen.len() && !seen[..count].contains(&whole) {
                seen[count] = whole;
                count += 1;
                self.improve(&mut best, whole.0, whole.1);
            }
        }
        best
    }

    /// Downhill in steps of two samples, then of one.
    pub fn walk(&self, best: &mut Found) {
        let from = *best;
        let mut towards = None;
        for (direction, (x, y)) in HEXAGON.into_iter().enumerate() {
            if self.improve(best, from.x + x, from.y + y) {
                towards = Some(direction);
            }
        }
        // A hexagon that has moved shares all but three of its corners with the one before.
        let mut steps = 0;
        while let Some(ahead) = towards.take().filter(|_| steps < self.weights.range) {
            steps += 2;
            let from = *best;
            for direction in [ahead, (ahead + 1) % 6, (ahead + 5) % 6] {
                let (x, y) = HEXAGON[direction];
                if self.improve(best, from.x + x, from.y + y) {
                    towards = Some(direction);
                }
            }
        }
        let from = *best;
        for (x, y) in DIAMOND.into_iter().chain(CORNERS) {
            self.improve(best, from.x + x, from.y + y);
        }
    }

    /// Rings of growing radius around the best, `apart` samples from each other, then downhill from what they find: for
    /// motion that no neighbour has foretold.
    pub fn rings(&self, best: &mut Found, apart: i32) {
        let from = *best;
        for radius in (apart..=self.weights.range).step_by(apart as usize) {
            for (x, y) in RING {
                self.improve(best, from.x + x * radius / 4, from.y + y * radius / 4);
            }
        }
        if best.cost < from.cost {
            self.walk(best);
        }
    }

    /// How much there is to be found: the sum of absolute differences to the mean.
    pub fn activity(&self) -> u32 {
        let sum = sad::<N>(self.luma, Area { data: &[0; 16], stride: 0 });
        let mean = [(sum / (N * N) as u32) as u8; 16];
        sad::<N>(self.luma, Area { data: &mean, stride: 0 })
    }

    /// Downhill by single samples.
    pub fn descend(&self, best: &mut Found, steps: usize) {
        for _ in 0..steps {
            let from = *best;
            let mut moved = false;
            for (x, y) in DIAMOND {
                moved |= self.improve(best, from.x + x, from.y + y);
            }
            if !moved {
                break;
            }
        }
    }
}
