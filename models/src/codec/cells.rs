//! Pictures and latents as the networks take and give them, cell by cell, each in one pass. What it comes to is what
//! [`Stage::analyse`] and [`Stage::correct`] compute of tensors, with gradients, several passes each.

use gst_torch_runtime::planes::{Element, numbers, numbers_mut};
use half::bf16;
use multiversion::multiversion;
use tch::{Device, Kind, TchError, Tensor};

use super::exact::{ACTIVATION_MAX, CORRECTION_MAX};
use super::network::Stage;
use super::picture::Picture;
use super::symbols::{Block, CELL, CELLS, Symbols};
use super::transform::{Cell, Tables};

type Result<T> = std::result::Result<T, TchError>;

const ACTIVATION: f32 = ACTIVATION_MAX as f32;
const CORRECTION: f32 = CORRECTION_MAX as f32;

/// Latents of a picture in units of their steps, not rounded, as in `Symbols::levels`. `prediction` is grey for intra pictures,
/// `indices` are the step indices of the blocks. The network runs in `kind`, fp32 or bf16.
pub fn analyse(
    stage: &Stage,
    tables: &Tables,
    canvas: &Picture,
    prediction: &Picture,
    indices: &[u8],
    kind: Kind,
) -> Result<Vec<f32>> {
    let (columns, rows) = canvas.blocks();
    let count = indices.len() * CELLS;
    let mut residual = Tensor::f_zeros([count as i64, CELL as i64], (Kind::Float, Device::Cpu))?;
    subtract(canvas, prediction, numbers_mut(&mut residual).map_err(torch)?);
    let (predicted, parts) = if stage.inter() { (Some(prediction), 2) } else { (None, 1) };
    let (size, channels) = ([rows * 2, columns * 2], parts * CELL + 1);
    let input = match kind {
        Kind::BFloat16 => map::<bf16>(size, channels, |out| fill_analysis(canvas, predicted, indices, out)),
        _ => map::<f32>(size, channels, |out| fill_analysis(canvas, predicted, indices, out)),
    }?;
    let linear = stage.transform(&residual.f_to_device(stage.device())?)?.f_to_device(Device::Cpu)?;
    let moves = by_place(&stage.moves(&input.f_to_device(stage.device())?)?)?;
    let mut soft = vec![0.0; count * CELL];
    let (linear, moves) = (numbers::<f32>(&linear).map_err(torch)?, numbers::<f32>(&moves).map_err(torch)?);
    for (block, cells) in soft.chunks_exact_mut(CELLS * CELL).enumerate() {
        let steps = tables.steps(indices[block]);
        for (cell, soft) in cells.chunks_exact_mut(CELL).enumerate() {
            let from = raster(block, cell, columns) * CELL;
            let parts = linear[from..][..CELL].iter().zip(&moves[from..][..CELL]).zip(steps);
            for (soft, ((linear, moves), step)) in soft.iter_mut().zip(parts) {
                *soft = linear * 16.0 / *step as f32 + moves;
            }
        }
    }
    Ok(soft)
}

/// The correction of a picture, cell by cell, row by row; zero in blocks that are not corrected. `linear` is the linear picture,
/// the others are as those of [`analyse`].
pub fn correct(
    stage: &Stage,
    linear: &Picture,
    prediction: &Picture,
    slices: &[Symbols],
    indices: &[u8],
    kind: Kind,
) -> Result<Vec<Cell>> {
    let (columns, rows) = linear.blocks();
    let levels: Vec<&[i16]> = slices.iter().flat_map(|slice| slice.levels.chunks_exact(CELLS * CELL)).collect();
    let (predicted, parts) = if stage.inter() { (Some(prediction), 3) } else { (None, 2) };
    let (size, channels) = ([rows * 2, columns * 2], parts * CELL + 1);
    let input = match kind {
        Kind::BFloat16 => map::<bf16>(size, channels, |out| fill_synthesis(linear, predicted, &levels, indices, out)),
        _ => map::<f32>(size, channels, |out| fill_synthesis(linear, predicted, &levels, indices, out)),
    }?;
    let corrections = by_place(&stage.correction(&input.f_to_device(stage.device())?)?)?;
    let corrections = numbers::<f32>(&corrections).map_err(torch)?;
    let mut cells = vec![[0; CELL]; indices.len() * CELLS];
    let blocks = slices.iter().flat_map(|slice| &slice.blocks).enumerate();
    for (block, _) in blocks.filter(|(_, block)| Block::is_corrected(block)) {
        for at in (0..CELLS).map(|cell| raster(block, cell, columns)) {
            let values = &corrections[at * CELL..][..CELL];
            cells[at].iter_mut().zip(values).for_each(|(cell, &value)| *cell = correction(value));
        }
    }
    Ok(cells)
}

