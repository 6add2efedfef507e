//! Rounding of latents, by what they cost.

use super::entropy::cost::estimate_bits;
use super::entropy::scan::{CHROMA as CHROMA_SCAN, LUMA};
use super::symbols::{CELL, CELLS, CHROMA, LEVEL_MAX};

/// Squared steps that one bit is worth where a cell is emptied. These numbers were found by trying, on clips that were not
/// trained on.
const BIT_WORTH: f32 = 0.2;
/// The same where a latent is rounded, of intra and of inter pictures: less, since the analysis network has moved it already.
const ROUNDING_WORTH: [f32; 2] = [0.06, 0.08];
/// How much the cells around say about a latent, against the frequencies beside it.
const CELLS_SAY: f32 = 0.7;
/// Latents that nothing is around cost about as if their size were this, on average.
const SIZE_MIN: f32 = 0.16;

/// The size that each latent of a cell has on average, in steps, as those around it tell: the same frequency in the cells to
/// the left, right, above and below, and the frequencies beside it. `soft` is as [`super::tensors::to_levels`] gives it.
pub fn sizes(soft: &[f32], columns: usize, block: usize, cell: usize) -> [f32; CELL] {
    let (wide, high) = (columns * 2, soft.len() / CELL / 2 / columns);
    let (x, y) = (block % columns * 2 + cell % 2, block / columns * 2 + cell / 2);
    let at = |x: usize, y: usize| -> &[f32] {
        let place = (y / 2 * columns + x / 2) * CELLS + y % 2 * 2 + x % 2;
        &soft[place * CELL..][..CELL]
    };
    let beside = [(x > 0).then(|| at(x - 1, y)), (x + 1 < wide).then(|| at(x + 1, y))];
    let above = [(y > 0).then(|| at(x, y - 1)), (y + 1 < high).then(|| at(x, y + 1))];
    let mut sizes = [0.0; CELL];
    let mut count = 0.0;
    for other in beside.into_iter().chain(above).flatten() {
        count += 1.0;
        sizes.iter_mut().zip(other).for_each(|(size, value)| *size += value.abs());
    }
    let own = at(x, y);
    for (from, scan) in [(0, &LUMA), (CHROMA[0], &CHROMA_SCAN), (CHROMA[1], &CHROMA_SCAN)] {
        for (index, beside) in scan.beside.iter().enumerate() {
            let others = beside.iter().filter(|other| usize::from(**other) != index);
            let (sum, number) = others
                .fold((0.0, 0.0), |(sum, number), other| (sum + own[from + usize::from(*other)].abs(), number + 1.0));
            let size = &mut sizes[from + index];
            *size = *size * CELLS_SAY / count + sum * (1.0 - CELLS_SAY) / number;
        }
    }
    sizes
}

/// What is added to a latent before it is rounded down: less than half, since a smaller level costs less, and the less the
/// more unusual it is (Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", 1996).
fn rounding(value: f32, size: f32, inter: bool) -> f32 {
    // One more costs log2(e) / size bits where sizes fall off exponentially; the first one brings a sign.
    let bits = std::f32::consts::LOG2_E / size.max(SIZE_MIN) + if value.abs() < 1.0 { 1.0 } else { 0.0 };
    0.5 * (1.0 - ROUNDING_WORTH[usize::from(inter)] * bits)
}

/// Levels of one cell for `soft`, which is in units of steps; `sizes` are those of [`sizes`]. `inter` cells are more often
/// empty.
pub fn cell(soft: &[f32], sizes: &[f32; CELL], inter: bool, colour: bool, levels: &mut [i16; CELL]) {
    for ((level, &value), &size) in levels.iter_mut().zip(soft).zip(sizes) {
        let size = (value.abs() + rounding(value, size, inter)).clamp(0.0, f32::from(LEVEL_MAX)) as i16;
        *level = if value < 0.0 { -size } else { size };
    }
    if !colour {
        levels[super::symbols::CHROMA[0]..].fill(0);
    }
    if levels.iter().all(|l| *l == 0) {
        return;
    }
    // Lone small latents may cost more than they mend.
    let bits = |levels: &[i16; CELL]| estimate_bits(levels, !inter) as f32 / 256.0;
    let error = |levels: &[i16]| -> f32 { soft.iter().zip(levels).map(|(s, l)| (s - f32::from(*l)).powi(2)).sum() };
    if levels.iter().all(|l| l.abs() <= 1) {
        let empty = [0; CELL];
        if error(&empty) + BIT_WORTH * bits(&empty) <= error(levels) + BIT_WORTH * bits(levels) {
            levels.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(soft: &[(usize, f32)], size: f32) -> Vec<i16> {
        let mut cell_of = [0.0; CELL];
        soft.iter().for_each(|(at, value)| cell_of[*at] = *value);
        let mut levels = [7; CELL];
        cell(&cell_of, &[size; CELL], true, true, &mut levels);
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
        let busy = [(0, 3.0), (1, 2.2), (2, 0.8)];
        assert_eq!((levels(&busy, 2.0)[2], levels(&busy, 0.1)[2]), (1, 0));
    }

    #[test]
    fn sizes_come_from_the_cells_around_and_the_frequencies_beside() {
        // One block: the upper left cell has the others to its right and below.
        let mut soft = vec![0.0; CELLS * CELL];
        soft[CELL + 30] = -4.0;
        soft[2 * CELL + 30] = 2.0;
        soft[0] = 9.0;
        let sizes = sizes(&soft, 1, 0, 0);
        assert!((sizes[30] - 0.7 * 3.0).abs() < 1e-5, "{}", sizes[30]);
        assert!(sizes[1] > 0.5 && sizes[0] == 0.0, "a latent says nothing of itself");
    }
}
