//! Where a source rectangle lies in a network's input, and the way back for boxes.

use std::fmt;

/// How a picture is brought to the size of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Scaled evenly until it fits inside, centred, the rest padded; sizes and padding are rounded as ultralytics does.
    Letterbox,
    /// Scaled to the input's size, each axis by itself.
    Stretch,
    /// Scaled evenly until it covers, the centre kept; rounded as torchvision's `CenterCrop`.
    Crop,
}

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Rect {
    pub fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Rect { x, y, width, height }
    }

    /// Whether it has an area and lies inside a picture of this size.
    pub(super) fn lies_in(&self, width: usize, height: usize) -> bool {
        let fits = |start: usize, len: usize, limit| len > 0 && start.checked_add(len).is_some_and(|end| end <= limit);
        fits(self.x, self.width, width) && fits(self.y, self.height, height)
    }
}

impl fmt::Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}x{}+{}+{}", self.width, self.height, self.x, self.y)
    }
}

/// The mapping between a source rectangle, in frame pixels, and a network's input, in input pixels.
///
/// Sizes are whole pixels, so the two axes' scales may differ a little; boxes are mapped with the scales that pixels were
/// mapped with, as ultralytics' `scale_boxes` does since 8.4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    source: Rect,
    input: (usize, usize),
    /// The part of the input that shows the source; all of it but for a letterbox.
    placed: Rect,
    /// Size of the whole scaled source, and how much of its left and top a crop leaves out.
    scaled: (usize, usize),
    cropped: (usize, usize),
    /// Input pixels a source pixel.
    gain: (f64, f64),
}

impl Geometry {
    /// Fits `source` into an input of `width` x `height`; none of the sides is 0.
    pub fn new(source: Rect, width: usize, height: usize, fit: Fit) -> Self {
        let (sw, sh) = (source.width as f64, source.height as f64);
        let ratio = (width as f64 / sw, height as f64 / sh);
        let whole = Rect::new(0, 0, width, height);
        let full = Geometry {
            source,
            input: (width, height),
            placed: whole,
            scaled: (width, height),
            cropped: (0, 0),
            gain: ratio,
        };
        match fit {
            Fit::Stretch => full,
            Fit::Letterbox => {
                let gain = ratio.0.min(ratio.1);
                let side = |len: f64, limit: usize| ((len * gain).round_ties_even() as usize).clamp(1, limit);
                let (w, h) = (side(sw, width), side(sh, height));
                // Half a pixel goes to the right and the bottom.
                let before = |free: usize| (free as f64 / 2.0 - 0.1).round().max(0.0) as usize;
                let placed = Rect::new(before(width - w), before(height - h), w, h);
                Geometry { placed, scaled: (w, h), gain: (w as f64 / sw, h as f64 / sh), ..full }
            }
            Fit::Crop => {
                let gain = ratio.0.max(ratio.1);
                let side = |len: f64, least: usize| ((len * gain).round_ties_even() as usize).max(least);
                let (w, h) = (side(sw, width), side(sh, height));
                let before = |over: usize| (over as f64 / 2.0).round_ties_even() as usize;
                let cropped = (before(w - width), before(h - height));
                Geometry { scaled: (w, h), cropped, gain: (w as f64 / sw, h as f64 / sh), ..full }
            }
        }
    }

    /// The rectangle of the frame that the input shows, in frame pixels.
    pub fn source(&self) -> Rect {
        self.source
    }

    /// Width and height of the input.
    pub fn input(&self) -> (usize, usize) {
        self.input
    }

    /// The part of the input that is not padding.
    pub fn placed(&self) -> Rect {
        self.placed
    }

    /// Input pixels a source pixel, across and down.
    pub fn gain(&self) -> (f32, f32) {
        (self.gain.0 as f32, self.gain.1 as f32)
    }

    /// Maps a box (x1, y1, x2, y2) from input pixels to frame pixels and clips it to the source rectangle.
    pub fn to_source(&self, [x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
        let (left, top) = self.shift();
        let map = |v: f32, shift: f64, gain: f64, start: usize, len: usize| {
            (((v as f64 - shift) / gain).clamp(0.0, len as f64) + start as f64) as f32
        };
        let Rect { x, y, width, height } = self.source;
        let across = |v| map(v, left, self.gain.0, x, width);
        let down = |v| map(v, top, self.gain.1, y, height);
        [across(x1), down(y1), across(x2), down(y2)]
    }

    /// Maps a box (x1, y1, x2, y2) from frame pixels to input pixels, without clipping.
    pub fn to_input(&self, [x1, y1, x2, y2]: [f32; 4]) -> [f32; 4] {
        let (left, top) = self.shift();
        let across = |v: f32| ((v as f64 - self.source.x as f64) * self.gain.0 + left) as f32;
        let down = |v: f32| ((v as f64 - self.source.y as f64) * self.gain.1 + top) as f32;
        [across(x1), down(y1), across(x2), down(y2)]
    }

    /// Where the source's top left corner comes to lie in the input; negative for a crop.
    fn shift(&self) -> (f64, f64) {
        let at = |placed: usize, cropped: usize| placed as f64 - cropped as f64;
        (at(self.placed.x, self.cropped.0), at(self.placed.y, self.cropped.1))
    }

    /// How the placed columns and rows are sampled, in this order.
    pub(super) fn axes(&self) -> (Axis, Axis) {
        let axis = |outputs, skipped, scaled: usize, len: usize| Axis { outputs, skipped, scaled, len };
        (
            axis(self.placed.width, self.cropped.0, self.scaled.0, self.source.width),
            axis(self.placed.height, self.cropped.1, self.scaled.1, self.source.height),
        )
    }
}

/// One direction of a scaling: output `i` of `outputs` is sample `i + skipped` of `len` samples scaled to `scaled`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub outputs: usize,
    pub skipped: usize,
    pub scaled: usize,
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(width: usize, height: usize) -> Rect {
        Rect::new(0, 0, width, height)
    }

