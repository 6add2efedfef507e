//! The 8-bit 4:2:0 pictures that are coded and referred to.

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

    /// CRC-32 of the samples of Y, U and V.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.planes.iter().for_each(|plane| hasher.update(&plane.data));
        hasher.finalize()
    }
}
