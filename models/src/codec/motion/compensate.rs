//! The picture that modes and vectors predict.

use super::reference::Reference;
use crate::codec::picture::Picture;
use crate::codec::symbols::{Block, Mode, Vector};

/// Writes the prediction of a slice. `older` is the picture before the reference; where there is none, it is the reference
/// itself. `blocks` are those of the slice, `columns` across; `out` is a picture of just these;
/// `first_row` says in which row of blocks the slice begins, since vectors are relative to the place in the whole picture.
pub fn compensate(
    reference: &Reference,
    older: Option<&Reference>,
    blocks: &[Block],
    columns: usize,
    first_row: usize,
    out: &mut Picture,
) {
    let references = [reference, older.unwrap_or(reference)];
    assert_eq!(out.blocks(), (columns, blocks.len() / columns), "the prediction of a slice has the size of the slice");
    for (index, block) in blocks.iter().enumerate() {
        let (row, column) = (index / columns, index % columns);
        for (plane, size) in [(0, 16), (1, 8), (2, 8)] {
            let stride = out.planes[plane].width;
            let place = ((column * size) as i32, ((first_row + row) * size) as i32);
            let out = &mut out.planes[plane].data[row * size * stride + column * size..];
            predict(references, block, plane, place, out, stride);
        }
    }
}

/// Writes the prediction of one block in one plane: 16x16 of luma or 8x8 of chroma at a place in that plane.
#[inline(always)]
pub(super) fn predict(
    [reference, older]: [&Reference; 2],
    block: &Block,
    plane: usize,
    place: (i32, i32),
    out: &mut [u8],
    stride: usize,
) {
    first(reference, block, plane, place, out, stride);
    if let Some(vector) = block.second {
        let size = if plane == 0 { 16 } else { 8 };
        let mut room = [0; 256];
        moved(older, plane, place, vector, &mut room, size);
        for (out, second) in out.chunks_mut(stride).zip(room.chunks_exact(size).take(size)) {
            out.iter_mut().zip(second).for_each(|(a, b)| *a = (u16::from(*a) + u16::from(*b)).div_ceil(2) as u8);
        }
    }
}

/// What is a vector away from a whole block.
#[inline(always)]
fn moved(from: &Reference, plane: usize, place: (i32, i32), vector: Vector, out: &mut [u8], stride: usize) {
    match plane {
        0 => from.put_luma::<16>(place, vector, out, stride),
        _ => from.put_chroma::<8>(plane, place, vector, out, stride),
    }
}

