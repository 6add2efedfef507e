//! Symbols of a slice into bytes, and back.

use std::sync::Arc;

use super::blocks;
use super::edges::{Around, Edges};
use super::levels;
use super::mixing::Visitor;
use super::near::Near;
use super::prior::Prior;
use super::range::{Bits, Decoder, Encoder};
use super::steps::{Steps, power};
use crate::codec::symbols::{Block, CELL, CELLS, CHROMA, Kind, LEVEL_MAX, Mode, Symbols, VECTOR_MAX};

/// Bytes that no encoder wrote for a slice like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entropy-coded bytes are damaged, or of another slice")]
pub struct Damage;

/// Everything that adapts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Models {
    blocks: blocks::Models,
    /// Luma and chroma of blocks that are predicted from the picture before, then of those that are not.
    levels: [levels::Models; 4],
}

impl Models {
    pub fn new() -> Self {
        let levels = [(true, false), (false, false), (true, true), (false, true)];
        Models { blocks: blocks::Models::new(), levels: levels.map(|(luma, flat)| levels::Models::new(luma, flat)) }
    }

    pub fn visit(&mut self, visitor: &mut dyn Visitor) {
        self.blocks.visit(visitor);
        self.levels.iter_mut().for_each(|models| models.visit(visitor));
    }
}

/// The adaptive state of one slice of a stream. The encoder's and the decoder's go through the same changes, picture by
/// picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coder {
    columns: usize,
    rows: usize,
    steps: Arc<Steps>,
    fresh: Arc<Models>,
    models: Models,
    /// The picture before: its blocks, and by cell the step indices, magnitudes as in `Symbols::levels`, and the ends.
    blocks: Vec<Block>,
    indices: Vec<u8>,
    magnitudes: Vec<u8>,
    ends: Vec<[u8; 3]>,
}

/// Where latents are read from and written to.
pub(super) trait Levels {
    fn cell(&self, at: usize) -> &[i16];
    fn set(&mut self, at: usize, cell: &[i16; CELL]);
}

impl Levels for &[i16] {
    fn cell(&self, at: usize) -> &[i16] {
        &self[at..at + CELL]
    }

    fn set(&mut self, _: usize, _: &[i16; CELL]) {}
}

impl Levels for &mut [i16] {
    fn cell(&self, at: usize) -> &[i16] {
        &self[at..at + CELL]
    }

    fn set(&mut self, at: usize, cell: &[i16; CELL]) {
        self[at..at + CELL].copy_from_slice(cell);
    }
}

/// What a row of cells leaves for the next, by column and part, with a margin of one on each side.
struct Row {
    ends: Vec<[u8; 3]>,
    /// Sixteenths of a unit.
    means: Vec<[i32; 3]>,
    misses: Vec<[i32; 3]>,
    bottoms: Vec<[Option<[i32; 8]>; 3]>,
    indices: Vec<u8>,
}

impl Row {
    fn new(columns: usize, index: u8) -> Self {
        let count = columns + 2;
        Row {
            ends: vec![[0; 3]; count],
            means: vec![[0; 3]; count],
            misses: vec![[0; 3]; count],
            bottoms: vec![[None; 3]; count],
            indices: vec![index; count],
        }
    }
}

static OUTSIDE: [i16; CELL] = [0; CELL];
const PARTS: [(usize, usize); 3] = [(0, CHROMA[0]), (CHROMA[0], CHROMA[1]), (CHROMA[1], CELL)];
const UNSEEN: Block = blocks::NONE;

impl Coder {
    /// For slices of `columns` x `rows` blocks.
    pub fn new(columns: usize, rows: usize, prior: &Prior, steps: Arc<Steps>) -> Self {
        let fresh = Arc::new(prior.models());
        let count = columns * rows;
        Coder {
            columns,
            rows,
            steps,
            models: (*fresh).clone(),
            fresh,
            blocks: vec![UNSEEN; count],
            indices: vec![0; count],
            magnitudes: vec![0; count * CELLS * CELL],
            ends: vec![[0; 3]; count * CELLS],
        }
    }

