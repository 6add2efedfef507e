//! The rules that symbols keep, so that what is decoded is what was encoded.

use crate::codec::symbols::{
    Block, CELL, CELLS, CHROMA, Kind, LEVEL_MAX, Mode, Symbols, VECTOR_MAX, Vector, predict_vector,
};

/// Step changes are within plus and minus this.
const STEP_MAX: i8 = 31;

/// Whether a slice of `columns` x `rows` blocks can be coded. Errors name the block, and what was expected.
pub fn check(symbols: &Symbols, columns: usize, rows: usize) -> Result<(), String> {
    let count = columns * rows;
    let (blocks, levels) = (symbols.blocks.len(), symbols.levels.len());
    if symbols.columns != columns || blocks != count || levels != count * CELLS * CELL {
        let found = format!("{} columns, {blocks} blocks and {levels} latents", symbols.columns);
        return Err(format!("{found}, where {columns}, {count} and {} are expected", count * CELLS * CELL));
    }
    if symbols.step > 127 {
        return Err(format!("step index {} is above 127", symbols.step));
    }
    for (index, block) in symbols.blocks.iter().enumerate() {
        let levels = &symbols.levels[index * CELLS * CELL..][..CELLS * CELL];
        rules(symbols, index, block, levels).map_err(|rule| format!("block {index} ({:?}) {rule}", block.mode))?;
    }
    Ok(())
}

fn rules(symbols: &Symbols, index: usize, block: &Block, levels: &[i16]) -> Result<(), &'static str> {
    let [first, others @ ..] = &block.vectors;
    let same = others.iter().all(|vector| vector == first);
    let zero = levels.iter().fold(0, |any, level| any | level) == 0;
    let fits = |part: i16| (-VECTOR_MAX..=VECTOR_MAX).contains(&part);
    if !block.vectors.iter().all(|vector| fits(vector.x) && fits(vector.y)) {
        return Err("has a vector beyond plus and minus 2047");
    }
    if !(-STEP_MAX..=STEP_MAX).contains(&block.step) {
        return Err("changes the step by more than 31");
    }
    if levels.iter().fold(false, |any, &level| any | !(-LEVEL_MAX..=LEVEL_MAX).contains(&level)) {
        return Err("has a latent beyond plus and minus 2047");
    }
    if !symbols.colour && levels.chunks_exact(CELL).any(|cell| cell[CHROMA[0]..].iter().any(|&level| level != 0)) {
        return Err("has colour in a picture without");
    }
    if symbols.kind == Kind::Intra && block.mode != Mode::Flat {
        return Err("is predicted in a picture that refers to nothing");
    }
    if let Some(vector) = block.second {
        if !matches!(block.mode, Mode::Inter | Mode::Split) {
            return Err("has a second vector");
        }
        if !fits(vector.x) || !fits(vector.y) {
            return Err("has a second vector beyond plus and minus 2047");
        }
    }
    match block.mode {
        Mode::Skip if !same || *first != predict_vector(&symbols.blocks, symbols.columns, index) => {
            Err("has not the vector that its neighbours predict")
        }
        Mode::Skip if !zero => Err("has latents"),
        Mode::Skip if block.step != 0 => Err("has a step"),
        Mode::Inter if !same => Err("has more than one vector"),
        Mode::Flat if !same || *first != Vector::default() => Err("has a vector"),
        _ => Ok(()),
    }
}
