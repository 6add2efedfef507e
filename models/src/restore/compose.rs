//! A restored frame and the one that came, put together: how strong, and where.

use gst_torch_runtime::planes::{FrameInfo, PixelFormat, Planes, PlanesMut, Range, Rect};

use super::frames::{row, row_mut};
use super::maps::Maps;

/// Pixels inside the edge of a region over which it gives way to what is around it.
const FEATHER: usize = 8;

/// How much of the restored frame is taken at each pixel, 0 to 1.
#[derive(Debug, Clone)]
pub enum Mask {
    Even(f32),
    /// Row by row.
    Pixels {
        width: usize,
        weights: Vec<f32>,
    },
}

impl Mask {
    /// `strength` inside `regions`, which fade at those of their edges that are not the frame's; 0 outside.
    pub fn of_regions(info: &FrameInfo, regions: &[Rect], strength: f32) -> Mask {
        let (width, height) = (info.width, info.height);
        let mut weights = vec![0.0; width * height];
        for region in regions {
            let Rect { x, y, .. } = *region;
            let (right, bottom) = ((x + region.width).min(width), (y + region.height).min(height));
            let ramp = |at: usize, from: usize, to: usize, end: usize| {
                let length = FEATHER.min((to - from).div_ceil(4)) as f32;
                let left = if from == 0 { 1.0 } else { ((at - from) as f32 + 0.5) / length };
                let right = if to == end { 1.0 } else { ((to - at) as f32 - 0.5) / length };
                left.min(right).min(1.0)
            };
            for row in y..bottom {
                let down = ramp(row, y, bottom, height) * strength;
                for column in x..right {
                    let weight: &mut f32 = &mut weights[row * width + column];
                    *weight = weight.max(ramp(column, x, right, width) * down);
                }
            }
        }
        Mask::Pixels { width, weights }
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        match self {
            Mask::Even(weight) => *weight,
            Mask::Pixels { width, weights } => weights[y * width + x],
        }
    }
}

/// Moves `frame` towards `restored`, a frame of the same kind. Alpha and unused bytes stay as they are.
pub fn blend(restored: &Planes, mask: &Mask, frame: &mut PlanesMut) {
    let info = *frame.info();
    for plane in 0..info.format.planes() {
        let down = if plane == 0 { 1 } else { 2 };
        for y in 0..info.rows(plane) {
            let from = row(restored, plane, y);
            for (index, (out, new)) in row_mut(frame, plane, y).iter_mut().zip(from).enumerate() {
                let Some(x) = column(info.format, plane, index) else { continue };
                let weight = mask.at(x.min(info.width - 1), (y * down).min(info.height - 1));
                *out = (f32::from(*out) + weight * (f32::from(*new) - f32::from(*out))).round() as u8;
            }
        }
    }
}

/// Adds the difference of two maps of luma, in full-range levels of 0 to 1, to every pixel of a frame; colour stays.
pub fn add_luma(restored: &Maps, before: &Maps, frame: &mut PlanesMut) {
    let info = *frame.info();
    let (step, count) = luma_bytes(info.format);
    let gain = if info.range == Range::Limited { 219.0 } else { 255.0 };
    for y in 0..info.height {
        let pixels = row_mut(frame, 0, y).chunks_mut(step);
        for ((pixel, new), old) in pixels.zip(restored.row(0, y)).zip(before.row(0, y)) {
            let change = (new - old) * gain;
            pixel[..count].iter_mut().for_each(|v| *v = (f32::from(*v) + change).round() as u8);
        }
    }
}

/// Bytes from one pixel to the next in the first plane, and how many of them are luma or colours.
fn luma_bytes(format: PixelFormat) -> (usize, usize) {
    use PixelFormat::{Bgr, Bgra, Bgrx, Gray8, I420, Nv12, Rgb, Rgba, Rgbx, Yuy2};
    match format {
        Rgb | Bgr => (3, 3),
        Rgba | Bgra | Rgbx | Bgrx => (4, 3),
        Gray8 | I420 | Nv12 => (1, 1),
        Yuy2 => (2, 1),
    }
}