/// What a network says as a correction: it is a whole number already.
pub(super) fn correction(value: f32) -> i16 {
    value.clamp(-CORRECTION, CORRECTION) as i16
}

/// Where a cell of a block is, row by row of cells.
pub(super) fn raster(block: usize, cell: usize, columns: usize) -> usize {
    let (x, y) = (block % columns * 2 + cell % 2, block / columns * 2 + cell / 2);
    y * columns * 2 + x
}

/// A map of so many places down and across, `(1, channels, h, w)` with place after place in memory, that `fill` fills.
pub(super) fn map<T: Element>(size: [usize; 2], channels: usize, fill: impl FnOnce(&mut [T])) -> Result<Tensor> {
    let [height, width] = size.map(|side| side as i64);
    let mut map = Tensor::f_zeros([1, height, width, channels as i64], (T::KIND, Device::Cpu))?;
    fill(numbers_mut(&mut map).map_err(torch)?);
    map.f_permute([0, 3, 1, 2])
}

/// Place after place, fp32, in the memory of the CPU.
pub(super) fn by_place(map: &Tensor) -> Result<Tensor> {
    map.f_permute([0, 2, 3, 1])?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()
}

pub(super) fn torch(error: impl std::fmt::Display) -> TchError {
    TchError::Torch(error.to_string())
}

/// Samples less their prediction.
// Compiled for several sets of instructions, as the functions below; they give the same bits, as nothing is fused.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn subtract(canvas: &Picture, prediction: &Picture, out: &mut [f32]) {
    let wide = canvas.blocks().0 * 2;
    for (index, out) in out.as_chunks_mut::<CELL>().0.iter_mut().enumerate() {
        let (x, y) = (index % wide, index / wide);
        let pairs = canvas.cell(x, y).into_iter().zip(prediction.cell(x, y));
        out.iter_mut().zip(pairs).for_each(|(out, (a, b))| *out = f32::from(i16::from(a) - i16::from(b)));
    }
}

/// Samples and prediction in units of 64 levels, the index from -2 to 2.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn fill_analysis<T: Element>(canvas: &Picture, prediction: Option<&Picture>, indices: &[u8], out: &mut [T]) {
    let columns = canvas.blocks().0;
    let channels = out.len() / (indices.len() * CELLS);
    for (cell, out) in out.chunks_exact_mut(channels).enumerate() {
        let (x, y) = (cell % (columns * 2), cell / (columns * 2));
        let (parts, last) = out.as_chunks_mut::<CELL>();
        for (part, picture) in parts.iter_mut().zip([Some(canvas), prediction].into_iter().flatten()) {
            let samples = picture.cell(x, y);
            part.iter_mut().zip(samples).for_each(|(v, s)| *v = T::from_f32((f32::from(s) - 128.0) / 64.0));
        }
        last[0] = T::from_f32((f32::from(indices[y / 2 * columns + x / 2]) - 64.0) / 32.0);
    }
}

