//! Lines, dots and text on a white sheet, smooth at the edges. The font is that of torchoverlay, so none must be
//! installed.

use std::path::Path;

use anyhow::{Context, Result};
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, MetadataProvider};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Mask, Paint, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

static FONT: &[u8] = include_bytes!("../../../../../plugins/src/torchoverlay/font/DejaVuSansCondensed-Bold.subset.ttf");

/// Red, green, blue.
pub type Colour = [u8; 3];

pub struct Canvas {
    pixels: Pixmap,
    font: FontRef<'static>,
    /// Lines and dots are drawn within it only.
    clip: Option<Mask>,
}

#[derive(Clone, Copy)]
pub struct Pen {
    pub colour: Colour,
    pub width: f32,
    pub dashed: bool,
}

/// Which point of a text lies at the place that is given.
#[derive(Clone, Copy, PartialEq)]
pub enum Align {
    Left,
    Centre,
    Right,
}

impl Canvas {
    pub fn new(width: u32, height: u32) -> Result<Canvas> {
        let mut pixels = Pixmap::new(width, height).context("a plot has pixels")?;
        pixels.fill(Color::WHITE);
        Ok(Canvas { pixels, font: FontRef::new(FONT)?, clip: None })
    }

    /// Draws lines and dots within this rectangle only, until another is set.
    pub fn clip(&mut self, within: Option<[f32; 4]>) {
        self.clip = within.and_then(|[left, top, right, bottom]| {
            let mut mask = Mask::new(self.pixels.width(), self.pixels.height())?;
            let path = PathBuilder::from_rect(Rect::from_ltrb(left, top, right, bottom)?);
            mask.fill_path(&path, FillRule::Winding, false, Transform::identity());
            Some(mask)
        });
    }

    pub fn line(&mut self, points: &[(f32, f32)], pen: Pen) {
        let mut path = PathBuilder::new();
        for (index, &(x, y)) in points.iter().enumerate() {
            if index == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        let dash = if pen.dashed { StrokeDash::new(vec![4.0 * pen.width, 2.5 * pen.width], 0.0) } else { None };
        let stroke =
            Stroke { width: pen.width, dash, line_cap: LineCap::Butt, line_join: LineJoin::Round, ..Stroke::default() };
        if let Some(path) = path.finish() {
            let clip = self.clip.as_ref();
            self.pixels.stroke_path(&path, &paint(pen.colour), &stroke, Transform::identity(), clip);
        }
    }

    pub fn dot(&mut self, (x, y): (f32, f32), radius: f32, colour: Colour) {
        if let Some(path) = PathBuilder::from_circle(x, y, radius) {
            let clip = self.clip.as_ref();
            self.pixels.fill_path(&path, &paint(colour), FillRule::Winding, Transform::identity(), clip);
        }
    }

    /// `size` is the height of an em in pixels; `y` is the baseline.
    pub fn text(&mut self, text: &str, (x, y): (f32, f32), size: f32, align: Align, colour: Colour) {
        let width = self.text_width(text, size);
        let mut x = match align {
            Align::Left => x,
            Align::Centre => x - width / 2.0,
            Align::Right => x - width,
        };
        let em = Size::new(size);
        let (charmap, metrics) = (self.font.charmap(), self.font.glyph_metrics(em, LocationRef::default()));
        let outlines = self.font.outline_glyphs();
        for c in text.chars() {
            let id = charmap.map(c).unwrap_or_default();
            let mut outline = Outline { path: PathBuilder::new(), x, y };
            let drawn = outlines
                .get(id)
                .is_some_and(|g| g.draw(DrawSettings::unhinted(em, LocationRef::default()), &mut outline).is_ok());
            if let Some(path) = outline.path.finish().filter(|_| drawn) {
                self.pixels.fill_path(&path, &paint(colour), FillRule::Winding, Transform::identity(), None);
            }
            x += metrics.advance_width(id).unwrap_or_default();
        }
    }

    pub fn text_width(&self, text: &str, size: f32) -> f32 {
        let metrics = self.font.glyph_metrics(Size::new(size), LocationRef::default());
        let charmap = self.font.charmap();
        text.chars().map(|c| metrics.advance_width(charmap.map(c).unwrap_or_default()).unwrap_or_default()).sum()
    }

    /// Opaque pixels, row by row, from this corner on.
    pub fn picture(&mut self, rgb: &image::RgbImage, (left, top): (u32, u32)) {
        let width = self.pixels.width();
        let pixels = self.pixels.pixels_mut();
        for (x, y, pixel) in rgb.enumerate_pixels() {
            let [red, green, blue] = pixel.0;
            let at = ((top + y) * width + left + x) as usize;
            if let (Some(target), true) = (pixels.get_mut(at), left + x < width) {
                *target = tiny_skia::PremultipliedColorU8::from_rgba(red, green, blue, 255).unwrap_or(*target);
            }
        }
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let rgb = self.pixels.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
        let picture = image::RgbImage::from_raw(self.pixels.width(), self.pixels.height(), rgb);
        let picture = picture.context("a plot has all its pixels")?;
        picture.save_with_format(path, image::ImageFormat::Png).with_context(|| path.display().to_string())
    }
}

fn paint([red, green, blue]: Colour) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

/// Turns an outline, whose y points up, into a path at a place.
struct Outline {
    path: PathBuilder,
    x: f32,
    y: f32,
}

impl OutlinePen for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.x + x, self.y - y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.x + x, self.y - y);
    }

    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        self.path.quad_to(self.x + cx, self.y - cy, self.x + x, self.y - y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        self.path.cubic_to(self.x + cx0, self.y - cy0, self.x + cx1, self.y - cy1, self.x + x, self.y - y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
