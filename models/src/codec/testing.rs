use tch::Tensor;

use super::canvas::Frame;
use super::picture::Picture;
use super::stream::{self, Coding, Colour, Found, Header, PictureUnit, Subsampling};
use super::symbols::Kind;

pub fn header(width: u16, height: u16, subsampling: Subsampling) -> Header {
    Header {
        coding: Coding::Residual,
        model: [0; 16],
        name: String::new(),
        width,
        height,
        subsampling,
        interleaved: false,
        colour: Colour { range: 2, matrix: 6, transfer: 6, primaries: 6, site: 0 },
        rate: (30, 1),
        aspect: (1, 1),
        slice_rows: 4,
    }
}

/// Smooth shapes and some texture, moved by `shift`.
pub fn frame(header: &Header, shift: usize) -> Frame {
    let mut frame = Frame::new(header.width.into(), header.height.into(), header.subsampling);
    for (index, plane) in frame.planes.iter_mut().enumerate() {
        for y in 0..plane.height {
            for (x, value) in plane.row_mut(y).iter_mut().enumerate() {
                let (x, y) = ((x + shift) as f32, y as f32);
                let wave = (x * 0.11).sin() * (y * 0.07 + index as f32).cos() * 60.0;
                let texture =
                    if (x as usize / 9 + y as usize / 11).is_multiple_of(3) { (x * 1.3).sin() * 12.0 } else { 0.0 };
                *value = (120.0 + if index == 0 { wave + texture } else { wave * 0.4 }) as u8;
            }
        }
    }
    frame
}

/// Numbers that look like chance, the same in every run.
pub fn chance() -> impl FnMut(i32) -> i32 {
    let mut state = 1u64;
    move |below| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as i32 % below
    }
}

/// A picture of so many blocks with samples that `next` draws.
pub fn noise(columns: usize, rows: usize, next: &mut impl FnMut(i32) -> i32) -> Picture {
    let mut picture = Picture::grey(columns, rows);
    picture.planes.iter_mut().flat_map(|plane| &mut plane.data).for_each(|sample| *sample = next(256) as u8);
    picture
}

/// Step indices of blocks as tensors have them, cell by cell.
pub fn index_map(indices: &[u8], columns: usize) -> Tensor {
    let [columns, rows] = [columns, indices.len() / columns].map(|side| side as i64);
    let values: Vec<f32> = indices.iter().map(|v| f32::from(*v)).collect();
    Tensor::from_slice(&values).view([1, 1, rows, columns]).upsample_nearest2d([rows * 2, columns * 2], None, None)
}

/// The numbers of a map `(1, channels, h, w)`, place after place.
pub fn by_cell(map: &Tensor) -> Vec<f32> {
    map.permute([0, 2, 3, 1]).contiguous().view([-1]).try_into().unwrap()
}

pub fn psnr(a: &Frame, b: &Frame) -> f64 {
    let pairs = || a.planes.iter().zip(&b.planes).flat_map(|(a, b)| a.data.iter().zip(&b.data));
    let sum: f64 = pairs().map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (65025.0 / (sum / pairs().count() as f64).max(1e-9)).log10()
}

/// Hands the picture unit of an access unit to `decode`, as a decoder's user does.
pub fn each_picture<T>(bytes: &[u8], slices: usize, decode: impl FnOnce(&PictureUnit) -> T) -> T {
    let mut rest = bytes;
    loop {
        let Found::Unit(unit) = stream::find(rest) else { panic!("no picture in {} bytes", bytes.len()) };
        rest = &rest[unit.length..];
        let kind = match unit.kind {
            b'I' => Kind::Intra,
            b'P' => Kind::Inter,
            _ => continue,
        };
        assert!(rest.is_empty());
        return decode(&PictureUnit::read(kind, unit.payload, slices).unwrap());
    }
}
