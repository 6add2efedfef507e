//! Filled rectangles and coverage masks, straight into the planes of a frame of any 8-bit format.
//!
//! A format is a list of components (R, G, B or Y, U, V, then perhaps alpha), each with its plane, its first byte, the
//! bytes from one sample to the next and its subsampling. One loop over components then serves packed, planar,
//! semi-planar and grey frames alike. A chroma sample that a shape covers in part is blended in that part.

/// Where the samples of one component lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    pub plane: usize,
    /// Of the first sample in a row, in bytes.
    pub offset: usize,
    /// From one sample to the next in a row, in bytes.
    pub step: usize,
    /// A sample serves `1 << sub_x` by `1 << sub_y` pixels.
    pub sub_x: u32,
    pub sub_y: u32,
}

/// The bytes of one plane and of one of its rows.
pub struct Plane<'a> {
    pub data: &'a mut [u8],
    pub stride: usize,
}

/// A colour as the frame stores it, one value a component.
pub type Ink = [u8; 4];

/// Whole pixels from `(x0, y0)` up to, not including, `(x1, y1)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    pub x0: i32,
    pub y0: i32,
    pub x1: i32,
    pub y1: i32,
}

impl Area {
    pub fn is_empty(&self) -> bool {
        self.x0 >= self.x1 || self.y0 >= self.y1
    }

    /// In pixels.
    pub fn size(&self) -> i64 {
        if self.is_empty() { 0 } else { i64::from(self.x1 - self.x0) * i64::from(self.y1 - self.y0) }
    }

    pub fn intersection(&self, other: &Area) -> Area {
        Area {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        }
    }
}

/// Coverage of a small shape, 0 to 255, row by row without gaps.
#[derive(Debug, Clone, Default)]
pub struct Stamp {
    pub width: usize,
    pub height: usize,
    pub coverage: Vec<u8>,
}

impl Stamp {
    /// Row `y` from column `x0` up to `x1`, all within the stamp.
    fn line(&self, y: i32, x0: i32, x1: i32) -> &[u8] {
        let line = y as usize * self.width;
        &self.coverage[line + x0 as usize..line + x1 as usize]
    }
}

/// A frame to draw on. What lies outside it is cut off.
pub struct Canvas<'a> {
    pub width: i32,
    pub height: i32,
    pub components: &'a [Component],
    pub planes: [Plane<'a>; 4],
}

impl Canvas<'_> {
    pub fn area(&self) -> Area {
        Area { x0: 0, y0: 0, x1: self.width, y1: self.height }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, area: Area, ink: Ink) {
        let area = area.intersection(&self.area());
        if area.is_empty() {
            return;
        }
        for (component, value) in self.components.iter().zip(ink) {
            let xs = Samples::new(area.x0, area.x1, self.width, component.sub_x);
            let ys = Samples::new(area.y0, area.y1, self.height, component.sub_y);
            for y in ys.first..ys.end {
                let Some(row) = row(&mut self.planes, component, y) else {
                    continue;
                };
                if ys.share(y) == 255 {
                    fill_samples(row, component.step, xs.whole(), value);
                } else {
                    xs.whole().for_each(|x| blend(row, x * component.step, value, ys.share(y)));
                }
                for x in xs.partial() {
                    blend(row, x * component.step, value, xs.share(x) * ys.share(y) / 255);
                }
            }
        }
    }

    /// Lays `ink` over the frame as far as `stamp` covers it, the stamp's top left corner at `(x, y)`.
    pub fn stamp(&mut self, x: i32, y: i32, stamp: &Stamp, ink: Ink) {
        let own =
            Area { x0: x, y0: y, x1: x.saturating_add(stamp.width as i32), y1: y.saturating_add(stamp.height as i32) };
        let area = own.intersection(&self.area());
        if area.is_empty() {
            return;
        }
        for (component, value) in self.components.iter().zip(ink) {
            let (sub_x, sub_y) = (component.sub_x, component.sub_y);
            if (sub_x, sub_y) == (0, 0) {
                for py in area.y0..area.y1 {
                    let Some(row) = row(&mut self.planes, component, py as usize) else {
                        continue;
                    };
                    let Some(row) = row.get_mut(area.x0 as usize * component.step..) else {
                        continue;
                    };
                    let line = stamp.line(py - y, area.x0 - x, area.x1 - x);
                    for (sample, share) in row.iter_mut().step_by(component.step).zip(line) {
                        mix(sample, value, u32::from(*share));
                    }
                }
                continue;
            }
            let pixels = 1u32 << (sub_x + sub_y);
            for sy in area.y0 >> sub_y..=(area.y1 - 1) >> sub_y {
                let Some(row) = row(&mut self.planes, component, sy as usize) else {
                    continue;
                };
                let rows = (sy << sub_y).max(area.y0)..((sy + 1) << sub_y).min(area.y1);
                for sx in area.x0 >> sub_x..=(area.x1 - 1) >> sub_x {
                    let columns = (sx << sub_x).max(area.x0)..((sx + 1) << sub_x).min(area.x1);
                    let mut sum = 0u32;
                    for py in rows.clone() {
                        let line = stamp.line(py - y, columns.start - x, columns.end - x);
                        sum += line.iter().map(|c| u32::from(*c)).sum::<u32>();
                    }
                    if sum > 0 {
                        blend(row, sx as usize * component.step, value, sum / pixels);
                    }
                }
            }
        }
    }
}

