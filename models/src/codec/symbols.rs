//! What an access unit says, before it is entropy-coded: how each block is predicted, and the quantised latents.

/// Latents of one cell, which is 8x8 luma samples and the 4x4 of U and V that go with them: 64 of Y from low to high
/// frequency, then 16 of U, then 16 of V.
pub const CELL: usize = 96;
/// Where U and V begin within a cell.
pub const CHROMA: [usize; 2] = [64, 80];
/// Cells of a 16x16 block: top left, top right, bottom left, bottom right.
pub const CELLS: usize = 4;
/// Latents are within plus and minus this.
pub const LEVEL_MAX: i16 = 2047;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Refers to nothing.
    Intra,
    /// Predicted from the picture before.
    Inter,
}

/// How a block of 16x16 is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Moved by the vector that its neighbours predict; no latents.
    Skip,
    /// Moved as a whole.
    Inter,
    /// Each of its four 8x8 quarters moved on its own.
    Split,
    /// From grey. The only mode of intra pictures.
    #[default]
    Flat,
}

/// Where the prediction comes from, relative to the block, in quarters of a luma sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Vector {
    pub x: i16,
    pub y: i16,
}

/// Each component of a vector is within plus and minus this (512 luma samples).
pub const VECTOR_MAX: i16 = 2047;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block {
    pub mode: Mode,
    /// Of the four quarters, top left first; all the same unless `mode` is `Split`, zero where it is `Flat`.
    pub vectors: [Vector; CELLS],
    /// If the prediction is the mean of two: where the other one is in the older picture, the one before the picture before.
    /// Only of blocks that are moved and coded.
    pub second: Option<Vector>,
    /// Added to the picture's step index (finer below zero), within plus and minus 31.
    pub step: i8,
}

impl Block {
    /// Whether the synthesis network corrects it: what did not move and is not coded stays as it is.
    pub fn is_corrected(&self) -> bool {
        self.mode != Mode::Skip || self.vectors[0] != Vector::default()
    }
}

/// A picture, or a horizontal slice of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbols {
    pub kind: Kind,
    /// Whether U and V are coded; their latents are zero where not.
    pub colour: bool,
    /// Step index of the picture, 0 (finest) to 127.
    pub step: u8,
    /// Blocks across.
    pub columns: usize,
    /// Row by row, a whole number of rows.
    pub blocks: Vec<Block>,
    /// For each block its four cells of [`CELL`] latents.
    pub levels: Vec<i16>,
}

impl Symbols {
    pub fn new(kind: Kind, colour: bool, step: u8, columns: usize, rows: usize) -> Self {
        let blocks = vec![Block::default(); columns * rows];
        let levels = vec![0; blocks.len() * CELLS * CELL];
        Symbols { kind, colour, step, columns, blocks, levels }
    }

    /// Blocks without latents that move as their neighbours predict need not say more. What is skipped has no step of its own.
    pub fn skip_empty(&mut self) {
        for index in 0..self.blocks.len() {
            let block = self.blocks[index];
            let empty = || self.levels[index * CELLS * CELL..][..CELLS * CELL].iter().all(|level| *level == 0);
            let foretold = || block.vectors[0] == predict_vector(&self.blocks, self.columns, index);
            if block.mode == Mode::Skip || block.mode == Mode::Inter && block.second.is_none() && empty() && foretold()
            {
                self.blocks[index] = Block { mode: Mode::Skip, step: 0, ..block };
            }
        }
    }

    pub fn rows(&self) -> usize {
        self.blocks.len() / self.columns
    }

    pub fn cell(&self, block: usize, cell: usize) -> &[i16] {
        &self.levels[(block * CELLS + cell) * CELL..][..CELL]
    }

    pub fn cell_mut(&mut self, block: usize, cell: usize) -> &mut [i16] {
        &mut self.levels[(block * CELLS + cell) * CELL..][..CELL]
    }
}

