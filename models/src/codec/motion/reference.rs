//! The picture that is referred to, with its border repeated around it.

use super::interpolate::{Area, CHROMA, LUMA, block};
use crate::codec::picture::{Picture, Plane};
use crate::codec::symbols::Vector;

/// Samples around a plane: luma, chroma. A block that begins `MARGIN` samples farther out than its own size sees nothing
/// but repeated border, as it would anywhere beyond, so that it can be moved there without a difference; what is left of
/// the padding is for the taps of the filters.
const PADDING: [usize; 2] = [32, 16];
const MARGIN: [i32; 2] = [8, 4];

#[derive(Debug, Clone)]
pub(crate) struct Padded {
    data: Vec<u8>,
    stride: usize,
    width: i32,
    height: i32,
    padding: usize,
    margin: i32,
}

impl Padded {
    pub(crate) fn new(plane: &Plane, padding: usize, margin: i32) -> Self {
        let stride = plane.width + 2 * padding;
        let mut data = Vec::with_capacity(stride * (plane.height + 2 * padding));
        for y in 0..plane.height + 2 * padding {
            let row = plane.row(y.saturating_sub(padding).min(plane.height - 1));
            data.extend(std::iter::repeat_n(row[0], padding));
            data.extend_from_slice(row);
            data.extend(std::iter::repeat_n(row[plane.width - 1], padding));
        }
        Padded { data, stride, width: plane.width as i32, height: plane.height as i32, padding, margin }
    }

    /// Width and height, without what is around it.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.width as usize, self.height as usize)
    }

    /// The samples from a block of `size` on, and `lead` samples before it both ways.
    #[inline(always)]
    pub(crate) fn area(&self, x: i32, y: i32, size: i32, lead: usize) -> Area<'_> {
        let x = x.clamp(-size - self.margin, self.width + self.margin) + self.padding as i32;
        let y = y.clamp(-size - self.margin, self.height + self.margin) + self.padding as i32;
        Area { data: &self.data[(y as usize - lead) * self.stride + x as usize - lead..], stride: self.stride }
    }
}

/// A picture to predict from. Outside of it the border repeats, however far.
#[derive(Debug, Clone)]
pub struct Reference {
    planes: [Padded; 3],
}

impl Reference {
    /// Of a picture of at least one block.
    pub fn new(picture: &Picture) -> Self {
        let plane = |index: usize| Padded::new(&picture.planes[index], PADDING[index.min(1)], MARGIN[index.min(1)]);
        Reference { planes: [plane(0), plane(1), plane(2)] }
    }

    /// Blocks of 16x16 across and down.
    pub fn blocks(&self) -> (usize, usize) {
        (self.planes[0].width as usize / 16, self.planes[0].height as usize / 16)
    }

    /// Luma from a point on, for a block of `size`.
    #[inline(always)]
    pub(crate) fn luma(&self, x: i32, y: i32, size: usize) -> Area<'_> {
        self.planes[0].area(x, y, size as i32, 0)
    }

    /// Luma of a block of `N` x `N` at `x`, `y`, moved by a vector: the reference itself where the vector is whole,
    /// interpolated into `room` otherwise.
    #[inline(always)]
    pub(crate) fn luma_moved<'a, const N: usize>(
        &'a self,
        (x, y): (i32, i32),
        vector: Vector,
        room: &'a mut [u8; 256],
    ) -> Area<'a> {
        let (x, y) = (x * 4 + i32::from(vector.x), y * 4 + i32::from(vector.y));
        if (x | y) & 3 == 0 {
            return self.luma(x >> 2, y >> 2, N);
        }
        let source = self.planes[0].area(x >> 2, y >> 2, N as i32, 3);
        block::<N, 8>(source, &LUMA, ((x & 3) as usize, (y & 3) as usize), room, N);
        Area { data: room, stride: N }
    }

    /// Writes a luma block of `N` x `N` at `x`, `y`, moved by a vector.
    #[inline(always)]
    pub(crate) fn put_luma<const N: usize>(
        &self,
        (x, y): (i32, i32),
        vector: Vector,
        out: &mut [u8],
        out_stride: usize,
    ) {
        let (x, y) = (x * 4 + i32::from(vector.x), y * 4 + i32::from(vector.y));
        let source = self.planes[0].area(x >> 2, y >> 2, N as i32, 3);
        block::<N, 8>(source, &LUMA, ((x & 3) as usize, (y & 3) as usize), out, out_stride);
    }

    /// The same of chroma plane 1 or 2, where `x` and `y` are its own samples, and the vector is in eighths of them.
    #[inline(always)]
    pub(crate) fn put_chroma<const N: usize>(
        &self,
        plane: usize,
        (x, y): (i32, i32),
        vector: Vector,
        out: &mut [u8],
        out_stride: usize,
    ) {
        let (x, y) = (x * 8 + i32::from(vector.x), y * 8 + i32::from(vector.y));
        let source = self.planes[plane].area(x >> 3, y >> 3, N as i32, 1);
        block::<N, 4>(source, &CHROMA, ((x & 7) as usize, (y & 7) as usize), out, out_stride);
    }
}
