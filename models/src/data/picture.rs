//! An RGB picture in memory, and bilinear drawing of one into another.

use crate::boxes::Rect;

/// The grey that fills what a letterboxed picture leaves free, as in the YOLO family.
pub const PAD: u8 = 114;

/// 8-bit RGB, rows without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// `None` when `rgb` does not hold `width * height * 3` bytes, or the picture has no pixel.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Option<Self> {
        let bytes = width.checked_mul(height)?.checked_mul(3)?;
        (bytes > 0 && rgb.len() == bytes).then_some(Picture { width, height, rgb })
    }

    /// A picture of one grey. At least one pixel large.
    pub fn grey(width: usize, height: usize, value: u8) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        Picture { width, height, rgb: vec![value; width * height * 3] }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Row by row, `height * width * 3` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// Draws `source` where `placement` puts it, but only inside `region` (x from, y from, x to, y to). Bilinear, pixel
    /// centres at half positions, edges repeated; the same as OpenCV's and PyTorch's (align_corners = false).
    pub fn draw(&mut self, source: &Picture, placement: &Placement, region: [usize; 4]) {
        let inside = placement.map(&Rect { x: 0.0, y: 0.0, w: source.width as f32, h: source.height as f32 });
        let span = |from: f32, extent: f32, least: usize, most: usize| {
            let first = (from.round().max(0.0) as usize).max(least);
            let end = ((from + extent).round().max(0.0) as usize).min(most);
            first..end.max(first)
        };
        let columns = span(inside.x, inside.w, region[0], region[2].min(self.width));
        let rows = span(inside.y, inside.h, region[1], region[3].min(self.height));
        let mut xs = taps(columns.clone(), placement.x, placement.scale_x, source.width);
        let mut ys = taps(rows.clone(), placement.y, placement.scale_y, source.height);
        if placement.mirror_x {
            xs.iter_mut().for_each(|tap| tap.mirror(source.width));
        }
        if placement.mirror_y {
            ys.iter_mut().for_each(|tap| tap.mirror(source.height));
        }
        for (row, y) in rows.zip(&ys) {
            let upper = &source.rgb[y.first * source.width * 3..][..source.width * 3];
            let lower = &source.rgb[y.second * source.width * 3..][..source.width * 3];
            let out = &mut self.rgb[(row * self.width + columns.start) * 3..][..columns.len() * 3];
            for (pixel, x) in out.chunks_exact_mut(3).zip(&xs) {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    let (left, right) = (x.first * 3 + channel, x.second * 3 + channel);
                    // 11 bits of fraction on each axis, as OpenCV has.
                    let top = upper[left] as i32 * (ONE - x.weight) + upper[right] as i32 * x.weight;
                    let bottom = lower[left] as i32 * (ONE - x.weight) + lower[right] as i32 * x.weight;
                    let sum = (top >> 4) * (ONE - y.weight) + (bottom >> 4) * y.weight;
                    *value = ((sum + (1 << 17)) >> 18).clamp(0, 255) as u8;
                }
            }
        }
    }
}

const ONE: i32 = 1 << 11;

/// Where one output sample takes its two inputs from, on one axis.
struct Tap {
    first: usize,
    second: usize,
    weight: i32,
}

impl Tap {
    fn mirror(&mut self, length: usize) {
        (self.first, self.second) = (length - 1 - self.first, length - 1 - self.second);
    }
}

fn taps(span: std::ops::Range<usize>, offset: f32, scale: f32, length: usize) -> Vec<Tap> {
    let last = length - 1;
    span.map(|position| {
        let at = ((position as f32 + 0.5 - offset) / scale - 0.5).clamp(0.0, last as f32);
        let first = at as usize;
        Tap { first, second: (first + 1).min(last), weight: ((at - first as f32) * ONE as f32).round() as i32 }
    })
    .collect()
}

/// How a picture is scaled, mirrored and moved onto another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Where the left and top edge come to lie.
    pub x: f32,
    pub y: f32,
    pub scale_x: f32,
    pub scale_y: f32,
    pub mirror_x: bool,
    pub mirror_y: bool,
    /// Size of the picture that is placed; mirroring turns around its middle.
    pub width: f32,
    pub height: f32,
}