/// The samples along one axis that serve the pixels from `start` to `end`.
struct Samples {
    first: usize,
    end: usize,
    start_pixel: usize,
    end_pixel: usize,
    sub: u32,
}

impl Samples {
    /// `start < end`, both within 0 and `size`, the picture's pixels along this axis. At its far border the last
    /// sample may serve fewer pixels than others, and is covered whole by covering those.
    fn new(start: i32, end: i32, size: i32, sub: u32) -> Self {
        let (start_pixel, mut end_pixel) = (start as usize, end as usize);
        let block = 1 << sub;
        if end == size {
            end_pixel = end_pixel.next_multiple_of(block);
        }
        Samples { first: start_pixel >> sub, end: end_pixel.div_ceil(block), start_pixel, end_pixel, sub }
    }

    /// How much of a sample's pixels are covered, 0 to 255.
    fn share(&self, sample: usize) -> u32 {
        let covered = self.end_pixel.min((sample + 1) << self.sub) - self.start_pixel.max(sample << self.sub);
        (covered as u32 * 255) >> self.sub
    }

    /// The samples that are covered whole.
    fn whole(&self) -> std::ops::Range<usize> {
        self.start_pixel.div_ceil(1 << self.sub)..self.end_pixel >> self.sub
    }

    /// The samples at either end that are covered in part.
    fn partial(&self) -> impl Iterator<Item = usize> {
        let whole = self.whole();
        (self.first..self.end.min(whole.start)).chain(self.first.max(whole.end).max(whole.start)..self.end)
    }
}

