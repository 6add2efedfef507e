//! The linear part of reconstruction, in integers: `docs/bitstream.md`, section Reconstruction.

use multiversion::multiversion;

use super::picture::Picture;
use super::symbols::{CELL, CELLS, Symbols};

/// A stage's numbers as whole ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// For each latent the samples of a cell, in units of 1/4096.
    inverse: Vec<[i16; CELL]>,
    /// For each step index the step of each latent, in sixteenths of a level.
    steps: Vec<[i32; CELL]>,
}

impl Tables {
    /// `inverse` and `steps` row by row; an error where there are too few or too many.
    pub fn new(inverse: &[i16], steps: &[i32]) -> Result<Self, String> {
        let (inverse, rest) = inverse.as_chunks::<CELL>();
        let (steps, more) = steps.as_chunks::<CELL>();
        if inverse.len() != CELL || !rest.is_empty() || steps.len() != 128 || !more.is_empty() {
            return Err(format!("tables of {} and {} rows; expected {CELL} and 128", inverse.len(), steps.len()));
        }
        Ok(Tables { inverse: inverse.to_vec(), steps: steps.to_vec() })
    }

    /// Steps of the latents at a step index, in sixteenths.
    pub fn steps(&self, index: u8) -> &[i32; CELL] {
        &self.steps[usize::from(index.min(127))]
    }
}

/// Samples of a cell in sixteenths of a level.
pub type Cell = [i16; CELL];

/// The canvas in sixteenths of a level, cell by cell, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sixteenths {
    pub cells: Vec<Cell>,
    /// Cells across.
    width: usize,
}

/// Step index of a block.
pub fn block_step(step: u8, change: i8) -> u8 {
    (i16::from(step) + i16::from(change)).clamp(0, 127) as u8
}

impl Sixteenths {
    /// Zero, for a canvas of so many blocks.
    pub fn new(columns: usize, rows: usize) -> Self {
        Sixteenths { cells: vec![[0; CELL]; columns * rows * CELLS], width: columns * 2 }
    }

    /// Puts the residual of a slice, whose first row of blocks is `first_row`, in place.
    pub fn put(&mut self, tables: &Tables, symbols: &Symbols, first_row: usize) {
        for (index, block) in symbols.blocks.iter().enumerate() {
            let (row, column) = (first_row + index / symbols.columns, index % symbols.columns);
            let steps = tables.steps(block_step(symbols.step, block.step));
            for cell in 0..CELLS {
                let levels = symbols.cell(index, cell);
                let target = &mut self.cells[(row * 2 + cell / 2) * self.width + column * 2 + cell % 2];
                if levels.iter().any(|l| *l != 0) {
                    synthesise(&tables.inverse, levels, steps, target);
                } else {
                    target.fill(0);
                }
            }
        }
    }

    /// Prediction plus residual, plus what `correction` says where given, rounded.
    pub fn add_to(&self, prediction: &Picture, correction: Option<&[Cell]>, out: &mut Picture) {
        for (index, residual) in self.cells.iter().enumerate() {
            let place = (index % self.width, index / self.width);
            add(residual, correction.map(|cells| &cells[index]), prediction, place, out);
        }
    }
}

/// The samples of a cell.
// Compiled for several sets of instructions, as the functions below; they give the same, being in whole numbers.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn synthesise(inverse: &[[i16; CELL]], levels: &[i16], steps: &[i32; CELL], samples: &mut Cell) {
    let mut sums = [1 << 11; CELL];
    for (k, &level) in levels.iter().enumerate().filter(|(_, level)| **level != 0) {
        let value = (i32::from(level) * steps[k]).clamp(-32768, 32767);
        for (sum, &weight) in sums.iter_mut().zip(&inverse[k]) {
            *sum = i32::wrapping_add(*sum, i32::from(weight).wrapping_mul(value));
        }
    }
    samples.iter_mut().zip(sums).for_each(|(sample, sum)| *sample = (sum >> 12).clamp(-32768, 32767) as i16);
}

/// One cell of a picture, `x` and `y` cells into it.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn add(residual: &Cell, correction: Option<&Cell>, prediction: &Picture, (x, y): (usize, usize), out: &mut Picture) {
    let mut samples = prediction.cell(x, y);
    let zero = [0; CELL];
    let correction = correction.unwrap_or(&zero);
    for ((sample, residual), correction) in samples.iter_mut().zip(residual).zip(correction) {
        let change = i32::from(*residual) + i32::from(*correction);
        *sample = ((i32::from(*sample) * 16 + change + 8) >> 4).clamp(0, 255) as u8;
    }
    out.set_cell(x, y, &samples);
}

#[cfg(test)]
mod tests {
    use super::super::basis;
    use super::super::symbols::{CHROMA, Kind, Mode};
    use super::*;

    fn tables() -> Tables {
        let inverse: Vec<i16> = basis::cosines().as_flattened().iter().map(|v| (v * 4096.0).round() as i16).collect();
        Tables::new(&inverse, &vec![160; 128 * CELL]).unwrap()
    }

    #[test]
    fn one_latent_is_its_wave() {
        let mut symbols = Symbols::new(Kind::Inter, true, 5, 2, 1);
        symbols.blocks[0].mode = Mode::Skip;
        symbols.cell_mut(1, 2)[0] = 8; // DC: 8 steps of 10 levels, over 8 by orthonormality
        symbols.cell_mut(1, 2)[CHROMA[1]] = -4;
        let mut residual = Sixteenths::new(2, 1);
        residual.put(&tables(), &symbols, 0);
        let mut out = Picture::grey(2, 1);
        residual.add_to(&Picture::grey(2, 1), None, &mut out);
        for y in 0..16 {
            for x in 0..32 {
                let inside = y >= 8 && (16..24).contains(&x);
                assert_eq!(out.planes[0].row(y)[x], if inside { 138 } else { 128 }, "{x} {y}");
            }
        }
        assert_eq!((out.planes[2].row(4)[8], out.planes[2].row(3)[8], out.planes[1].row(4)[8]), (118, 128, 128));
    }

    #[test]
    fn hostile_latents_wrap_and_do_not_panic() {
        let mut symbols = Symbols::new(Kind::Intra, true, 127, 1, 1);
        symbols.levels.fill(i16::MAX);
        symbols.blocks[0].step = 127;
        let tables = Tables::new(&[i16::MAX; CELL * CELL], &vec![i32::from(i16::MAX); 128 * CELL]).unwrap();
        let mut residual = Sixteenths::new(1, 1);
        residual.put(&tables, &symbols, 0);
        residual.add_to(&Picture::grey(1, 1), Some(&residual.cells.clone()), &mut Picture::grey(1, 1));
        assert!(Tables::new(&[0; 5], &[]).unwrap_err().contains("expected 96 and 128"));
    }
}
