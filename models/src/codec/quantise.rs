//! Rounding of latents, by what they cost.

use super::entropy::cost::{BIT, SQUARES, estimate_bits, estimate_square};
use super::entropy::scan::{CHROMA as CHROMA_SCAN, LUMA};
use super::symbols::{CELL, CELLS, CHROMA, LEVEL_MAX};

/// Squared steps that one bit is worth where a cell is emptied. These numbers were found by trying, on clips that were not
/// trained on.
const BIT_WORTH: f32 = 0.2;
/// The same where a latent is rounded, of intra and of inter pictures: less, since the analysis network has moved it already.
const ROUNDING_WORTH: [f32; 2] = [0.06, 0.08];
/// The same where a square of Y, U or V ends.
const END_WORTH: f32 = 0.1;
/// How much the cells around say about a latent, against the frequencies beside it.
const CELLS_SAY: f32 = 0.7;
/// Latents that nothing is around cost about as if their size were this, on average.
const SIZE_MIN: f32 = 0.16;

/// No latent smaller than this is rounded up, whatever its size: see [`rounding`].
const LEAST: f32 = 0.5;

/// What is around a cell of latents, and tells how large each of them is likely to be.
pub struct Around<'a> {
    own: &'a [f32],
    /// The cells to the left, right, above and below, those that there are.
    cells: Vec<&'a [f32]>,
}

impl<'a> Around<'a> {
    /// Of one `cell` of a `block`; `soft` are the latents of the picture, as [`super::cells::analyse`] gives them, in
    /// units of steps.
    pub fn new(soft: &'a [f32], columns: usize, block: usize, cell: usize) -> Self {
        let (wide, high) = (columns * 2, soft.len() / CELL / 2 / columns);
        let (x, y) = (block % columns * 2 + cell % 2, block / columns * 2 + cell / 2);
        let at = |x: usize, y: usize| -> &[f32] {
            let place = (y / 2 * columns + x / 2) * CELLS + y % 2 * 2 + x % 2;
            &soft[place * CELL..][..CELL]
        };
        let beside = [(x > 0).then(|| at(x - 1, y)), (x + 1 < wide).then(|| at(x + 1, y))];
        let above = [(y > 0).then(|| at(x, y - 1)), (y + 1 < high).then(|| at(x, y + 1))];
        Around { own: at(x, y), cells: beside.into_iter().chain(above).flatten().collect() }
    }

    /// The size that a latent has on average, in steps, as those around it tell: the same frequency in the cells around, and
    /// the frequencies beside it.
    fn size(&self, index: usize) -> f32 {
        let (from, scan) = match index {
            _ if index < CHROMA[0] => (0, &LUMA),
            _ if index < CHROMA[1] => (CHROMA[0], &CHROMA_SCAN),
            _ => (CHROMA[1], &CHROMA_SCAN),
        };
        let mean = |(sum, count): (f32, f32)| sum / count;
        let add = |(sum, count): (f32, f32), value: f32| (sum + value.abs(), count + 1.0);
        let cells = self.cells.iter().map(|cell| cell[index]).fold((0.0, 0.0), add);
        let frequencies = scan.beside[index - from].iter().map(|other| from + usize::from(*other));
        let frequencies =
            frequencies.filter(|other| *other != index).map(|other| self.own[other]).fold((0.0, 0.0), add);
        mean(cells) * CELLS_SAY + mean(frequencies) * (1.0 - CELLS_SAY)
    }
}

/// What is added to a latent before it is rounded down: less than half, since a smaller level costs less, and the less the
/// more unusual it is (Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", 1996).
fn rounding(value: f32, size: f32, inter: bool) -> f32 {
    // One more costs log2(e) / size bits where sizes fall off exponentially; the first one brings a sign.
    let bits = std::f32::consts::LOG2_E / size.max(SIZE_MIN) + if value.abs() < 1.0 { 1.0 } else { 0.0 };
    0.5 * (1.0 - ROUNDING_WORTH[usize::from(inter)] * bits)
}

