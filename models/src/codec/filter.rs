//! The in-loop filter: the last network of a decoder, whose outcome is the picture and what the next one is predicted from.
//!
//! Synthesis sees a picture cell by cell, 8x8 luma samples at once, in sight of the latents. The filter sees what came of it at
//! four times the resolution, *square* by square: 2x2 luma samples and the one of U and V that go with them. What cells and
//! their rounding did wrong it can tell from the picture, and what it learns of one place holds for all sixteen of a cell;
//! with larger squares there is hardly anything that it learns. It is exact, as synthesis is: see [`super::exact`]. After Park
//! and Kim, "CNN-based in-loop filtering for coding efficiency improvement", IVMSP 2016.

use gst_torch_runtime::planes::{Element, channels_last, numbers};
use multiversion::multiversion;
use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use super::cells::{by_place, correction, map, raster, torch};
use super::exact::{ACTIVATION_MAX, Ends, ExactNetwork, bound};
use super::network;
use super::picture::{Picture, Plane};
use super::symbols::{Block, CELLS, CHROMA, Symbols};
use super::transform::Cell;

/// Samples of a square: 4 of Y, row by row, then U, then V.
const SQUARE: usize = 6;
const SQUARES: i64 = SQUARE as i64;
/// Squares across and down a cell.
const ACROSS: usize = 4;

/// Samples are told by how many of these they are above what the picture has on average in the 3x3 squares about. Their
/// brightness is twenty times what is to be seen in them, and whole numbers within [`ACTIVATION_MAX`] are few.
const DETAIL: i16 = 2;

/// The filter of one kind of picture.
pub struct Filter {
    /// Whether there is a prediction.
    inter: bool,
    pub(super) network: ExactNetwork,
}

impl Filter {
    /// Of so many channels and residual blocks.
    pub(super) fn new(path: &Path, inter: bool, size: [i64; 2]) -> Result<Self, TchError> {
        let ends = Ends { inputs: inputs(inter), outputs: SQUARES, side: 3, deviation: 0.1, rectified: true };
        Ok(Filter { inter, network: ExactNetwork::new(path, ends, size)? })
    }

    pub(super) fn share(&self) -> Self {
        Filter { inter: self.inter, network: self.network.share() }
    }

    /// What it says, not within its bounds yet: a forward pass alone. The input is `(1, 13, h, w)`, of intra pictures
    /// `(1, 7, h, w)`: whole numbers, see [`Filter::correct`].
    pub fn correction(&self, input: &Tensor) -> Result<Tensor, TchError> {
        self.network.forward(input)
    }

    /// Multiplications a luma sample.
    pub(super) fn macs(inter: bool, [channels, blocks]: [i64; 2]) -> f64 {
        (channels * 9 * (inputs(inter) + blocks * 2 * channels + SQUARES)) as f64 / 4.0
    }

    /// What it adds to a picture, in sixteenths of a level, cell by cell as all of it: `picture` are whole samples less 128, as
    /// `prediction`, `index` the step indices. `kind` is fp32 or bf16, which give the same.
    pub fn correct(
        &self,
        picture: &Tensor,
        prediction: &Tensor,
        index: &Tensor,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        let picture = to_squares(picture)?;
        let means = tch::no_grad(|| means(&picture))?;
        let detail = |squares: &Tensor| {
            bound(&squares.f_sub(&means)?.f_mul_scalar(f64::from(DETAIL))?, -ACTIVATION_MAX, ACTIVATION_MAX)
        };
        let (_, _, height, width) = index.size4()?;
        let squares = [height, width].map(|cells| cells * ACROSS as i64);
        let index = network::index_input(index)?.f_upsample_nearest2d(squares, None, None)?;
        let input = if self.inter {
            Tensor::f_cat(&[&detail(&picture)?, &index, &detail(&to_squares(prediction)?)?], 1)?
        } else {
            Tensor::f_cat(&[&detail(&picture)?, &index], 1)?
        };
        of_squares(&self.network.correct(&channels_last(&input.f_to_kind(kind)?)?)?)
    }