/// The vector that the neighbours of a block predict, from blocks already coded: the median of left, above, and above
/// right (above left at the right edge), in the way of H.264 (clause 8.4.1.3). What lies outside or is flat counts as zero
/// motion, except that the left one alone counts in the first row.
pub fn predict_vector(blocks: &[Block], columns: usize, index: usize) -> Vector {
    let (row, column) = (index / columns, index % columns);
    let of = |index: usize, quarter: usize| blocks[index].vectors[quarter];
    let left = if column > 0 { of(index - 1, 1) } else { Vector::default() };
    if row == 0 {
        return left;
    }
    let above = of(index - columns, 2);
    let corner = if column + 1 < columns {
        of(index - columns + 1, 2)
    } else if column > 0 {
        of(index - columns - 1, 3)
    } else {
        Vector::default()
    };
    let median = |a: i16, b: i16, c: i16| a.max(b).min(a.min(b).max(c));
    Vector { x: median(left.x, above.x, corner.x), y: median(left.y, above.y, corner.y) }
}

/// The second vector that is expected of a block: that of a neighbour, else the way of its first one once more.
pub fn predict_second(blocks: &[Block], columns: usize, index: usize, first: Vector) -> Vector {
    let (row, column) = (index / columns, index % columns);
    let of = |there: bool, back: usize| if there { blocks[index - back].second } else { None };
    let known =
        of(column > 0, 1).or(of(row > 0, columns)).or(of(row > 0 && column + 1 < columns, columns.wrapping_sub(1)));
    let twice = |part: i16| part.saturating_mul(2).clamp(-VECTOR_MAX, VECTOR_MAX);
    known.unwrap_or(Vector { x: twice(first.x), y: twice(first.y) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predicted_vector_is_the_median_of_three() {
        let mut symbols = Symbols::new(Kind::Inter, true, 40, 3, 2);
        let set = |block: &mut Block, x: i16, y: i16| block.vectors = [Vector { x, y }; 4];
        set(&mut symbols.blocks[0], 1, 9);
        set(&mut symbols.blocks[1], 5, -4);
        set(&mut symbols.blocks[2], 3, 2);
        set(&mut symbols.blocks[3], 4, 4);
        assert_eq!(predict_vector(&symbols.blocks, 3, 0), Vector::default());
        assert_eq!(predict_vector(&symbols.blocks, 3, 1), Vector { x: 1, y: 9 });
        assert_eq!(predict_vector(&symbols.blocks, 3, 4), Vector { x: 4, y: 2 });
        assert_eq!(predict_vector(&symbols.blocks, 3, 5), Vector { x: 3, y: 0 }, "left is zero, above 3, corner 5");
    }

    #[test]
    fn the_second_vector_is_a_neighbours_or_twice_the_first() {
        let mut symbols = Symbols::new(Kind::Inter, true, 40, 3, 2);
        let (first, own) = (Vector { x: 3, y: -1500 }, |x| Some(Vector { x, y: 0 }));
        let expected = |symbols: &Symbols, index| predict_second(&symbols.blocks, 3, index, first);
        assert_eq!(expected(&symbols, 4), Vector { x: 6, y: -VECTOR_MAX });
        assert_eq!(expected(&symbols, 0), Vector { x: 6, y: -VECTOR_MAX });
        for (at, x) in [(2, 7), (1, 8), (3, 9)] {
            symbols.blocks[at].second = own(x);
            assert_eq!(Some(expected(&symbols, 4)), own(x), "above right, then above, then left");
        }
        symbols.blocks[1].second = None;
        assert_eq!(expected(&symbols, 3).x, 6, "what is right of the row above is not above left");
        assert_eq!(expected(&symbols, 5).x, 7);
    }

    #[test]
    fn only_what_needs_no_second_vector_is_skipped() {
        let mut symbols = Symbols::new(Kind::Inter, true, 40, 3, 1);
        symbols.blocks.iter_mut().for_each(|block| block.mode = Mode::Inter);
        symbols.blocks[1].second = Some(Vector::default());
        symbols.cell_mut(2, 3)[95] = 1;
        symbols.skip_empty();
        assert_eq!(
            symbols.blocks.iter().map(|block| block.mode).collect::<Vec<_>>(),
            [Mode::Skip, Mode::Inter, Mode::Inter]
        );
    }
}