/// Samples, prediction, latents in units of 1/32, which weigh as much as a visible difference of samples, and the index from
/// -127 to 126: whole numbers that bf16 has.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn fill_synthesis<T: Element>(
    linear: &Picture,
    prediction: Option<&Picture>,
    levels: &[&[i16]],
    indices: &[u8],
    out: &mut [T],
) {
    let columns = linear.blocks().0;
    let channels = out.len() / (indices.len() * CELLS);
    let bound = |value: f32| T::from_f32(value.clamp(-ACTIVATION, ACTIVATION));
    for (cell, out) in out.chunks_exact_mut(channels).enumerate() {
        let (x, y) = (cell % (columns * 2), cell / (columns * 2));
        let block = y / 2 * columns + x / 2;
        let (parts, last) = out.as_chunks_mut::<CELL>();
        for (part, picture) in parts.iter_mut().zip([Some(linear), prediction].into_iter().flatten()) {
            let samples = picture.cell(x, y);
            part.iter_mut().zip(samples).for_each(|(v, s)| *v = bound(f32::from(s) - 128.0));
        }
        if let Some(part) = parts.last_mut() {
            let own = &levels[block][(y % 2 * 2 + x % 2) * CELL..][..CELL];
            part.iter_mut().zip(own).for_each(|(v, level)| *v = bound(f32::from(*level) * 32.0));
        }
        last[0] = bound((f32::from(indices[block]) - 64.0) * 2.0);
    }
}

#[cfg(test)]
mod tests {
    use tch::nn;

    use super::super::basis;
    use super::super::network::Config;
    use super::super::symbols::{self, Mode};
    use super::super::tensors;
    use super::super::testing::{by_cell, chance, index_map, noise};
    use super::*;

    fn stage(store: &nn::VarStore, inter: bool) -> Stage {
        let stage = Stage::new(&store.root(), Config { synthesis: [24, 2], analysis: [8, 1], ..Config::MEDIUM }, inter)
            .unwrap();
        let _guard = tch::no_grad_guard();
        for (name, mut variable) in store.variables() {
            if name.contains("synthesis") || name.contains("analysis") {
                let _ = variable.f_normal_(0.0, 0.15).unwrap();
            }
        }
        stage
    }

    fn tables(stage: &Stage) -> Tables {
        Tables::new(&stage.whole_inverse().unwrap(), &stage.whole_steps().unwrap()).unwrap()
    }

