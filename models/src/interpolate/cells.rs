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

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, texture};
    use super::*;
    use crate::codec::symbols::Vector;

    #[test]
    fn there_and_back_in_any_precision() {
        let picture = noise(3, 2, 5);
        for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
            let cells = of_picture(&picture, kind).unwrap();
            assert_eq!(cells.size(), [1, 24, 8, 12]);
            assert_eq!(cells.kind(), kind);
            assert!(to_picture(&cells).unwrap() == picture, "{kind:?}");
        }
        assert!(to_picture(&Tensor::zeros([1, 23, 4, 4], (Kind::Float, tch::Device::Cpu))).is_err());
        assert!(to_picture(&Tensor::zeros([24, 4, 4], (Kind::Float, tch::Device::Cpu))).is_err());
        let wild = Tensor::full([1, 24, 4, 4], f64::NAN, (Kind::Float, tch::Device::Cpu));
        assert!(to_picture(&wild).unwrap().planes[0].data.iter().all(|v| *v == 0));
    }

    #[test]
    fn the_channels_are_samples_in_reading_order_then_motion_and_time() {
        let pictures: Vec<Picture> = (0..4).map(|n| texture(2, 2, n as f32, 0.0)).collect();
        let sources: [&Picture; SOURCES] = std::array::from_fn(|n| &pictures[n]);
        let mut field = Field { columns: 4, rows: 4, vectors: vec![Vector::default(); 16], errors: vec![0; 16] };
        field.vectors[2 * 4 + 1] = Vector { x: 64, y: -2000 };
        let input = input(sources, &field, 0.25, Kind::Float).unwrap();
        assert_eq!(input.size(), [1, 99, 8, 8]);
        let at = |channel: i64, row: i64, column: i64| input.double_value(&[0, channel, row, column]);
        // Third picture, the cell at row 5, column 3: its luma sample at row 2, column 1; its second V sample of the first row.
        let sample = |plane: usize, y: usize, x: usize| f64::from(pictures[2].planes[plane].row(y)[x]) / 256.0;
        assert_eq!(at(48 + 9, 5, 3), sample(0, 22, 13));
        assert_eq!(at(48 + 21, 5, 3), sample(2, 10, 7));
        assert_eq!((at(96, 5, 3), at(97, 5, 3), at(98, 5, 3)), (1.0, -8.0, 0.25));
        assert_eq!((at(96, 5, 4), at(97, 3, 3)), (0.0, 0.0));
    }
}
