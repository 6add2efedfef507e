//! Training pictures out of labelled ones: placed at random scales and positions, alone or four together (mosaic, as in
//! YOLOv4), mirrored, and with other light, colour, sharpness and noise. Everything follows from the generator that is
//! handed in, so a seed repeats a training run.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::picture::{PAD, Picture, Placement};
use super::{Object, Truth};
use crate::boxes::Rect;

/// What may happen to a training picture. Probabilities are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Recipe {
    /// Probability of four pictures on one canvas.
    pub mosaic: f64,
    /// Smallest and largest scale against the letterboxed picture.
    pub scale: [f64; 2],
    /// The same for each picture of a mosaic.
    pub mosaic_scale: [f64; 2],
    /// Largest change of the aspect ratio, as a factor.
    pub aspect: f64,
    pub mirror: f64,
    /// Upside down too: for pictures that have no up, as under a microscope.
    pub flip: f64,
    /// Strength of changes of light and colour; 0 leaves both.
    pub colour: f64,
    pub monochrome: f64,
    pub blur: f64,
    pub noise: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            mosaic: 0.5,
            scale: [0.5, 2.0],
            mosaic_scale: [0.35, 1.4],
            aspect: 1.2,
            mirror: 0.5,
            flip: 0.0,
            colour: 1.0,
            monochrome: 0.1,
            blur: 0.1,
            noise: 0.15,
        }
    }
}

/// Of an object cut by an edge, the least visible part that still must be found; less is neither truth nor background.
const LEAST_VISIBLE: f32 = 0.25;
/// Objects smaller than this many pixels on a side are ignored likewise.
const LEAST_SIDE: f32 = 4.0;

/// A labelled picture of network-input size.
#[derive(Debug, Clone)]
pub struct Example {
    pub picture: Picture,
    pub truth: Truth,
}

/// As the elements do at run time: letterboxed, nothing else.
pub fn letterbox(picture: &Picture, truth: &Truth, size: (usize, usize)) -> (Example, Placement) {
    let placement = Placement::letterbox(picture.width(), picture.height(), size);
    let mut canvas = Canvas::new(size, PAD);
    canvas.place(picture, truth, &placement, [0, 0, size.0, size.1]);
    (canvas.example, placement)
}