    /// Back to the prior, as at each key frame and after damage.
    pub fn reset(&mut self) {
        self.models.clone_from(&self.fresh);
        self.forget();
    }

    /// As if nothing had been coded before, but with what was learnt: to train a prior on one clip after another.
    pub fn forget(&mut self) {
        self.blocks.fill(UNSEEN);
        self.indices.fill(0);
        self.magnitudes.fill(0);
        self.ends.fill([0; 3]);
    }

    /// What was learnt until now, for others to begin with.
    pub fn prior(&self) -> Prior {
        Prior::of(&self.models)
    }

    /// Fails where symbols are not of this geometry or break a rule of [`Symbols`]; the state is as before then.
    pub fn encode(&mut self, symbols: &Symbols) -> Result<Vec<u8>, String> {
        super::check::check(symbols, self.columns, self.rows)?;
        let mut encoder = Encoder::new();
        let mut blocks = symbols.blocks.clone();
        let coded =
            self.code(&mut encoder, symbols.kind, symbols.colour, symbols.step, &mut blocks, &symbols.levels[..]);
        coded.map_err(|damage| damage.to_string())?;
        Ok(encoder.finish())
    }

    /// After an error the state is of no use until it is reset.
    pub fn decode(&mut self, kind: Kind, colour: bool, step: u8, bytes: &[u8]) -> Result<Symbols, Damage> {
        let mut symbols = Symbols::new(kind, colour, step, self.columns, self.rows);
        let mut decoder = Decoder::new(bytes);
        self.code(&mut decoder, kind, colour, step, &mut symbols.blocks, &mut symbols.levels[..])?;
        Ok(symbols)
    }

    /// Codes to or from any bits; tests measure with it.
    pub(super) fn code<B: Bits>(
        &mut self,
        bits: &mut B,
        kind: Kind,
        colour: bool,
        step: u8,
        blocks: &mut [Block],
        levels: impl Levels,
    ) -> Result<(), Damage> {
        let class = usize::from(step.min(127)) / 16;
        for index in 0..blocks.len() {
            let before = self.blocks[index];
            self.models.blocks.code(bits, blocks, self.columns, index, &before, kind == Kind::Intra, class);
            let block = &blocks[index];
            let near =
                block.vectors.iter().chain(&block.second).all(|v| v.x.abs() <= VECTOR_MAX && v.y.abs() <= VECTOR_MAX);
            if !near || block.step.abs() > 31 || bits.starved() {
                return Err(Damage);
            }
        }
        self.levels(bits, blocks, if colour { 3 } else { 1 }, step, levels)?;
        self.blocks.copy_from_slice(blocks);
        Ok(())
    }