/// Levels of the cell that is in the middle of `around`. `inter` cells are more often empty.
pub fn cell(around: &Around, inter: bool, colour: bool, levels: &mut [i16; CELL]) {
    let soft = around.own;
    for (index, (level, &value)) in levels.iter_mut().zip(soft).enumerate() {
        *level = 0;
        if value.abs() > LEAST {
            let more = rounding(value, around.size(index), inter);
            let size = (value.abs() + more).clamp(0.0, f32::from(LEVEL_MAX)) as i16;
            *level = if value < 0.0 { -size } else { size };
        }
    }
    if !colour {
        levels[super::symbols::CHROMA[0]..].fill(0);
    }
    if levels.iter().all(|l| *l == 0) {
        return;
    }
    for square in SQUARES {
        shorten(&soft[square.clone()], &mut levels[square], inter);
    }
    // Lone small latents may cost more than they mend.
    let bits = |levels: &[i16; CELL]| estimate_bits(levels, !inter) as f32 / BIT as f32;
    let error = |levels: &[i16]| -> f32 { soft.iter().zip(levels).map(|(s, l)| (s - f32::from(*l)).powi(2)).sum() };
    if levels.iter().all(|l| l.abs() <= 1) {
        let empty = [0; CELL];
        if error(&empty) + BIT_WORTH * bits(&empty) <= error(levels) + BIT_WORTH * bits(levels) {
            levels.fill(0);
        }
    }
}

/// Ends a square of Y, U or V earlier where a 1 at its end costs more than it mends, with the zeros before it.
fn shorten(soft: &[f32], levels: &mut [i16], inter: bool) {
    // The mean of a square that is predicted from nothing is coded on its own.
    let first = usize::from(!inter);
    let one_at_the_end =
        |levels: &[i16]| levels.iter().rposition(|l| *l != 0).filter(|last| *last >= first && levels[*last].abs() == 1);
    let mut bits = None;
    while let Some(last) = one_at_the_end(levels) {
        let now = bits.unwrap_or_else(|| estimate_square(levels, !inter));
        let level = std::mem::take(&mut levels[last]);
        let fewer = estimate_square(levels, !inter);
        let error = soft[last].powi(2) - (soft[last] - f32::from(level)).powi(2);
        let saved = (now as f32 - fewer as f32) / BIT as f32;
        if error > END_WORTH * saved {
            levels[last] = level;
            break;
        }
        bits = Some(fewer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The levels of a cell whose neighbours' latents are all of `size`.
    fn levels(soft: &[(usize, f32)], size: f32) -> Vec<i16> {
        let (mut own, beside) = ([0.0; CELL], [size; CELL]);
        soft.iter().for_each(|(at, value)| own[*at] = *value);
        let mut levels = [7; CELL];
        cell(&Around { own: &own, cells: vec![&beside] }, true, true, &mut levels);
        levels.to_vec()
    }

    #[test]
    fn large_latents_are_rounded_and_lone_small_ones_dropped() {
        let coded = levels(&[(0, 5.2), (1, -3.9), (9, 0.4)], 2.0);
        assert_eq!((coded[0], coded[1], coded[9]), (5, -4, 0));
        assert!(levels(&[(40, 0.7)], 0.1).iter().all(|l| *l == 0), "it mends less than it costs");
        assert_eq!(levels(&[(0, 1.4)], 1.0)[0], 1);
        assert_eq!(levels(&[(3, 9e9)], 1.0)[3], LEVEL_MAX);
    }

    #[test]
    fn the_same_latent_is_kept_where_its_like_are_and_dropped_where_none_is() {
        let busy = [(0, 3.0), (1, 2.2), (8, 0.8)];
        assert_eq!((levels(&busy, 2.0)[8], levels(&busy, 0.1)[8]), (1, 0));
    }

    #[test]
    fn a_square_ends_before_a_one_that_costs_more_than_it_mends() {
        // Among as large ones, so that rounding alone keeps both.
        let far = [(0, 3.0), (1, 2.2), (60, 0.7)];
        assert_eq!(levels(&far, 2.0)[60], 0, "it would take dozens of zeros to get there");
        assert_eq!(levels(&[(0, 3.0), (1, 2.2), (2, 0.7)], 2.0)[2], 1);
        assert_eq!(levels(&[(0, 3.0), (1, 2.2), (60, 1.4)], 2.0)[60], 1, "it mends too much");
    }

    #[test]
    fn sizes_come_from_the_cells_around_and_the_frequencies_beside() {
        // One block: the upper left cell has the others to its right and below.
        let mut soft = vec![0.0; CELLS * CELL];
        soft[CELL + 30] = -4.0;
        soft[2 * CELL + 30] = 2.0;
        soft[0] = 9.0;
        let around = Around::new(&soft, 1, 0, 0);
        assert!((around.size(30) - 0.7 * 3.0).abs() < 1e-5, "{}", around.size(30));
        assert!(around.size(1) > 0.5 && around.size(0) == 0.0, "a latent says nothing of itself");
    }
}
