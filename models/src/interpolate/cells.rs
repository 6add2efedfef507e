//! Pictures as the fusion network sees them, and back: cells of 4x4 luma samples and the 2x2 of U and of V that go with them.

use tch::{Kind, TchError, Tensor};

use super::network::{INPUTS, SOURCES};
use crate::codec::picture::{Picture, Plane};

/// Side of a cell in luma samples.
pub const CELL: usize = 4;
/// Samples of a cell in each of U and V.
pub const CHROMA: usize = CELL * CELL / 4;
/// Channels of a picture: Y, U, V, each in reading order.
pub const SAMPLES: usize = CELL * CELL + 2 * CHROMA;
/// Samples are stored as 256ths: bf16 holds these exactly.
const UNIT: f32 = 1.0 / 256.0;

/// The input of the network for a picture to be made, `(1, 97, h, w)`, channels last in memory: the moved pictures, the
/// pictures themselves, and the time. All are of the same size. `kind` is a floating one.
///
/// # Errors
/// When libtorch cannot make the tensor.
pub fn input(sources: [&Picture; SOURCES], time: f32, kind: Kind) -> Result<Tensor, TchError> {
    tensor(&sources, Some(time), kind)
}

/// One picture likewise, `(1, 24, h, w)`.
///
/// # Errors
/// When libtorch cannot make the tensor.
pub fn of_picture(picture: &Picture, kind: Kind) -> Result<Tensor, TchError> {
    tensor(&[picture], None, kind)
}

fn tensor(pictures: &[&Picture], time: Option<f32>, kind: Kind) -> Result<Tensor, TchError> {
    let luma = &pictures[0].planes[0];
    let channels = pictures.len() * SAMPLES + usize::from(time.is_some());
    let size = [1, (luma.height / CELL) as i64, (luma.width / CELL) as i64, channels as i64];
    let values = if kind == Kind::BFloat16 {
        let values = gather(pictures, time.map(bf16), |sample| bf16(f32::from(sample) * UNIT));
        Tensor::f_from_data_size(bytemuck::cast_slice(&values), &size, kind)?
    } else {
        let values = gather(pictures, time, |sample| f32::from(sample) * UNIT);
        Tensor::f_from_data_size(bytemuck::cast_slice(&values), &size, Kind::Float)?.f_to_kind(kind)?
    };
    values.f_permute([0, 3, 1, 2])
}

/// The upper half of an fp32 number, rounded. Not for NaN.
fn bf16(value: f32) -> u16 {
    ((value.to_bits() + 0x8000) >> 16) as u16
}

/// Cell by cell the samples of all pictures, and the time.
fn gather<T: Copy + Default>(pictures: &[&Picture], time: Option<T>, number: impl Fn(u8) -> T) -> Vec<T> {
    let mut table = [T::default(); 256];
    (0..).zip(&mut table).for_each(|(sample, entry)| *entry = number(sample));
    let luma = &pictures[0].planes[0];
    let (columns, rows) = (luma.width / CELL, luma.height / CELL);
    let channels = pictures.len() * SAMPLES + usize::from(time.is_some());
    let mut values = vec![T::default(); columns * rows * channels];
    for (row, line) in values.chunks_exact_mut(columns * channels).enumerate() {
        for (picture, first) in pictures.iter().zip((0..).step_by(SAMPLES)) {
            scatter::<CELL, T>(&picture.planes[0], row, &mut line[first..], channels, &table);
            for (plane, first) in picture.planes[1..].iter().zip((first + CELL * CELL..).step_by(CHROMA)) {
                scatter::<{ CELL / 2 }, T>(plane, row, &mut line[first..], channels, &table);
            }
        }
        if let Some(time) = time {
            line.iter_mut().skip(channels - 1).step_by(channels).for_each(|value| *value = time);
        }
    }
    values
}

/// Writes a row of cells of `N` x `N` samples of a plane, a cell every `channels` numbers.
fn scatter<const N: usize, T: Copy>(plane: &Plane, row: usize, line: &mut [T], channels: usize, table: &[T; 256]) {
    for y in 0..N {
        let cells = plane.row(row * N + y).chunks_exact(N);
        for (cell, to) in cells.zip(line[y * N..].chunks_mut(channels)) {
            for (&sample, to) in cell.iter().zip(to) {
                *to = table[usize::from(sample)];
            }
        }
    }
}

/// The picture that the network's output `(1, 24, h, w)` stands for, rounded and clamped.
///
/// # Errors
/// When the tensor has another shape.
pub fn to_picture(cells: &Tensor) -> Result<Picture, TchError> {
    let size = cells.size();
    let &[1, channels, height, width] = size.as_slice() else {
        return Err(TchError::Shape(format!("a picture of cells is (1, {SAMPLES}, h, w), got {size:?}")));
    };
    if channels != SAMPLES as i64 {
        return Err(TchError::Shape(format!("a picture of cells has {SAMPLES} channels, got {channels}")));
    }
    let (rows, columns) = (height as usize, width as usize);
    let numbers = Vec::<f32>::try_from(cells.f_to_kind(Kind::Float)?.f_contiguous()?.f_view([-1])?)?;
    let mut picture = Picture::grey((columns * CELL).div_ceil(16), (rows * CELL).div_ceil(16));
    for (plane, (side, first)) in
        picture.planes.iter_mut().zip([(CELL, 0), (CELL / 2, CELL * CELL), (CELL / 2, CELL * CELL + CHROMA)])
    {
        for place in 0..side * side {
            let channel = &numbers[(first + place) * rows * columns..][..rows * columns];
            for (row, values) in channel.chunks_exact(columns).enumerate() {
                let line = &mut plane.row_mut(row * side + place / side)[place % side..];
                for (sample, value) in line.iter_mut().step_by(side).zip(values) {
                    // A cast saturates; NaN becomes 0.
                    *sample = (value / UNIT + 0.5) as u8;
                }
            }
        }
    }
    Ok(picture)
}

/// What the input has in channels is what the network expects.
const _: () = assert!(INPUTS == SOURCES * SAMPLES + 1);
