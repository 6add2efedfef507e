//! The mode and the vectors of each block, by estimated cost in distortion and bits.

mod second;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::compensate::predict;
use super::integer::Target;
use super::interpolate::Area;
use super::measure::{sad, spectrum, ssd};
use super::reference::Reference;
use super::refine::Fine;
use super::settings::{Settings, Weights, vector_bits};
use super::wave;
use crate::codec::picture::Picture;
use crate::codec::symbols::{Block, CELLS, Mode, Vector, predict_vector};

/// How far a block is from its prediction, luma and chroma together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cost {
    /// Sum of absolute Hadamard coefficients, at twice the scale of an orthonormal transform.
    satd: u32,
    /// Of that, what lies above the dead zone: about nothing is coded where this is about nothing.
    excess: u32,
    /// Sum of squared differences.
    ssd: u32,
}

/// Modes cost about these bits.
const SKIP_BITS: u32 = 1;
const INTER_BITS: u32 = 2;
const SPLIT_BITS: u32 = 4;
const FLAT_BITS: u32 = 5;
const SECOND_BITS: u32 = 1;

/// Finds the motion of a slice, the `rows` of blocks of `current`. Vectors are predicted within the slice alone, the
/// reference is the whole picture. Second vectors are sought where there is an `older` picture. `previous` are the blocks of the
/// same slice in the picture before; they help, and are ignored if they are not as many.
pub fn search(
    current: &Picture,
    reference: &Reference,
    older: Option<&Reference>,
    rows: Range<usize>,
    previous: Option<&[Block]>,
    settings: &Settings,
) -> Vec<Block> {
    let (columns, all) = current.blocks();
    assert_eq!(reference.blocks(), (columns, all), "the reference has the size of the picture");
    assert!(rows.end <= all, "rows {rows:?} of {all}");
    let len = columns * rows.len();
    let weights = Weights::new(settings);
    // Beside a first prediction, twice the difference is what is left for a second.
    let doubled = Weights::new(&Settings { lambda: 2.0 * settings.lambda, ..*settings });
    let previous = previous.filter(|blocks| blocks.len() == len);
    wave::decide(settings.threads, columns, rows.len(), |index, blocks| {
        let (row, column) = (rows.start + index / columns, index % columns);
        let place = ((column * 16) as i32, (row * 16) as i32);
        let older = older.map(|older| (older, &doubled));
        Search { current, reference, older, weights: &weights, place, columns, index, blocks, previous }.decide()
    })
}

/// One block, and what is around it.
struct Search<'a> {
    current: &'a Picture,
    reference: &'a Reference,
    /// And what to weigh its vectors by.
    older: Option<(&'a Reference, &'a Weights)>,
    weights: &'a Weights,
    /// In luma samples.
    place: (i32, i32),
    columns: usize,
    index: usize,
    /// Those decided before, as far as they are near.
    blocks: &'a [Block],
    previous: Option<&'a [Block]>,
}