    fn levels<B: Bits>(
        &mut self,
        bits: &mut B,
        blocks: &[Block],
        parts: usize,
        step: u8,
        mut levels: impl Levels,
    ) -> Result<(), Damage> {
        let (wide, high) = (2 * self.columns, 2 * self.rows);
        let [mut row, mut last] = [Row::new(wide, step), Row::new(wide, step)];
        for y in 0..high {
            std::mem::swap(&mut row, &mut last);
            let mut rights = [None; 3];
            for x in 0..wide {
                let index = y / 2 * self.columns + x / 2;
                let cell = index * CELLS + y % 2 * 2 + x % 2;
                let block = &blocks[index];
                let flat = block.mode == Mode::Flat;
                let own_index = (i32::from(step) + i32::from(block.step)).clamp(0, 127) as u8;
                let mut ends = [0; 3];
                let (mut means, mut misses) = ([0; 3], [0; 3]);
                let mut bottoms = [None; 3];
                if block.mode != Mode::Skip {
                    let mut own = [0i16; CELL];
                    if !B::READS {
                        own.copy_from_slice(levels.cell(cell * CELL));
                    }
                    let columns = self.columns;
                    let place = |x: usize, y: usize| ((y / 2 * columns + x / 2) * CELLS + y % 2 * 2 + x % 2) * CELL;
                    let at = |there: bool, x: usize, y: usize| if there { levels.cell(place(x, y)) } else { &OUTSIDE };
                    let (back, up) = (x.wrapping_sub(1), y.wrapping_sub(1));
                    let left = at(x > 0, back, y);
                    let above = at(y > 0, x, up);
                    let corner = at(x > 0 && y > 0, back, up);
                    let right = at(x + 1 < wide && y > 0, x + 1, up);
                    let indices = [row.indices[x], last.indices[x + 1], last.indices[x], last.indices[x + 2]];
                    let indices = [indices[0], indices[1], indices[2], indices[3], self.indices[index]];
                    // Almost always all steps are the same.
                    let scales = match indices == [own_index; 5] {
                        true => [64; 5],
                        false => indices
                            .map(|other| (power(i32::from(other) - i32::from(own_index)) as u32 / 4).clamp(1, 1024)),
                    };
                    let (sizes, inverse) = self.steps.at(i32::from(own_index));
                    for part in 0..parts {
                        let (from, to) = PARTS[part];
                        let (known, fresh) = own.split_at_mut(from);
                        let near = Near {
                            left: &left[from..to],
                            above: &above[from..to],
                            corner: &corner[from..to],
                            right: &right[from..to],
                            before: &self.magnitudes[cell * CELL..][from..to],
                            scales,
                            ends: [
                                row.ends[x][part],
                                last.ends[x + 1][part],
                                last.ends[x][part],
                                last.ends[x + 2][part],
                                self.ends[cell][part],
                            ],
                            other: if part == 2 { &known[CHROMA[0]..] } else { known },
                            other_end: if part == 0 { 0 } else { ends[part - 1] },
                            other_miss: if part == 0 { 0 } else { misses[part - 1] },
                            misses: [row.misses[x][part], last.misses[x + 1][part]],
                            means: [row.means[x][part], last.means[x + 1][part], last.means[x][part]],
                            around: Around { above: last.bottoms[x + 1][part], left: rights[part] },
                            steps: &sizes[from..to],
                            inverse: &inverse[from..to],
                            step: usize::from(own_index) / 16,
                            part,
                            mode: block.mode as usize,
                        };
                        let mut edges = Edges::default();
                        let models = &mut self.models.levels[usize::from(flat) * 2 + part.min(1)];
                        (ends[part], misses[part]) = models.code(bits, &mut fresh[..to - from], &near, &mut edges);
                        rights[part] = flat.then_some(edges.right);
                        bottoms[part] = flat.then_some(edges.bottom);
                        if flat {
                            means[part] = i32::from(fresh[0]) * sizes[from];
                        }
                    }
                    if B::READS {
                        if bits.starved() || own.iter().any(|level| level.abs() > LEVEL_MAX) {
                            return Err(Damage);
                        }
                        levels.set(cell * CELL, &own);
                    }
                    for (magnitude, level) in self.magnitudes[cell * CELL..][..CELL].iter_mut().zip(&own) {
                        *magnitude = level.unsigned_abs().min(255) as u8;
                    }
                } else {
                    if self.blocks[index].mode != Mode::Skip {
                        self.magnitudes[cell * CELL..][..CELL].fill(0);
                    }
                    rights = [None; 3];
                }
                self.ends[cell] = ends;
                row.ends[x + 1] = ends;
                row.means[x + 1] = means;
                row.misses[x + 1] = misses;
                row.bottoms[x + 1] = bottoms;
                row.indices[x + 1] = own_index;
            }
        }
        for (index, block) in self.indices.iter_mut().zip(blocks) {
            *index = (i32::from(step) + i32::from(block.step)).clamp(0, 127) as u8;
        }
        Ok(())
    }
}