/// The bytes of a component's row `y`, from its first sample on.
fn row<'p>(planes: &'p mut [Plane<'_>; 4], component: &Component, y: usize) -> Option<&'p mut [u8]> {
    let plane = planes.get_mut(component.plane)?;
    let start = y.checked_mul(plane.stride)?;
    let end = (start + plane.stride).min(plane.data.len());
    plane.data.get_mut(start + component.offset..end)
}

fn fill_samples(row: &mut [u8], step: usize, samples: std::ops::Range<usize>, value: u8) {
    if samples.is_empty() {
        return;
    }
    // The last sample need not be followed by a whole step.
    let end = ((samples.end - 1) * step + 1).min(row.len());
    let Some(row) = row.get_mut(samples.start * step..end) else {
        return;
    };
    if step == 1 {
        row.fill(value);
    } else {
        row.iter_mut().step_by(step).for_each(|sample| *sample = value);
    }
}

/// Mixes `value` into the sample at `index`; `share` is 0 to 255.
fn blend(row: &mut [u8], index: usize, value: u8, share: u32) {
    if let Some(sample) = row.get_mut(index) {
        mix(sample, value, share);
    }
}

fn mix(sample: &mut u8, value: u8, share: u32) {
    *sample = ((u32::from(*sample) * (255 - share) + u32::from(value) * share + 127) / 255) as u8;
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ALL, Frame, I420, NV12, YUY2};
    use super::*;

    const INK: Ink = [10, 20, 30, 255];

    #[test]
    fn every_format_gets_its_components_and_nothing_else() {
        for layout in ALL {
            for (width, height) in [(16, 12), (17, 13), (1, 1), (2, 1), (1, 3)] {
                let mut frame = Frame::new(width, height, layout);
                frame.canvas().fill(Area { x0: -4, y0: -4, x1: 100, y1: 100 }, INK);
                for (component, value) in INK.iter().take(layout.len()).enumerate() {
                    for (x, y) in [(0, 0), (width - 1, height - 1)] {
                        assert_eq!(frame.sample(component, x, y), *value, "{layout:?} {width}x{height}");
                    }
                }
                assert!(frame.padding_is_untouched(), "{layout:?} {width}x{height}");
            }
        }
    }

    #[test]
    fn a_rectangle_ends_where_it_says() {
        for layout in ALL {
            let mut frame = Frame::new(16, 12, layout);
            frame.canvas().fill(Area { x0: 4, y0: 2, x1: 10, y1: 8 }, INK);
            for y in 0..12 {
                for x in 0..16 {
                    let inside = (4..10).contains(&x) && (2..8).contains(&y);
                    for (component, value) in INK.iter().enumerate().take(layout.len()) {
                        let expected = if inside { *value } else { 100 };
                        assert_eq!(frame.sample(component, x, y), expected, "{layout:?} {component} at {x},{y}");
                    }
                }
            }
        }
    }

    #[test]
    fn chroma_covered_in_part_is_mixed_in_that_part() {
        let mut frame = Frame::new(8, 8, I420);
        frame.canvas().fill(Area { x0: 1, y0: 1, x1: 5, y1: 2 }, [0, 200, 200, 255]);
        assert_eq!(frame.sample(1, 0, 0), 125, "one pixel of four");
        assert_eq!(frame.sample(1, 2, 1), 150, "two of four");
        assert_eq!(frame.sample(1, 4, 1), 125, "one of four");
        assert_eq!(frame.sample(1, 6, 1), 100);
        assert_eq!(frame.sample(1, 2, 2), 100);
    }

    #[test]
    fn a_line_within_one_chroma_sample_is_mixed_once() {
        let mut frame = Frame::new(8, 8, YUY2);
        frame.canvas().fill(Area { x0: 2, y0: 0, x1: 3, y1: 8 }, [0, 200, 200, 255]);
        assert_eq!(frame.sample(1, 2, 3), 150);
        assert_eq!(frame.sample(1, 0, 3), 100);
        assert_eq!(frame.sample(1, 4, 3), 100);
    }

    #[test]
    fn a_stamp_mixes_by_its_coverage_and_is_cut_at_the_border() {
        let stamp = Stamp { width: 2, height: 2, coverage: vec![0, 51, 255, 255] };
        for layout in ALL {
            let mut frame = Frame::new(7, 7, layout);
            frame.canvas().stamp(2, 2, &stamp, [200, 200, 200, 255]);
            assert_eq!(frame.sample(0, 2, 2), 100);
            assert_eq!(frame.sample(0, 3, 2), 120);
            assert_eq!(frame.sample(0, 2, 3), 200);
            for (x, y) in [(-1, -1), (6, 6), (-2, 0), (7, 7), (i32::MAX, i32::MAX), (i32::MIN, 0)] {
                frame.canvas().stamp(x, y, &stamp, [200, 200, 200, 255]);
            }
            assert_eq!(frame.sample(0, 0, 0), 200, "the stamp's last pixel at -1,-1");
            assert_eq!(frame.sample(0, 6, 6), 100, "the stamp's first pixel covers nothing");
            assert!(frame.padding_is_untouched());
        }
        let mut frame = Frame::new(8, 8, NV12);
        frame.canvas().stamp(2, 2, &stamp, [0, 200, 200, 255]);
        assert_eq!(frame.sample(1, 2, 2), 155, "the mean of the four");
    }

    #[test]
    fn planes_shorter_than_the_frame_do_no_harm() {
        let mut frame = Frame::new(16, 16, I420);
        frame.data.iter_mut().for_each(|plane| plane.truncate(plane.len() / 3));
        frame.canvas().fill(Area { x0: 0, y0: 0, x1: 16, y1: 16 }, INK);
        frame.canvas().stamp(3, 9, &Stamp { width: 1, height: 1, coverage: vec![255] }, INK);
        assert_eq!(frame.sample(0, 0, 0), INK[0]);
    }
}