impl Search<'_> {
    fn decide(&self) -> Block {
        let expected = predict_vector(self.blocks, self.columns, self.index);
        if let Some(vector) = self.near_enough(expected) {
            return whole(if vector == expected { Mode::Skip } else { Mode::Inter }, vector);
        }
        let skip = whole(Mode::Skip, expected);
        let skipped = self.measure(&skip);
        let tolerance = self.weights.bits(3);
        let negligible = skipped.excess <= tolerance;
        if negligible && skipped.ssd <= self.weights.quiet {
            return skip;
        }

        let target = self.target::<16>(0, expected);
        let mut found = target.best_of(self.candidates(expected));
        target.walk(&mut found);
        // Far and wide only where much of what could be foretold is not.
        let (times, apart) = if self.weights.thorough { (8, 2) } else { (2, 4) };
        if found.cost > self.weights.bits(48) && found.cost * times > target.activity() {
            target.rings(&mut found, apart);
        }
        let moved = target.refine_better(found.vector(), expected);

        let mut best = whole(Mode::Inter, moved.vector);
        let mut cost = self.measure(&best);
        let mut bits = INTER_BITS + vector_bits(moved.vector, expected);
        let mut total = cost.satd + self.weights.bits(bits);

        if moved.cost > self.weights.bits(48)
            && let Some((split, split_bits)) = self.split(expected, moved)
        {
            let split_cost = self.measure(&split);
            let split_total = split_cost.satd + self.weights.bits(split_bits);
            if split_total < total {
                (best, cost, bits, total) = (split, split_cost, split_bits, split_total);
            }
        }

        // Where neither leaves anything to be coded, what counts is the error that stays.
        let skip_wins = if negligible && cost.excess <= tolerance {
            u64::from(skipped.ssd) + self.weights.bits_squared(SKIP_BITS)
                <= u64::from(cost.ssd) + self.weights.bits_squared(bits)
        } else {
            skipped.satd + self.weights.bits(SKIP_BITS) <= total
        };
        if skip_wins {
            let mode = if negligible { Mode::Skip } else { Mode::Inter };
            (best, cost, bits) = (whole(mode, expected), skipped, INTER_BITS);
            total = skipped.satd + self.weights.bits(bits);
        }
        if best.mode != Mode::Skip
            && cost.excess > tolerance
            && let Some((both, both_bits)) = self.both(&best, bits)
        {
            let both_total = self.measure(&both).satd + self.weights.bits(both_bits);
            if both_total < total {
                (best, total) = (both, both_total);
            }
        }

        if total > self.weights.bits(FLAT_BITS + 6) && self.grey() < total {
            best = Block::default();
        }
        best
    }

    /// A vector from which nothing better is sought.
    fn near_enough(&self, expected: Vector) -> Option<Vector> {
        let [enough, at_rest] = self.weights.enough;
        if at_rest == 0 {
            return None;
        }
        let apart = |vector| {
            let mut room = [0; 256];
            self.reference.put_luma::<16>(self.place, vector, &mut room, 16);
            ssd::<16>(self.area(0), Area { data: &room, stride: 16 })
        };
        let rest = Vector::default();
        let before = self.previous.map_or(rest, |blocks| blocks[self.index].vectors[0]);
        if [expected, before] == [rest; 2] {
            return (apart(rest) <= at_rest).then_some(rest);
        }
        [rest, expected, before].into_iter().find(|&vector| apart(vector) <= enough)
    }

    /// A quarter of the block, or all of it (`quarter` 0).
    fn target<const N: usize>(&self, quarter: usize, expected: Vector) -> Target<'_, N> {
        let (right, down) = (quarter % 2 * 8, quarter / 2 * 8);
        let place = (self.place.0 + right as i32, self.place.1 + down as i32);
        let (reference, weights) = (self.reference, self.weights);
        Target { luma: self.area(0).from(right, down), reference, weights, place, expected }
    }

    /// The block in one of its planes.
    fn area(&self, plane: usize) -> Area<'_> {
        let (shift, plane) = (usize::from(plane > 0), &self.current.planes[plane]);
        Area { data: &plane.data, stride: plane.width }
            .from(self.place.0 as usize >> shift, self.place.1 as usize >> shift)
    }

    /// Vectors of neighbours in this picture and in the one before.
    fn candidates(&self, expected: Vector) -> impl Iterator<Item = Vector> {
        let (blocks, columns, index) = (self.blocks, self.columns, self.index);
        let column = index % columns;
        let of = move |condition: bool, back: usize, quarter: usize| {
            (condition && index >= back).then(|| blocks[index - back].vectors[quarter])
        };
        let here = [
            Some(expected),
            of(column > 0, 1, 1),
            of(true, columns, 2),
            of(column + 1 < columns, columns - 1, 2),
            of(column > 0, columns + 1, 3),
        ];
        let before = move |condition: bool, at: usize, quarter: usize| {
            self.previous.filter(|blocks| condition && at < blocks.len()).map(|blocks| blocks[at].vectors[quarter])
        };
        let then = [
            before(true, index, 0),
            before(true, index, 3),
            before(column + 1 < columns, index + 1, 0),
            before(true, index + columns, 0),
        ];
        here.into_iter().chain(then).flatten()
    }

    /// Each quarter on its own; none if that is no better than all as one. The bits are those of mode and vectors.
    fn split(&self, expected: Vector, all: Fine) -> Option<(Block, u32)> {
        let mut vectors = [expected; CELLS];
        let mut bits = SPLIT_BITS;
        let mut total = self.weights.bits(SPLIT_BITS);
        for quarter in 0..CELLS {
            // The lower left one follows the one above it, the others the one before.
            let expected = [expected, vectors[0], vectors[0], vectors[2]][quarter];
            let target = self.target::<8>(quarter, expected);
            let mut found = target.best_of([all.vector, expected].into_iter().chain(self.candidates(expected)));
            target.descend(&mut found, 8);
            let fine = target.refine_better(all.vector, found.vector());
            vectors[quarter] = fine.vector;
            bits += vector_bits(fine.vector, expected);
            total += fine.cost;
            if total >= all.cost + self.weights.bits(INTER_BITS) {
                return None;
            }
        }
        let same = vectors.iter().all(|&vector| vector == vectors[0]);
        (!same).then_some((Block { mode: Mode::Split, vectors, second: None, step: 0 }, bits))
    }

    fn measure(&self, block: &Block) -> Cost {
        let references = [self.reference, self.older.map_or(self.reference, |(older, _)| older)];
        let mut cost = Cost::default();
        let mut room = [0; 256];
        for (plane, size) in [(0, 16), (1, 8), (2, 8)] {
            let shift = usize::from(plane > 0);
            predict(references, block, plane, (self.place.0 >> shift, self.place.1 >> shift), &mut room, size);
            let (current, predicted) = (self.area(plane), Area { data: &room, stride: size });
            let (spectrum, squares) = if plane == 0 {
                (spectrum::<16>(current, predicted, self.weights.dead), ssd::<16>(current, predicted))
            } else {
                (spectrum::<8>(current, predicted, self.weights.dead), ssd::<8>(current, predicted))
            };
            cost.satd += spectrum.satd;
            cost.excess += spectrum.excess;
            cost.ssd += squares;
        }
        cost
    }

    /// What it costs to predict nothing: SATD without the means of the six transforms, and bits for these.
    fn grey(&self) -> u32 {
        let (mut satd, mut bits) = (0, FLAT_BITS);
        for (plane, size) in [(0, 16), (1, 8), (2, 8)] {
            for at in (0..size * size / 64).map(|cell| (cell % 2 * 8, cell / 2 * 8)) {
                let area = self.area(plane).from(at.0, at.1);
                let mean = ((sad::<8>(area, Area { data: &[0; 8], stride: 0 }) + 32) / 64) as u8;
                satd += spectrum::<8>(area, Area { data: &[mean; 8], stride: 0 }, u16::MAX).satd;
                bits += self.weights.level_bits(u32::from(mean.abs_diff(128)) * 8);
            }
        }
        satd + self.weights.bits(bits)
    }
}

fn whole(mode: Mode, vector: Vector) -> Block {
    Block { mode, vectors: [vector; CELLS], second: None, step: 0 }
}
