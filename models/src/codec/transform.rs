//! The linear part of reconstruction, in integers: `docs/bitstream.md`, section Reconstruction.

use super::picture::Picture;
use super::symbols::{CELL, CELLS, CHROMA, Symbols};

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

    fn cell(&self, levels: &[i16], steps: &[i32; CELL], samples: &mut [i32; CELL]) {
        samples.fill(1 << 11);
        for (k, &level) in levels.iter().enumerate().filter(|(_, level)| **level != 0) {
            let value = (i32::from(level) * steps[k]).clamp(-32768, 32767);
            for (sum, &weight) in samples.iter_mut().zip(&self.inverse[k]) {
                *sum = sum.wrapping_add(i32::from(weight).wrapping_mul(value));
            }
        }
        samples.iter_mut().for_each(|s| *s >>= 12);
    }
}

/// Planes of the canvas, in sixteenths of a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sixteenths {
    pub planes: [Vec<i16>; 3],
    width: usize,
}

/// Step index of a block.
pub fn block_step(step: u8, change: i8) -> u8 {
    (i16::from(step) + i16::from(change)).clamp(0, 127) as u8
}

impl Sixteenths {
    /// Zero, for a canvas of so many blocks.
    pub fn new(columns: usize, rows: usize) -> Self {
        let luma = columns * rows * 256;
        Sixteenths { planes: [vec![0; luma], vec![0; luma / 4], vec![0; luma / 4]], width: columns * 16 }
    }

    /// Puts the residual of a slice, whose first row of blocks is `first_row`, in place.
    pub fn put(&mut self, tables: &Tables, symbols: &Symbols, first_row: usize) {
        let mut samples = [0; CELL];
        for (index, block) in symbols.blocks.iter().enumerate() {
            let (row, column) = (first_row + index / symbols.columns, index % symbols.columns);
            let steps = tables.steps(block_step(symbols.step, block.step));
            for cell in 0..CELLS {
                let levels = symbols.cell(index, cell);
                let (x, y) = (column * 2 + cell % 2, row * 2 + cell / 2);
                let coded = levels.iter().any(|l| *l != 0);
                if coded {
                    tables.cell(levels, steps, &mut samples);
                } else {
                    samples.fill(0);
                }
                for (plane, first, size) in [(0, 0, 8), (1, CHROMA[0], 4), (2, CHROMA[1], 4)] {
                    let width = self.width * size / 8;
                    for line in 0..size {
                        let target = &mut self.planes[plane][(y * size + line) * width + x * size..][..size];
                        let source = &samples[first + line * size..][..size];
                        target.iter_mut().zip(source).for_each(|(t, s)| *t = (*s).clamp(-32768, 32767) as i16);
                    }
                }
            }
        }
    }

    /// Prediction plus residual, plus what `correction` says where given, rounded.
    pub fn add_to(&self, prediction: &Picture, correction: Option<&[Vec<i16>; 3]>, out: &mut Picture) {
        for index in 0..3 {
            let target = &mut out.planes[index].data;
            let both = prediction.planes[index].data.iter().zip(&self.planes[index]);
            let sum = |p: u8, r: i32| ((i32::from(p) * 16 + r + 8) >> 4).clamp(0, 255) as u8;
            match correction {
                None => target.iter_mut().zip(both).for_each(|(t, (p, r))| *t = sum(*p, i32::from(*r))),
                Some(planes) => {
                    for ((t, (p, r)), c) in target.iter_mut().zip(both).zip(&planes[index]) {
                        *t = sum(*p, i32::from(*r) + i32::from(*c));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::basis;
    use super::super::symbols::{Kind, Mode};
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
        residual.add_to(&Picture::grey(1, 1), Some(&residual.planes.clone()), &mut Picture::grey(1, 1));
        assert!(Tables::new(&[0; 5], &[]).unwrap_err().contains("expected 96 and 128"));
    }
}