impl Recipe {
    /// A training picture of `size` (width, height) from as many labelled ones as `pick` is asked for. Scales are against
    /// pictures letterboxed into `full`, the network's input; a `size` below that trains on cut-outs, which costs less for
    /// the same objects. `mosaics` false keeps to single pictures: the last part of a training run, which then sees what
    /// it will be used on.
    pub fn compose<'a, R: Rng>(
        &self,
        rng: &mut R,
        full: (usize, usize),
        size: (usize, usize),
        mosaics: bool,
        mut pick: impl FnMut(&mut R) -> (&'a Picture, &'a Truth),
    ) -> Example {
        let (width, height) = size;
        let mut canvas = Canvas::new(size, PAD);
        if mosaics && rng.random_bool(self.mosaic) {
            let x = (width as f32 * rng.random_range(0.3..0.7)) as usize;
            let y = (height as f32 * rng.random_range(0.3..0.7)) as usize;
            for region in [[0, 0, x, y], [x, 0, width, y], [0, y, x, height], [x, y, width, height]] {
                let (picture, truth) = pick(rng);
                let placement = self.placement(rng, picture, truth, full, region, self.mosaic_scale);
                canvas.place(picture, truth, &placement, region);
            }
        } else {
            let (picture, truth) = pick(rng);
            let region = [0, 0, width, height];
            let placement = self.placement(rng, picture, truth, full, region, self.scale);
            canvas.place(picture, truth, &placement, region);
        }
        self.recolour(rng, &mut canvas.example.picture);
        if rng.random_bool(self.blur) {
            blur(&mut canvas.example.picture);
        }
        if rng.random_bool(self.noise) {
            add_noise(rng, &mut canvas.example.picture);
        }
        canvas.example
    }

    fn placement(
        &self,
        rng: &mut impl Rng,
        picture: &Picture,
        truth: &Truth,
        full: (usize, usize),
        region: [usize; 4],
        scales: [f64; 2],
    ) -> Placement {
        let mut placement = Placement::letterbox(picture.width(), picture.height(), full);
        let scale = rng.random_range(scales[0].ln()..=scales[1].ln()).exp() as f32;
        let aspect = self.aspect.max(1.0).ln() / 2.0;
        let aspect = rng.random_range(-aspect..=aspect).exp() as f32;
        placement.scale_x *= scale * aspect;
        placement.scale_y *= scale / aspect;
        placement.mirror_x = rng.random_bool(self.mirror);
        placement.mirror_y = rng.random_bool(self.flip);
        (placement.x, placement.y) = (0.0, 0.0);
        // Mostly, some object comes to lie in the region; where it comes to lie is left to chance.
        let middle = if !truth.objects.is_empty() && rng.random_bool(0.8) {
            let object = &truth.objects[rng.random_range(0..truth.objects.len())];
            let rect = placement.map(&object.rect);
            Some((rect.x + rect.w / 2.0, rect.y + rect.h / 2.0))
        } else {
            None
        };
        let mut offset = |from: usize, to: usize, extent: f32, middle: Option<f32>| {
            let (from, to) = (from as f32, to as f32);
            // Between flush left and flush right, whichever of picture and region is the larger.
            let (least, most) = (from.min(to - extent), from.max(to - extent));
            match middle {
                Some(middle) => (rng.random_range(from..=to) - middle).clamp(least, most),
                None => rng.random_range(least..=most),
            }
        };
        let extent = (placement.width * placement.scale_x, placement.height * placement.scale_y);
        placement.x = offset(region[0], region[2], extent.0, middle.map(|m| m.0));
        placement.y = offset(region[1], region[3], extent.1, middle.map(|m| m.1));
        placement
    }

    /// Gain, offset and gamma of each channel through a table; then saturation.
    fn recolour(&self, rng: &mut impl Rng, picture: &mut Picture) {
        let mut around = |spread: f64| (rng.random_range(-1.0..=1.0) * spread * self.colour) as f32;
        let (gamma, gain, offset) = (around(0.5).exp(), around(0.35).exp(), around(0.12));
        let tables = [(); 3].map(|()| {
            let tint = around(0.1).exp();
            std::array::from_fn::<u8, 256, _>(|v| {
                let value = (v as f32 / 255.0).powf(gamma);
                (((value - 0.5) * gain + 0.5 + offset) * tint * 255.0).clamp(0.0, 255.0) as u8
            })
        });
        let saturation = around(0.6).exp();
        let saturation = if rng.random_bool(self.monochrome) { 0 } else { (saturation * 256.0) as i32 };
        for pixel in picture.rgb_mut().chunks_exact_mut(3) {
            let [r, g, b] = [0, 1, 2].map(|c| tables[c][pixel[c] as usize] as i32);
            let grey = (77 * r + 150 * g + 29 * b) >> 8;
            for (value, colour) in pixel.iter_mut().zip([r, g, b]) {
                *value = (grey + (((colour - grey) * saturation) >> 8)).clamp(0, 255) as u8;
            }
        }
    }
}

/// A picture in the making and what is true of it so far.
struct Canvas {
    example: Example,
}

impl Canvas {
    fn new((width, height): (usize, usize), fill: u8) -> Self {
        Canvas { example: Example { picture: Picture::grey(width, height, fill), truth: Truth::default() } }
    }

    fn place(&mut self, picture: &Picture, truth: &Truth, placement: &Placement, region: [usize; 4]) {
        self.example.picture.draw(picture, placement, region);
        let [x1, y1, x2, y2] = region.map(|v| v as f32);
        let cut = |rect: &Rect| {
            let shifted = Rect { x: rect.x - x1, y: rect.y - y1, ..*rect }.clip(x2 - x1, y2 - y1);
            Rect { x: shifted.x + x1, y: shifted.y + y1, ..shifted }
        };
        let placed = &mut self.example.truth;
        for object in &truth.objects {
            let whole = placement.map(&object.rect);
            let visible = cut(&whole);
            let large = visible.w >= LEAST_SIDE && visible.h >= LEAST_SIDE;
            if large && visible.area() >= LEAST_VISIBLE * whole.area() {
                placed.objects.push(Object { rect: visible, class: object.class });
            } else if visible.area() > 0.0 {
                placed.ignore.push(visible);
            }
        }
        placed.ignore.extend(truth.ignore.iter().map(|area| cut(&placement.map(area))).filter(|r| r.area() > 0.0));
    }
}

