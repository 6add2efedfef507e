//! Pictures as the fusion network sees them, and back: cells of 4x4 luma samples and the 2x2 of U and of V that go with them.

use tch::{Kind, TchError, Tensor};

use super::motion::{self, Field};
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

/// Vectors are in 64ths of a quarter sample (16 samples are 1), and within plus and minus this.
const FAR: f32 = 8.0;

/// The input of the network for a picture to be made, `(1, 99, h, w)`, channels last in memory: the moved pictures, the
/// pictures themselves, the vectors along which they were moved, and the time. `kind` is a floating one.
///
/// # Errors
/// When libtorch cannot make the tensor.
pub fn input(sources: [&Picture; SOURCES], field: &Field, time: f32, kind: Kind) -> Result<Tensor, TchError> {
    tensor(&sources, Some((field, time)), kind)
}

/// One picture likewise, `(1, 24, h, w)`.
///
/// # Errors
/// When libtorch cannot make the tensor.
pub fn of_picture(picture: &Picture, kind: Kind) -> Result<Tensor, TchError> {
    tensor(&[picture], None, kind)
}

fn tensor(pictures: &[&Picture], motion: Option<(&Field, f32)>, kind: Kind) -> Result<Tensor, TchError> {
    let luma = &pictures[0].planes[0];
    let channels = pictures.len() * SAMPLES + if motion.is_some() { 3 } else { 0 };
    let size = [1, (luma.height / CELL) as i64, (luma.width / CELL) as i64, channels as i64];
    let values = if kind == Kind::BFloat16 {
        let values = gather(pictures, motion, bf16);
        Tensor::f_from_data_size(bytemuck::cast_slice(&values), &size, kind)?
    } else {
        let values = gather(pictures, motion, |value| value);
        Tensor::f_from_data_size(bytemuck::cast_slice(&values), &size, Kind::Float)?.f_to_kind(kind)?
    };
    values.f_permute([0, 3, 1, 2])
}

/// The upper half of an fp32 number, rounded. Not for NaN.
fn bf16(value: f32) -> u16 {
    ((value.to_bits() + 0x8000) >> 16) as u16
}

/// Cell by cell the samples of all pictures, the motion and the time.
fn gather<T: Copy + Default>(
    pictures: &[&Picture],
    motion: Option<(&Field, f32)>,
    number: impl Fn(f32) -> T,
) -> Vec<T> {
    let mut table = [T::default(); 256];
    (0u8..).zip(&mut table).for_each(|(sample, entry)| *entry = number(f32::from(sample) * UNIT));
    let luma = &pictures[0].planes[0];
    let (columns, rows) = (luma.width / CELL, luma.height / CELL);
    let others = pictures.len() * SAMPLES;
    let channels = others + if motion.is_some() { 3 } else { 0 };
    let mut values = vec![T::default(); columns * rows * channels];
    for (row, line) in values.chunks_exact_mut(columns * channels).enumerate() {
        for (picture, first) in pictures.iter().zip((0..).step_by(SAMPLES)) {
            scatter::<CELL, T>(&picture.planes[0], row, &mut line[first..], channels, &table);
            for (plane, first) in picture.planes[1..].iter().zip((first + CELL * CELL..).step_by(CHROMA)) {
                scatter::<{ CELL / 2 }, T>(plane, row, &mut line[first..], channels, &table);
            }
        }
        if let Some((field, time)) = motion {
            let (time, across) = (number(time), motion::CELL / CELL);
            for (column, cell) in line.chunks_exact_mut(channels).enumerate() {
                let vector = field.vectors[row / across * field.columns + column / across];
                let part = |component: i16| number((f32::from(component) / 64.0).clamp(-FAR, FAR));
                cell[others..].copy_from_slice(&[part(vector.x), part(vector.y), time]);
            }
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
const _: () = assert!(INPUTS == SOURCES * SAMPLES + 3);