    /// The same of a picture, added to `corrections`, cell by cell, row by row, in blocks that are corrected at all. `indices` are
    /// the step indices of the blocks.
    pub fn add(
        &self,
        picture: &Picture,
        prediction: &Picture,
        slices: &[Symbols],
        indices: &[u8],
        kind: Kind,
        corrections: &mut [Cell],
    ) -> Result<(), TchError> {
        let (columns, rows) = picture.blocks();
        let predicted = self.inter.then_some(prediction);
        let (size, channels) = ([rows, columns].map(|blocks| blocks * 2 * ACROSS), inputs(self.inter) as usize);
        let input = match kind {
            Kind::BFloat16 => map(size, channels, |out| fill::<half::bf16>(picture, predicted, indices, out)),
            _ => map(size, channels, |out| fill::<f32>(picture, predicted, indices, out)),
        }?;
        let device = self.network.device();
        let said = by_place(&self.correction(&input.f_to_device(device)?)?)?;
        let said = numbers::<f32>(&said).map_err(torch)?;
        let blocks = slices.iter().flat_map(|slice| &slice.blocks).enumerate();
        for (block, _) in blocks.filter(|(_, block)| Block::is_corrected(block)) {
            for at in (0..CELLS).map(|cell| raster(block, cell, columns)) {
                let (x, y) = (at % (columns * 2), at / (columns * 2));
                for (row, column) in (0..ACROSS * ACROSS).map(|i| (i / ACROSS, i % ACROSS)) {
                    let square = (y * ACROSS + row) * columns * 2 * ACROSS + x * ACROSS + column;
                    let values = &said[square * SQUARE..][..SQUARE];
                    for (place, &value) in places(row, column).into_iter().zip(values) {
                        corrections[at][place] += correction(value);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Channels that it sees: the picture, the step index, and the prediction where there is one.
fn inputs(inter: bool) -> i64 {
    SQUARES + 1 + if inter { SQUARES } else { 0 }
}

/// Where the samples of a square are in its cell.
fn places(row: usize, column: usize) -> [usize; SQUARE] {
    let luma = row * 2 * 8 + column * 2;
    let [u, v] = CHROMA.map(|first| first + row * 4 + column);
    [luma, luma + 1, luma + 8, luma + 9, u, v]
}

/// Squares `(N, 6, 4h, 4w)` of cells `(N, 96, h, w)`.
fn to_squares(cells: &Tensor) -> Result<Tensor, TchError> {
    let [y, u, v] = network::planes(cells)?;
    Tensor::f_cat(&[y.f_pixel_unshuffle(2)?, u, v], 1)
}

/// The inverse of [`to_squares`].
fn of_squares(squares: &Tensor) -> Result<Tensor, TchError> {
    let parts = squares.f_split_with_sizes([4, 1, 1], 1)?;
    network::cells(&[parts[0].f_pixel_shuffle(2)?, parts[1].shallow_clone(), parts[2].shallow_clone()])
}

/// Means of Y, U and V in the 3x3 squares about each square `(N, 6, h, w)`, rounded, those of Y four times; borders repeat.
fn means(squares: &Tensor) -> Result<Tensor, TchError> {
    let parts = squares.f_detach()?.f_split_with_sizes([4, 1, 1], 1)?;
    let mean = |plane: &Tensor| {
        let count = 9 * plane.size()[1];
        let sums = plane.f_sum_dim_intlist(&[1i64][..], true, Kind::Float)?.f_replication_pad2d([1, 1, 1, 1])?;
        // Whole numbers until they are divided, so that rounding is that of whole numbers.
        let sums = sums.f_avg_pool2d([3, 3], [1, 1], [0, 0], false, false, 1)?;
        sums.f_mul_scalar(2.0)?.f_add_scalar(count as f64)?.f_div_scalar(2.0 * count as f64)?.f_floor()
    };
    let [y, u, v] = [mean(&parts[0])?, mean(&parts[1])?, mean(&parts[2])?];
    Tensor::f_cat(&[&y, &y, &y, &y, &u, &v], 1)
}

/// The same of a picture, those of Y once.
fn whole_means(picture: &Picture) -> [Vec<i16>; 3] {
    let [luma, u, v] = &picture.planes;
    let squares = (0..u.height).flat_map(|y| {
        let rows = luma.row(y * 2).as_chunks().0.iter().zip(luma.row(y * 2 + 1).as_chunks().0);
        rows.map(|(&[a, b], &[c, d])| [a, b, c, d].map(u16::from).into_iter().sum())
    });
    let squares: Vec<u16> = squares.collect();
    let chroma = |plane: &Plane| blurred(&plane.data.iter().map(|s| u16::from(*s)).collect::<Vec<_>>(), u.width, 9);
    [blurred(&squares, u.width, 36), chroma(u), chroma(v)]
}

/// Sums of 3x3 numbers divided by `count`, rounded; borders repeat.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn blurred(numbers: &[u16], width: usize, count: u16) -> Vec<i16> {
    let height = numbers.len() / width;
    let row = |y: usize| &numbers[y * width..][..width];
    let mut out = vec![0; numbers.len()];
    let mut sums = vec![0; width + 2];
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        let rows = row(y.saturating_sub(1)).iter().zip(row(y)).zip(row((y + 1).min(height - 1)));
        sums[1..].iter_mut().zip(rows).for_each(|(sum, ((a, b), c))| *sum = a + b + c);
        (sums[0], sums[width + 1]) = (sums[1], sums[width]);
        let around = sums.iter().zip(&sums[1..]).zip(&sums[2..]);
        out.iter_mut()
            .zip(around)
            .for_each(|(out, ((a, b), c))| *out = ((2 * (a + b + c) + count) / (2 * count)) as i16);
    }
    out
}

/// Detail of samples, the index from -127 to 126, and detail of the prediction: whole numbers that bf16 has.
// Compiled for several sets of instructions, as the one above; they give the same bits.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn fill<T: Element>(picture: &Picture, prediction: Option<&Picture>, indices: &[u8], out: &mut [T]) {
    let (columns, width) = (picture.blocks().0, picture.planes[1].width);
    let channels = out.len() / picture.planes[1].data.len();
    let means = whole_means(picture);
    let bound = |value: i16| T::from_f32(value.clamp(-(ACTIVATION_MAX as i16), ACTIVATION_MAX as i16).into());
    for (y, out) in out.chunks_exact_mut(width * channels).enumerate() {
        let means = [0, 1, 2].map(|plane| &means[plane][y * width..][..width]);
        let pictures = [Some(picture), prediction].into_iter().flatten();
        for (first, picture) in [0, SQUARE + 1].into_iter().zip(pictures) {
            let [luma, u, v] = &picture.planes;
            let (above, below) = (luma.row(y * 2).as_chunks().0, luma.row(y * 2 + 1).as_chunks().0);
            let rows = above.iter().zip(below).zip(u.row(y).iter().zip(v.row(y)));
            for (x, ((&[a, b], &[c, d]), (&u, &v))) in rows.enumerate() {
                let [of_y, of_u, of_v] = means.map(|row| row[x]);
                let detail = [(a, of_y), (b, of_y), (c, of_y), (d, of_y), (u, of_u), (v, of_v)];
                let out = &mut out[x * channels + first..][..SQUARE];
                out.iter_mut().zip(detail).for_each(|(to, (s, mean))| *to = bound((i16::from(s) - mean) * DETAIL));
            }
        }
        for (x, out) in out.chunks_exact_mut(channels).enumerate() {
            out[SQUARE] = bound((i16::from(indices[y / 8 * columns + x / 8]) - 64) * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, nn};

    use super::super::exact::CORRECTION_MAX;
    use super::super::symbols::{self, CELL, Mode};
    use super::super::tensors;
    use super::super::testing::{by_cell, chance, index_map, noise};
    use super::*;

    #[test]
    fn corrections_are_those_of_tensors_in_both_precisions_and_none_in_blocks_that_rest() {
        tch::manual_seed(5);
        let (columns, rows, mut next) = (3, 2, chance());
        let _guard = tch::no_grad_guard();
        for inter in [false, true] {
            let store = nn::VarStore::new(Device::Cpu);
            let filter = Filter::new(&store.root(), inter, [16, 1]).unwrap();
            for (_, mut variable) in store.variables() {
                let _ = variable.f_normal_(0.0, 0.15).unwrap();
            }
            let picture = noise(columns, rows, &mut next);
            let prediction = if inter { noise(columns, rows, &mut next) } else { Picture::grey(columns, rows) };
            let indices: Vec<u8> = (0..columns * rows).map(|i| 40 + 7 * i as u8).collect();
            let index = index_map(&indices, columns);
            let [samples, predicted] = [&picture, &prediction].map(|p| tensors::of_pictures(&[p]).unwrap());
            let expected = filter.correct(&samples, &predicted, &index, Kind::Float).unwrap();
            assert!(expected.abs().max().double_value(&[]) > 100.0, "the test would prove nothing");
            let expected = by_cell(&expected);
            let kind = if inter { symbols::Kind::Inter } else { symbols::Kind::Intra };
            let mut symbols = Symbols::new(kind, true, 64, columns, rows);
            if inter {
                symbols.blocks[4].mode = Mode::Skip;
            }
            for kind in [Kind::Float, Kind::BFloat16] {
                let mut made = vec![[3; CELL]; columns * rows * CELLS];
                let slices = std::slice::from_ref(&symbols);
                filter.add(&picture, &prediction, slices, &indices, kind, &mut made).unwrap();
                for (at, (made, expected)) in made.iter().zip(expected.chunks(CELL)).enumerate() {
                    let block = at / (columns * 4) * columns + at % (columns * 2) / 2;
                    let rests = inter && block == 4;
                    let right = made.iter().zip(expected).all(|(a, b)| *a == if rests { 3 } else { 3 + *b as i16 });
                    assert!(right, "cell {at}, inter {inter}, {kind:?}");
                }
            }
        }
    }

    #[test]
    fn it_says_no_more_than_its_bounds() {
        let store = nn::VarStore::new(Device::Cpu);
        let filter = Filter::new(&store.root(), false, [8, 0]).unwrap();
        let _guard = tch::no_grad_guard();
        for (_, mut variable) in store.variables() {
            let _ = variable.f_fill_(0.49).unwrap();
        }
        let grey = Picture::grey(2, 2);
        let slices = [Symbols::new(symbols::Kind::Intra, true, 64, 2, 2)];
        let run = |kind| {
            let mut made = vec![[0; CELL]; 4 * CELLS];
            filter.add(&grey, &grey, &slices, &[127; 4], kind, &mut made).unwrap();
            made
        };
        let whole = run(Kind::Float);
        assert!(whole.iter().flatten().all(|v| f64::from(v.abs()) <= CORRECTION_MAX), "{whole:?}");
        assert!(whole == run(Kind::BFloat16) && f64::from(whole[0][0]) == CORRECTION_MAX);
    }

    #[test]
    fn softly_it_says_about_the_same() {
        tch::manual_seed(6);
        let store = nn::VarStore::new(Device::Cpu);
        let mut filter = Filter::new(&store.root(), false, [16, 2]).unwrap();
        let _guard = tch::no_grad_guard();
        let _ = store.variables()["last.weight"].shallow_clone().f_normal_(0.0, 0.1).unwrap();
        let picture = tensors::of_pictures(&[&noise(2, 2, &mut chance())]).unwrap() * 0.2;
        let index = Tensor::full([1, 1, 4, 4], 64.0, (Kind::Float, Device::Cpu));
        let mut run = |soft| {
            filter.network.soften(soft);
            filter.correct(&picture.round(), &picture.zeros_like(), &index, Kind::Float).unwrap()
        };
        let (whole, soft) = (run(false), run(true));
        let size = |x: &Tensor| x.square().mean(Kind::Float).sqrt().double_value(&[]);
        let (size, apart) = (size(&whole), size(&(&whole - &soft)));
        assert!(apart > 0.0 && apart < 0.05 * size, "{apart} of {size}");
    }

    #[test]
    fn squares_there_and_back() {
        let cells = Tensor::rand([2, 96, 4, 6], (Kind::Float, Device::Cpu));
        let squares = to_squares(&cells).unwrap();
        assert_eq!(squares.size(), [2, 6, 16, 24]);
        assert_eq!(of_squares(&squares).unwrap(), cells);
        // The places of a square in its cell are where it went.
        for (channel, place) in places(2, 3).into_iter().enumerate() {
            assert_eq!(
                squares.double_value(&[1, channel as i64, 4 + 2, 8 + 3]),
                cells.double_value(&[1, place as i64, 1, 2])
            );
        }
    }
}