    /// What ultralytics 8.4.190 gives: `LetterBox(auto=False).get_params` as left, top and `new_unpad`, and
    /// `scale_boxes` for the box (100.5, 150.25, 500, 380) of the input.
    #[test]
    fn letterbox_places_and_scales_back_as_ultralytics() {
        for (frame, input, placed, expected) in [
            ((1280, 720), (640, 640), Rect::new(0, 140, 640, 360), [201.0, 20.5, 1000.0, 480.0]),
            ((1280, 720), (640, 384), Rect::new(0, 12, 640, 360), [201.0, 276.5, 1000.0, 720.0]),
            ((810, 1080), (640, 640), Rect::new(80, 0, 480, 640), [34.594, 253.547, 708.75, 641.25]),
            ((768, 576), (640, 384), Rect::new(64, 0, 512, 384), [54.75, 225.375, 654.0, 570.0]),
            ((427, 640), (640, 640), Rect::new(106, 0, 427, 640), [0.0, 150.25, 394.0, 380.0]),
            ((500, 333), (640, 640), Rect::new(0, 107, 640, 426), [78.516, 33.808, 390.625, 213.401]),
            ((17, 31), (640, 640), Rect::new(144, 0, 351, 640), [0.0, 7.278, 17.0, 18.406]),
            ((1, 1), (640, 384), Rect::new(128, 0, 384, 384), [0.0, 0.391, 0.969, 0.99]),
            ((1921, 1079), (640, 384), Rect::new(0, 12, 640, 359), [301.657, 415.52, 1500.781, 1079.0]),
            ((4097, 3), (640, 640), Rect::new(0, 319, 640, 1), [643.357, 0.0, 3200.781, 3.0]),
        ] {
            let geometry = Geometry::new(whole(frame.0, frame.1), input.0, input.1, Fit::Letterbox);
            assert_eq!(geometry.placed(), placed, "{frame:?} in {input:?}");
            for (got, expected) in geometry.to_source([100.5, 150.25, 500.0, 380.0]).iter().zip(expected) {
                assert!((got - expected).abs() < 1e-3_f32, "{frame:?} in {input:?}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn slivers_keep_a_pixel() {
        let geometry = Geometry::new(whole(3, 4097), 64, 64, Fit::Letterbox);
        assert_eq!(geometry.placed(), Rect::new(31, 0, 1, 64));
        let geometry = Geometry::new(whole(3, 4097), 640, 640, Fit::Crop);
        assert_eq!(geometry.placed(), whole(640, 640));
    }

    #[test]
    fn boxes_come_back_from_any_fit() {
        let source = Rect::new(101, 57, 333, 211);
        for fit in [Fit::Letterbox, Fit::Stretch, Fit::Crop] {
            for input in [(640, 384), (224, 224), (96, 320)] {
                let geometry = Geometry::new(source, input.0, input.1, fit);
                let given = [120.5, 60.25, 400.0, 260.75];
                let back = geometry.to_source(geometry.to_input(given));
                for (a, b) in given.iter().zip(back) {
                    assert!((a - b).abs() < 1e-3, "{fit:?} {input:?}: {given:?} came back as {back:?}");
                }
            }
        }
    }

    #[test]
    fn boxes_are_clipped_to_the_source() {
        let geometry = Geometry::new(Rect::new(10, 20, 100, 50), 200, 200, Fit::Letterbox);
        assert_eq!(geometry.to_source([-5.0, 0.0, 300.0, 199.0]), [10.0, 20.0, 110.0, 70.0]);
        assert_eq!(geometry.to_source([0.0, 50.0, 100.0, 100.0]), [10.0, 20.0, 60.0, 45.0]);
    }

    #[test]
    fn crop_keeps_the_centre() {
        let geometry = Geometry::new(whole(1280, 720), 224, 224, Fit::Crop);
        // 1280 * 224 / 720 = 398.2, so 87 of 398 columns are left out on the left.
        assert_eq!(geometry.axes().0, Axis { outputs: 224, skipped: 87, scaled: 398, len: 1280 });
        let [x1, _, x2, _] = geometry.to_source([0.0, 0.0, 224.0, 224.0]);
        assert!((x1 + x2 - 1280.0).abs() < 1.0 && (x2 - x1 - 720.0).abs() < 1.0, "{x1} to {x2}");
    }
}
