//! The 8-bit 4:2:0 pictures that are coded and referred to.

use super::symbols::{CELL, CHROMA};

/// One plane of samples; rows follow each other without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plane {
    pub width: usize,
    pub height: usize,
    pub data: Vec<u8>,
}

impl Plane {
    pub fn new(width: usize, height: usize, value: u8) -> Self {
        Plane { width, height, data: vec![value; width * height] }
    }

    pub fn row(&self, y: usize) -> &[u8] {
        &self.data[y * self.width..][..self.width]
    }

    /// The rows of a square of `N` samples a side, `x` and `y` squares into the plane.
    #[inline(always)]
    fn square<const N: usize>(&self, x: usize, y: usize) -> impl Iterator<Item = &[u8; N]> {
        let rows = self.data[y * N * self.width..].chunks_exact(self.width);
        rows.take(N).filter_map(move |row| row[x * N..].first_chunk())
    }

    #[inline(always)]
    fn square_mut<const N: usize>(&mut self, x: usize, y: usize) -> impl Iterator<Item = &mut [u8; N]> {
        let rows = self.data[y * N * self.width..].chunks_exact_mut(self.width);
        rows.take(N).filter_map(move |row| row[x * N..].first_chunk_mut())
    }

    pub fn row_mut(&mut self, y: usize) -> &mut [u8] {
        &mut self.data[y * self.width..][..self.width]
    }
}

/// Y, U and V on the coded canvas: luma is a whole number of 16x16 blocks each way, chroma half of it each way. Pictures
/// without colour have chroma of 128.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub planes: [Plane; 3],
}

impl Picture {
    /// Grey, of `columns` x `rows` blocks of 16x16.
    pub fn grey(columns: usize, rows: usize) -> Self {
        let chroma = Plane::new(columns * 8, rows * 8, 128);
        Picture { planes: [Plane::new(columns * 16, rows * 16, 128), chroma.clone(), chroma] }
    }

    /// Blocks of 16x16 across and down.
    pub fn blocks(&self) -> (usize, usize) {
        (self.planes[0].width / 16, self.planes[0].height / 16)
    }

    /// The samples of a cell, which is `x` and `y` cells into the picture.
    #[inline(always)]
    pub fn cell(&self, x: usize, y: usize) -> [u8; CELL] {
        let mut samples = [0; CELL];
        let (luma, chroma) = samples.split_at_mut(CHROMA[0]);
        let (u, v) = chroma.split_at_mut(CHROMA[1] - CHROMA[0]);
        self.planes[0].square::<8>(x, y).zip(luma.as_chunks_mut().0).for_each(|(from, to)| *to = *from);
        self.planes[1].square::<4>(x, y).zip(u.as_chunks_mut().0).for_each(|(from, to)| *to = *from);
        self.planes[2].square::<4>(x, y).zip(v.as_chunks_mut().0).for_each(|(from, to)| *to = *from);
        samples
    }

    #[inline(always)]
    pub fn set_cell(&mut self, x: usize, y: usize, samples: &[u8; CELL]) {
        let (luma, chroma) = samples.split_at(CHROMA[0]);
        let (u, v) = chroma.split_at(CHROMA[1] - CHROMA[0]);
        self.planes[0].square_mut::<8>(x, y).zip(luma.as_chunks().0).for_each(|(to, from)| *to = *from);
        self.planes[1].square_mut::<4>(x, y).zip(u.as_chunks().0).for_each(|(to, from)| *to = *from);
        self.planes[2].square_mut::<4>(x, y).zip(v.as_chunks().0).for_each(|(to, from)| *to = *from);
    }

    /// CRC-32 of the samples of Y, U and V.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.planes.iter().for_each(|plane| hasher.update(&plane.data));
        hasher.finalize()
    }
}
