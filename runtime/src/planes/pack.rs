//! From a tensor on the CPU back into a frame's planes, row by row.

use half::{bf16, f16};
use tch::{Kind, Tensor};

use super::colour;
use super::finish::Finish;
use super::format::Packing;
use super::memory::{Element, Picture, PixelsIn, RowOut};
use super::simd::{Isa, Simd, Work};
use super::{FrameInfo, PlanesMut, Result};

/// What alpha and unused bytes become.
pub(super) const OPAQUE: u8 = 255;

/// Writes a picture of 0 to 1 into planes of the same size.
pub(super) fn pack(tensor: &Tensor, picture: Picture, planes: &mut PlanesMut, isa: Isa) -> Result<()> {
    match tensor.f_kind()? {
        Kind::BFloat16 => isa.run(Frame { pixels: PixelsIn::<bf16>::of(tensor, picture), planes }),
        Kind::Half => isa.run(Frame { pixels: PixelsIn::<f16>::of(tensor, picture), planes }),
        _ => isa.run(Frame { pixels: PixelsIn::<f32>::of(tensor, picture), planes }),
    }
    Ok(())
}

/// A whole frame, from numbers of one kind.
struct Frame<'a, 'p, T> {
    pixels: PixelsIn<'a, T>,
    planes: &'a mut PlanesMut<'p>,
}

impl<T: Element> Work for Frame<'_, '_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        Packer::new(self.planes.info()).frame::<S, T>(&self.pixels, self.planes);
    }
}

/// The matrix, and the rows in flight.
struct Packer {
    packing: Packing,
    finish: Finish,
    /// A row of red, green and blue, 0 to 1.
    rgb: [Vec<f32>; 3],
    /// The same, added up over the rows that share chroma. The matrix being linear, the mean of U is the U of the mean.
    sums: [Vec<f32>; 3],
    /// A row of the frame's samples, component by component.
    bytes: [Vec<u8>; 3],
    /// A row of luma in whole pairs, where chroma has to join it.
    luma: Vec<u8>,
}

impl Packer {
    fn new(info: &FrameInfo) -> Self {
        let from_rgb = colour::from_rgb(info);
        let rows = || [(); 3].map(|()| vec![0.0; info.width]);
        Packer {
            packing: info.format.packing(),
            finish: Finish {
                m: from_rgb.m.map(|row| row.map(|v| (v * 255.0) as f32)),
                b: from_rgb.b.map(|v| v as f32),
                low: [0.0; 3],
                high: [255.0; 3],
            },
            rgb: rows(),
            sums: rows(),
            bytes: [(); 3].map(|()| vec![0; info.width]),
            luma: vec![0; info.width.next_multiple_of(2)],
        }
    }

    #[inline(always)]
    fn frame<S: Simd, T: Element>(&mut self, pixels: &PixelsIn<T>, planes: &mut PlanesMut) {
        let info = *planes.info();
        let (_, down) = info.format.chroma_step();
        for y in 0..info.height {
            pixels.read(y, &mut self.rgb);
            let row = planes.row_mut(0, y);
            match self.packing {
                Packing::Packed { step: 3, .. } => {
                    self.finish.row::<S, f32, u8, 3, 3>(slices(&self.rgb), RowOut::Interleaved(row));
                }
                Packing::Packed { .. } => {
                    self.finish.row::<S, f32, u8, 3, 3>(slices(&self.rgb), RowOut::Planar(slices_mut(&mut self.bytes)));
                    interleave_opaque(&self.bytes, row);
                }
                Packing::Yuy2 => {
                    let out = RowOut::Planar([&mut self.luma[..info.width], Default::default(), Default::default()]);
                    self.finish.row::<S, f32, u8, 3, 1>(slices(&self.rgb), out);
                    if info.width % 2 == 1 {
                        // The second luma of the last pair lies outside the picture.
                        self.luma[info.width] = self.luma[info.width - 1];
                    }
                }
                Packing::Gray | Packing::Planar | Packing::SemiPlanar => {
                    let out = RowOut::Planar([row, Default::default(), Default::default()]);
                    self.finish.row::<S, f32, u8, 3, 1>(slices(&self.rgb), out);
                }
            }
            if info.format.is_yuv() {
                for (sum, row) in self.sums.iter_mut().zip(&self.rgb) {
                    accumulate(sum, row, y % down == 0);
                }
                if y % down == down - 1 || y == info.height - 1 {
                    self.chroma::<S>(planes, y / down, y % down + 1);
                }
            }
        }
    }

    /// Chroma of what was added up over `rows` rows, into row `y` of its planes.
    #[inline(always)]
    fn chroma<S: Simd>(&mut self, planes: &mut PlanesMut, y: usize, rows: usize) {
        let n = self.sums[0].len().div_ceil(2);
        self.sums.iter_mut().for_each(|sum| halve(sum, 1.0 / rows as f32));
        let means = slices(&self.sums).map(|row| &row[..n]);
        self.finish.row::<S, f32, u8, 3, 3>(means, RowOut::Planar(slices_mut(&mut self.bytes)));
        let [_, u, v] = slices(&self.bytes).map(|row| &row[..n]);
        match self.packing {
            Packing::Planar => {
                planes.row_mut(1, y).copy_from_slice(u);
                planes.row_mut(2, y).copy_from_slice(v);
            }
            Packing::SemiPlanar => {
                let row = planes.row_mut(1, y);
                row.chunks_exact_mut(2).zip(u).zip(v).for_each(|((out, u), v)| out.copy_from_slice(&[*u, *v]));
            }
            _ => {
                // Every row has chroma of its own, so its luma is still there.
                let quads = planes.row_mut(0, y).chunks_exact_mut(4).zip(self.luma.chunks_exact(2)).zip(u).zip(v);
                quads.for_each(|(((out, luma), u), v)| out.copy_from_slice(&[luma[0], *u, luma[1], *v]));
            }
        }
    }
}

#[inline(always)]
fn slices<T>(rows: &[Vec<T>; 3]) -> [&[T]; 3] {
    rows.each_ref().map(Vec::as_slice)
}

#[inline(always)]
fn slices_mut<T>(rows: &mut [Vec<T>; 3]) -> [&mut [T]; 3] {
    rows.each_mut().map(Vec::as_mut_slice)
}

/// Three components and an opaque byte a pixel.
#[inline(always)]
fn interleave_opaque([a, b, c]: &[Vec<u8>; 3], row: &mut [u8]) {
    for (((out, a), b), c) in row.chunks_exact_mut(4).zip(a).zip(b).zip(c) {
        out.copy_from_slice(&[*a, *b, *c, OPAQUE]);
    }
}

#[inline(always)]
fn accumulate(sum: &mut [f32], row: &[f32], first: bool) {
    if first {
        sum.copy_from_slice(row);
    } else {
        sum.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
    }
}

/// Means of neighbours, in place, to the first half; the last of an odd number stands alone.
#[inline(always)]
fn halve(row: &mut [f32], scale: f32) {
    let n = row.len();
    for i in 0..n / 2 {
        row[i] = (row[2 * i] + row[2 * i + 1]) * (0.5 * scale);
    }
    if n % 2 == 1 {
        row[n / 2] = row[n - 1] * scale;
    }
}
