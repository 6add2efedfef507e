//! Frames of any format for the tests of this folder.

use super::canvas::{Canvas, Component, Plane};

/// A frame of any format for tests: components as GStreamer lays them out, rows padded to an odd stride.
pub struct Frame {
    pub width: i32,
    pub height: i32,
    components: Vec<Component>,
    strides: [usize; 4],
    pub data: [Vec<u8>; 4],
}

const PADDING: usize = 5;

/// Plane, offset, step, sub_x, sub_y.
pub type ComponentLayout = (usize, usize, usize, u32, u32);

impl Frame {
    /// Samples start at 100, padding at 77.
    pub fn new(width: i32, height: i32, layout: &[ComponentLayout]) -> Self {
        let components: Vec<Component> = layout
            .iter()
            .map(|&(plane, offset, step, sub_x, sub_y)| Component { plane, offset, step, sub_x, sub_y })
            .collect();
        let mut strides = [0; 4];
        let mut rows = [0; 4];
        for c in &components {
            let samples = (width as usize).div_ceil(1 << c.sub_x);
            strides[c.plane] = strides[c.plane].max(samples * c.step + PADDING);
            rows[c.plane] = (height as usize).div_ceil(1 << c.sub_y);
        }
        let mut data: [Vec<u8>; 4] = std::array::from_fn(|plane| vec![77; strides[plane] * rows[plane]]);
        for c in &components {
            for y in 0..rows[c.plane] {
                for x in 0..(width as usize).div_ceil(1 << c.sub_x) {
                    data[c.plane][y * strides[c.plane] + c.offset + x * c.step] = 100;
                }
            }
        }
        Frame { width, height, components, strides, data }
    }

    pub fn canvas(&mut self) -> Canvas<'_> {
        let mut planes = self.data.iter_mut().zip(self.strides).map(|(data, stride)| Plane { data, stride });
        let planes = std::array::from_fn(|_| planes.next().unwrap());
        Canvas { width: self.width, height: self.height, components: &self.components, planes }
    }

    /// The sample that serves pixel `(x, y)`.
    pub fn sample(&self, component: usize, x: i32, y: i32) -> u8 {
        let c = self.components[component];
        let (x, y) = ((x as usize) >> c.sub_x, (y as usize) >> c.sub_y);
        self.data[c.plane][y * self.strides[c.plane] + c.offset + x * c.step]
    }

    /// The bytes that belong to no component are as they were.
    pub fn padding_is_untouched(&self) -> bool {
        let mut data = self.data.clone();
        for c in &self.components {
            for row in data[c.plane].chunks_mut(self.strides[c.plane]) {
                let samples = (self.width as usize).div_ceil(1 << c.sub_x);
                (0..samples).for_each(|x| row[c.offset + x * c.step] = 77);
            }
        }
        data.iter().flatten().all(|b| *b == 77)
    }
}

pub const RGB: &[ComponentLayout] = &[(0, 0, 3, 0, 0), (0, 1, 3, 0, 0), (0, 2, 3, 0, 0)];
pub const BGRX: &[ComponentLayout] = &[(0, 2, 4, 0, 0), (0, 1, 4, 0, 0), (0, 0, 4, 0, 0)];
pub const GRAY: &[ComponentLayout] = &[(0, 0, 1, 0, 0)];
pub const I420: &[ComponentLayout] = &[(0, 0, 1, 0, 0), (1, 0, 1, 1, 1), (2, 0, 1, 1, 1)];
pub const NV12: &[ComponentLayout] = &[(0, 0, 1, 0, 0), (1, 0, 2, 1, 1), (1, 1, 2, 1, 1)];
pub const YUY2: &[ComponentLayout] = &[(0, 0, 2, 0, 0), (0, 1, 4, 1, 0), (0, 3, 4, 1, 0)];
pub const ALL: [&[ComponentLayout]; 6] = [RGB, BGRX, GRAY, I420, NV12, YUY2];