impl Placement {
    /// Scaled to fit into `target`, aspect kept, centred; sizes are rounded to whole pixels as Ultralytics does.
    pub fn letterbox(width: usize, height: usize, target: (usize, usize)) -> Self {
        let (w, h) = (width as f64, height as f64);
        let ratio = (target.0 as f64 / w).min(target.1 as f64 / h);
        let (new_w, new_h) = ((w * ratio).round().max(1.0), (h * ratio).round().max(1.0));
        // Half a pixel of free space goes to the right and the bottom.
        let half = |free: f64| (free / 2.0 - 0.1).round().max(0.0) as f32;
        Placement {
            x: half(target.0 as f64 - new_w),
            y: half(target.1 as f64 - new_h),
            scale_x: (new_w / w) as f32,
            scale_y: (new_h / h) as f32,
            mirror_x: false,
            mirror_y: false,
            width: width as f32,
            height: height as f32,
        }
    }

    /// From the placed picture's pixels to the pixels of what it is placed on.
    pub fn map(&self, rect: &Rect) -> Rect {
        let x = if self.mirror_x { self.width - rect.x - rect.w } else { rect.x };
        let y = if self.mirror_y { self.height - rect.y - rect.h } else { rect.y };
        Rect {
            x: x * self.scale_x + self.x,
            y: y * self.scale_y + self.y,
            w: rect.w * self.scale_x,
            h: rect.h * self.scale_y,
        }
    }

    /// The inverse of [`Placement::map`].
    pub fn unmap(&self, rect: &Rect) -> Rect {
        let (w, h) = (rect.w / self.scale_x, rect.h / self.scale_y);
        let (x, y) = ((rect.x - self.x) / self.scale_x, (rect.y - self.y) / self.scale_y);
        Rect {
            x: if self.mirror_x { self.width - x - w } else { x },
            y: if self.mirror_y { self.height - y - h } else { y },
            w,
            h,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: usize, height: usize) -> Picture {
        let rgb = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8 * 10, y as u8 * 10, 7])).collect();
        Picture::new(width, height, rgb).unwrap()
    }

    #[test]
    fn drawing_at_full_size_copies_and_mirrors() {
        let source = gradient(5, 4);
        let mut copy = Picture::grey(5, 4, 0);
        let mut placement = Placement::letterbox(5, 4, (5, 4));
        copy.draw(&source, &placement, [0, 0, 5, 4]);
        assert_eq!(copy, source);
        placement.mirror_x = true;
        copy.draw(&source, &placement, [0, 0, 5, 4]);
        assert_eq!(copy.rgb()[..6], [40, 0, 7, 30, 0, 7]);
    }

    #[test]
    fn doubling_interpolates_between_pixel_centres() {
        let source = Picture::new(2, 1, vec![0, 0, 0, 100, 100, 100]).unwrap();
        let mut out = Picture::grey(4, 2, 9);
        out.draw(&source, &Placement::letterbox(2, 1, (4, 2)), [0, 0, 4, 2]);
        let row: Vec<u8> = out.rgb()[..12].iter().step_by(3).copied().collect();
        assert_eq!(row, [0, 25, 75, 100]);
    }

    #[test]
    fn letterboxing_centres_and_pads() {
        let placement = Placement::letterbox(768, 576, (640, 384));
        assert_eq!((placement.x, placement.y), (64.0, 0.0));
        let mut canvas = Picture::grey(640, 384, PAD);
        canvas.draw(&Picture::grey(768, 576, 5), &placement, [0, 0, 640, 384]);
        let at = |x: usize, y: usize| canvas.rgb()[(y * 640 + x) * 3];
        assert_eq!([at(63, 0), at(64, 0), at(575, 383), at(576, 383)], [PAD, 5, 5, PAD]);
    }

    #[test]
    fn boxes_go_there_and_back() {
        let mut placement = Placement::letterbox(641, 479, (320, 192));
        (placement.mirror_x, placement.mirror_y) = (true, true);
        let rect = Rect { x: 10.0, y: 20.0, w: 100.0, h: 50.0 };
        let back = placement.unmap(&placement.map(&rect));
        assert!((back.x - 10.0).abs() < 1e-2 && (back.y - 20.0).abs() < 1e-2 && (back.w - 100.0).abs() < 1e-2);
    }

    #[test]
    fn a_region_is_not_left() {
        let mut canvas = Picture::grey(8, 8, 0);
        canvas.draw(&Picture::grey(8, 8, 200), &Placement::letterbox(8, 8, (8, 8)), [2, 2, 4, 5]);
        assert_eq!(canvas.rgb().iter().filter(|&&v| v == 200).count(), 2 * 3 * 3);
    }
}