/// A 3x3 box blur, once along rows and once along columns.
fn blur(picture: &mut Picture) {
    let row = picture.width() * 3;
    for step in [3, row] {
        let source = picture.rgb().to_vec();
        let inner = step..source.len() - step;
        for (at, value) in picture.rgb_mut()[inner.clone()].iter_mut().zip(inner) {
            let sum = source[value - step] as u16 + source[value] as u16 + source[value + step] as u16;
            *at = (sum / 3) as u8;
        }
    }
}

/// Sensor noise: the sum of two uniform values per sample, of a strength of up to 16 grey levels.
fn add_noise(rng: &mut impl Rng, picture: &mut Picture) {
    let strength = rng.random_range(2..=16i32);
    // One draw of the generator serves four samples.
    for samples in picture.rgb_mut().chunks_mut(4) {
        let mut bits = rng.random::<u64>();
        for value in samples {
            let sum = (bits & 0xff) as i32 + (bits >> 8 & 0xff) as i32 - 255;
            bits >>= 16;
            *value = (*value as i32 + sum * strength / 255).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    /// Black, with one white object.
    fn sample() -> (Picture, Truth) {
        let mut picture = Picture::grey(200, 100, 0);
        for y in 40..70 {
            for x in 120..140 {
                picture.rgb_mut()[(y * 200 + x) * 3..][..3].fill(255);
            }
        }
        let rect = Rect { x: 120.0, y: 40.0, w: 20.0, h: 30.0 };
        (picture, Truth { objects: vec![Object { rect, class: 0 }], ignore: vec![] })
    }

    #[test]
    fn boxes_follow_the_pixels() {
        let (picture, truth) = sample();
        let recipe = Recipe { colour: 0.0, monochrome: 0.0, blur: 0.0, noise: 0.0, flip: 0.5, ..Recipe::default() };
        let mut rng = StdRng::seed_from_u64(3);
        let mut seen = 0;
        for _ in 0..50 {
            let example = recipe.compose(&mut rng, (160, 96), (160, 96), true, |_| (&picture, &truth));
            for object in &example.truth.objects {
                let r = object.rect;
                let (x, y) = ((r.x + r.w / 2.0) as usize, (r.y + r.h / 2.0) as usize);
                assert!(example.picture.rgb()[(y * 160 + x) * 3] > 250, "{r:?} has no object in its middle");
                seen += 1;
            }
            let white = example.picture.rgb().iter().step_by(3).filter(|&&v| v > 200).count() as f32;
            let known = example.truth.objects.iter().map(|o| o.rect.area());
            let known = known.chain(example.truth.ignore.iter().map(Rect::area)).sum::<f32>();
            assert!((white - known).abs() <= 0.2 * known + 80.0, "{white} white pixels, boxes of {known}");
        }
        assert!(seen > 60);
    }

    #[test]
    fn a_seed_repeats_a_picture() {
        let (picture, truth) = sample();
        let compose = |seed| {
            Recipe::default()
                .compose(&mut StdRng::seed_from_u64(seed), (64, 64), (64, 32), true, |_| (&picture, &truth))
        };
        let (a, b, c) = (compose(1), compose(1), compose(2));
        assert_eq!((&a.picture, &a.truth), (&b.picture, &b.truth));
        assert_ne!(a.picture, c.picture);
    }

    #[test]
    fn slivers_are_neither_truth_nor_background() {
        let (picture, truth) = sample();
        let mut canvas = Canvas::new((200, 100), PAD);
        canvas.place(&picture, &truth, &Placement::letterbox(200, 100, (200, 100)), [0, 0, 124, 100]);
        assert!(canvas.example.truth.objects.is_empty());
        assert_eq!(canvas.example.truth.ignore, [Rect { x: 120.0, y: 40.0, w: 4.0, h: 30.0 }]);
    }

    #[test]
    fn letterboxed_truth_is_in_input_pixels() {
        let (picture, truth) = sample();
        let (example, _) = letterbox(&picture, &truth, (100, 100));
        assert_eq!(example.truth.objects[0].rect, Rect { x: 60.0, y: 45.0, w: 10.0, h: 15.0 });
    }
}