    #[test]
    fn latents_and_corrections_are_those_of_tensors() {
        tch::manual_seed(3);
        let mut next = chance();
        let (columns, rows) = (3, 5);
        let _guard = tch::no_grad_guard();
        for inter in [false, true] {
            let store = nn::VarStore::new(Device::Cpu);
            let stage = stage(&store, inter);
            let tables = tables(&stage);
            let canvas = noise(columns, rows, &mut next);
            let prediction = if inter { noise(columns, rows, &mut next) } else { Picture::grey(columns, rows) };
            // At these, steps are whole sixteenths of a level, as training does not have them elsewhere.
            let indices: Vec<u8> = (0..columns * rows).map(|_| 32 + 16 * next(6) as u8).collect();
            let map = index_map(&indices, columns);
            let [samples, predicted] = [&canvas, &prediction].map(|p| tensors::of_pictures(&[p]).unwrap());

            let steps = stage.steps(&map).unwrap();
            let soft = stage.analyse(&samples, &predicted, &map, &steps, Kind::Float).unwrap();
            let own = analyse(&stage, &tables, &canvas, &prediction, &indices, Kind::Float).unwrap();
            let soft = by_cell(&soft);
            let cells = own.chunks(CELL).enumerate();
            let pairs = cells.flat_map(|(at, own)| {
                let from = raster(at / CELLS, at % CELLS, columns) * CELL;
                own.iter().zip(&soft[from..])
            });
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3, "{worst}");
            assert!(soft.iter().fold(0.0, |most, v| v.abs().max(most)) > 5.0);

            // Two slices; some blocks are skipped.
            let mut slices = Vec::new();
            for slice in [2, 3] {
                let kind = if inter { symbols::Kind::Inter } else { symbols::Kind::Intra };
                let mut symbols = Symbols::new(kind, true, 64, columns, slice);
                symbols.levels.iter_mut().for_each(|level| *level = (next(40) - 36).max(0) as i16 - next(2) as i16);
                if inter {
                    symbols.blocks[1].mode = Mode::Skip;
                }
                slices.push(symbols);
            }
            let mut levels = vec![0.0; own.len()];
            for (at, cell) in slices.iter().flat_map(|slice| slice.levels.chunks(CELL)).enumerate() {
                let place = raster(at / CELLS, at % CELLS, columns) * CELL;
                levels[place..][..CELL].iter_mut().zip(cell).for_each(|(to, from)| *to = f32::from(*from));
            }
            let size = [1, rows as i64 * 2, columns as i64 * 2, CELL as i64];
            let levels = Tensor::from_slice(&levels).view(size).permute([0, 3, 1, 2]);
            let expected = stage.correct(&samples, &predicted, &levels, &map, Kind::Float).unwrap();
            assert!(expected.abs().max().double_value(&[]) > 100.0, "the test would prove nothing");
            let expected = by_cell(&expected);
            for kind in [Kind::Float, Kind::BFloat16] {
                let own = correct(&stage, &canvas, &prediction, &slices, &indices, kind).unwrap();
                for (at, (cell, expected)) in own.iter().zip(expected.chunks(CELL)).enumerate() {
                    let (x, y) = (at % (columns * 2) / 2, at / (columns * 2) / 2);
                    let skipped = inter && x == 1 && (y == 0 || y == 2);
                    let right = cell.iter().zip(expected).all(|(a, b)| *a == if skipped { 0 } else { *b as i16 });
                    assert!(right, "cell {at}, inter {inter}, {kind:?}");
                }
            }
        }
    }

    #[test]
    fn corrections_beyond_their_bounds_are_the_same_in_both_precisions() {
        let store = nn::VarStore::new(Device::Cpu);
        let stage = stage(&store, false);
        let _guard = tch::no_grad_guard();
        for (name, mut variable) in store.variables() {
            if name.contains("synthesis") && name.contains("weight") {
                let _ = variable.f_fill_(0.49).unwrap();
            }
        }
        let mut picture = Picture::grey(2, 2);
        picture.planes[0].data.fill(255);
        let slices = [Symbols::new(symbols::Kind::Intra, true, 64, 2, 2)];
        let run = |kind| correct(&stage, &picture, &Picture::grey(2, 2), &slices, &[64; 4], kind).unwrap();
        let (whole, half) = (run(Kind::Float), run(Kind::BFloat16));
        assert!(whole.iter().flatten().any(|v| v.abs() == 1023), "the test would prove nothing");
        assert!(whole == half);
    }

    #[test]
    fn a_cell_of_the_cosine_transform_is_its_samples() {
        // What the steps are does not matter to a residual of nothing.
        let store = nn::VarStore::new(Device::Cpu);
        let stage =
            Stage::new(&store.root(), Config { synthesis: [16, 0], analysis: [8, 0], ..Config::SMALL }, true).unwrap();
        let _guard = tch::no_grad_guard();
        let mut next = chance();
        let prediction = noise(2, 1, &mut next);
        let mut canvas = prediction.clone();
        canvas.planes[0].row_mut(9)[17] ^= 64;
        let tables = tables(&stage);
        let soft = analyse(&stage, &tables, &canvas, &prediction, &[0, 64], Kind::Float).unwrap();
        // The lower left cell of the second block: line 1, sample 1.
        let place = (CELLS + 2) * CELL;
        let sign = f32::from(canvas.planes[0].row(9)[17]) - f32::from(prediction.planes[0].row(9)[17]);
        for (at, value) in soft.iter().enumerate() {
            let expected = match at.checked_sub(place) {
                Some(k) if k < CELL => basis::cosines()[k][9] * sign * 16.0 / tables.steps(64)[k] as f32,
                _ => 0.0,
            };
            assert!((value - expected).abs() < 1e-3, "{at}: {value}, not {expected}");
        }
    }
}