/// The column of pixels that a byte of a row belongs to; `None` for alpha and unused bytes.
fn column(format: PixelFormat, plane: usize, index: usize) -> Option<usize> {
    use PixelFormat::{Bgr, Bgra, Bgrx, Gray8, I420, Nv12, Rgb, Rgba, Rgbx, Yuy2};
    match format {
        Rgb | Bgr => Some(index / 3),
        Rgba | Bgra | Rgbx | Bgrx => (index % 4 < 3).then_some(index / 4),
        Gray8 => Some(index),
        I420 => Some(if plane == 0 { index } else { 2 * index }),
        Nv12 => Some(if plane == 0 { index } else { index / 2 * 2 }),
        Yuy2 => Some(if index.is_multiple_of(2) { index / 2 } else { index / 4 * 2 }),
    }
}

/// Whether a frame has bytes that are to stay as they are.
pub fn has_alpha(format: PixelFormat) -> bool {
    use PixelFormat::{Bgra, Bgrx, Rgba, Rgbx};
    matches!(format, Rgba | Bgra | Rgbx | Bgrx)
}

#[cfg(test)]
mod tests {
    use super::super::frames::Buffer;
    use super::*;

    fn blended(format: PixelFormat, size: (usize, usize), mask: &Mask) -> Buffer {
        let info = FrameInfo::new(format, size.0, size.1);
        let (mut old, mut new) = (Buffer::new(info), Buffer::new(info));
        for (frame, level) in [(&mut old, 100), (&mut new, 200)] {
            let mut planes = frame.planes_mut().unwrap();
            (0..format.planes()).for_each(|plane| planes.plane_mut(plane).0.fill(level));
        }
        blend(&new.planes().unwrap(), mask, &mut old.planes_mut().unwrap());
        old
    }

    #[test]
    fn strength_is_how_far_the_frame_moves_and_alpha_stays() {
        for format in PixelFormat::ALL {
            for (strength, expected) in [(0.0, 100), (0.25, 125), (1.0, 200)] {
                let frame = blended(format, (17, 5), &Mask::Even(strength));
                let planes = frame.planes().unwrap();
                for plane in 0..format.planes() {
                    for (index, v) in row(&planes, plane, 0).iter().enumerate() {
                        let alpha = has_alpha(format) && index % 4 == 3;
                        assert_eq!(*v, if alpha { 100 } else { expected }, "{format} {strength}");
                    }
                }
            }
        }
    }

    #[test]
    fn luma_moves_and_colour_stays() {
        for format in PixelFormat::ALL {
            let info = FrameInfo::new(format, 5, 3);
            let mut frame = Buffer::new(info);
            let mut planes = frame.planes_mut().unwrap();
            (0..format.planes()).for_each(|plane| planes.plane_mut(plane).0.fill(100));
            let maps = |v: f32| Maps { channels: 1, height: 3, width: 5, data: vec![v; 15] };
            add_luma(&maps(0.7), &maps(0.5), &mut planes);
            let expected = if info.range == Range::Limited { 144 } else { 151 };
            let planes = frame.planes().unwrap();
            let (step, count) = luma_bytes(format);
            for pixel in row(&planes, 0, 1).chunks(step).take(5) {
                assert!(pixel[..count].iter().all(|v| *v == expected), "{format}: {pixel:?}");
                assert!(pixel[count..].iter().all(|v| *v == 100), "{format}: {pixel:?}");
            }
            assert!((1..format.planes()).all(|plane| row(&planes, plane, 0).iter().all(|v| *v == 100)));
        }
    }

    #[test]
    fn outside_regions_nothing_changes_and_inside_it_fades_in() {
        for format in PixelFormat::ALL {
            let info = FrameInfo::new(format, 64, 48);
            let mask = Mask::of_regions(&info, &[Rect::new(20, 0, 30, 24)], 1.0);
            let frame = blended(format, (64, 48), &mask);
            let planes = frame.planes().unwrap();
            let step = info.row_bytes(0) / 64;
            let at = |x: usize, y: usize| row(&planes, 0, y)[x * step];
            assert_eq!((at(18, 10), at(52, 10), at(35, 26)), (100, 100, 100), "{format}");
            assert_eq!((at(35, 0), at(35, 12)), (200, 200), "{format}: the frame's own edge is no seam");
            assert!((101..200).contains(&at(22, 10)) && (101..200).contains(&at(34, 22)), "{format}");
        }
    }
}