/// The prediction from the picture before alone.
#[inline(always)]
fn first(reference: &Reference, block: &Block, plane: usize, (x, y): (i32, i32), out: &mut [u8], stride: usize) {
    let size = if plane == 0 { 16 } else { 8 };
    match block.mode {
        Mode::Flat => {
            for row in out.chunks_mut(stride).take(size) {
                row[..size].fill(128);
            }
        }
        Mode::Skip | Mode::Inter => moved(reference, plane, (x, y), block.vectors[0], out, stride),
        Mode::Split => {
            let half = size / 2;
            for (quarter, &vector) in block.vectors.iter().enumerate() {
                let (right, down) = (quarter % 2 * half, quarter / 2 * half);
                let place = (x + right as i32, y + down as i32);
                let out = &mut out[down * stride + right..];
                if plane == 0 {
                    reference.put_luma::<8>(place, vector, out, stride);
                } else {
                    reference.put_chroma::<4>(plane, place, vector, out, stride);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::interpolate::{CHROMA, LUMA};
    use super::*;
    use crate::codec::picture::Plane;
    use crate::codec::symbols::{CELLS, VECTOR_MAX};

    fn noise(columns: usize, rows: usize, mut state: u64) -> Picture {
        let mut picture = Picture::grey(columns, rows);
        for sample in picture.planes.iter_mut().flat_map(|plane| &mut plane.data) {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *sample = (state >> 56) as u8;
        }
        picture
    }

    /// One sample by the definition: every tap clamped into the picture on its own. `x` and `y` are in units of
    /// 1 / `filters.len()`.
    fn slow<const T: usize>(plane: &Plane, filters: &[[i16; T]], x: i32, y: i32) -> u8 {
        let (units, lead) = (filters.len() as i32, T as i32 / 2 - 1);
        let (fx, fy) = (x.rem_euclid(units) as usize, y.rem_euclid(units) as usize);
        let clamp = |at: i32, tap: i32, size: usize| (at + tap - lead).clamp(0, size as i32 - 1) as usize;
        let mut sum = 0;
        for (j, down) in (0..).zip(filters[fy]) {
            let row = plane.row(clamp(y.div_euclid(units), j, plane.height));
            for (i, across) in (0..).zip(filters[fx]) {
                let sample = row[clamp(x.div_euclid(units), i, plane.width)];
                sum += i32::from(sample) * i32::from(across) * i32::from(down);
            }
        }
        // A filter of a whole sample multiplies by 64, so that one rounding serves all cases.
        ((sum + 2048) >> 12).clamp(0, 255) as u8
    }

    fn slowly([reference, older]: [&Picture; 2], blocks: &[Block], columns: usize, first_row: usize) -> Picture {
        let mut out = Picture::grey(columns, blocks.len() / columns);
        for plane in 0..3 {
            let (size, units) = if plane == 0 { (16, 4) } else { (8, 8) };
            for y in 0..out.planes[plane].height {
                for x in 0..out.planes[plane].width {
                    let block = &blocks[y / size * columns + x / size];
                    if block.mode == Mode::Flat {
                        continue;
                    }
                    let sample = |from: &Picture, vector: Vector| {
                        let x4 = x as i32 * units + i32::from(vector.x);
                        let y4 = (y + first_row * size) as i32 * units + i32::from(vector.y);
                        let from = &from.planes[plane];
                        if plane == 0 { slow(from, &LUMA, x4, y4) } else { slow(from, &CHROMA, x4, y4) }
                    };
                    let vector = block.vectors[y % size / (size / 2) * 2 + x % size / (size / 2)];
                    let first = sample(reference, vector);
                    out.planes[plane].row_mut(y)[x] = match block.second {
                        Some(vector) => ((u16::from(first) + u16::from(sample(older, vector)) + 1) >> 1) as u8,
                        None => first,
                    };
                }
            }
        }
        out
    }

    fn check(picture: &Picture, blocks: &[Block], columns: usize, first_row: usize) {
        let mut out = noise(columns, blocks.len() / columns, 99);
        let older = noise(picture.blocks().0, picture.blocks().1, 31);
        let references = [picture, &older].map(Reference::new);
        compensate(&references[0], Some(&references[1]), blocks, columns, first_row, &mut out);
        assert!(out == slowly([picture, &older], blocks, columns, first_row), "{blocks:?} from row {first_row}");
        compensate(&references[0], None, blocks, columns, first_row, &mut out);
        assert!(
            out == slowly([picture; 2], blocks, columns, first_row),
            "{blocks:?} from row {first_row}, nothing older"
        );
    }

    #[test]
    fn predictions_are_those_of_the_definition() {
        let picture = noise(3, 4, 5);
        let mut state = 7u32;
        let mut next = |range: i32| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            ((state >> 8) as i32 % (2 * range + 1) - range) as i16
        };
        for round in 0..60 {
            let range = [9, 120, 400, i32::from(VECTOR_MAX)][round % 4];
            let blocks: Vec<Block> = (0..6)
                .map(|index| {
                    let vectors = [(); CELLS].map(|_| Vector { x: next(range), y: next(range) });
                    let second = (round % 3 > 0).then(|| Vector { x: next(range), y: next(range) });
                    match (round + index) % 4 {
                        0 => Block { mode: Mode::Skip, vectors: [vectors[0]; CELLS], ..Block::default() },
                        1 => Block { mode: Mode::Inter, vectors: [vectors[0]; CELLS], second, step: 3 },
                        2 => Block { mode: Mode::Split, vectors, second, step: 0 },
                        _ => Block::default(),
                    }
                })
                .collect();
            check(&picture, &blocks, 3, round % 3);
        }
    }

    #[test]
    fn every_fraction_is_that_of_the_definition() {
        let picture = noise(1, 1, 3);
        for x in -5..6 {
            for y in -5..6 {
                let (here, there) = (Vector { x, y }, Vector { x: y * 3, y: x });
                for (mode, vectors) in [(Mode::Inter, [here; CELLS]), (Mode::Split, [here, there, there, here])] {
                    check(&picture, &[Block { mode, vectors, second: None, step: 0 }], 1, 0);
                    check(&picture, &[Block { mode, vectors: [there; CELLS], second: Some(here), step: 0 }], 1, 0);
                }
            }
        }
    }

    #[test]
    fn vectors_may_point_anywhere() {
        let far = [i16::MIN, -VECTOR_MAX, -100, -99, 0, 97, 98, VECTOR_MAX, i16::MAX];
        for (columns, rows) in [(1, 1), (2, 1), (1, 3)] {
            let picture = noise(columns, rows, 1);
            for (x, y) in far.iter().flat_map(|&x| far.map(|y| (x, y))) {
                for (mode, second) in [(Mode::Skip, None), (Mode::Split, Some(Vector { x: y, y: x }))] {
                    let block = Block { mode, vectors: [Vector { x, y }; CELLS], second, step: 0 };
                    check(&picture, &vec![block; columns * rows], columns, 0);
                }
            }
        }
    }
}
