//! Text from the built-in font: skrifa reads and hints the outlines, tiny-skia rasterises each glyph once a size.

use std::borrow::Cow;
use std::collections::HashMap;

use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, HintingInstance, HintingOptions, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider};
use tiny_skia::{FillRule, Mask, PathBuilder, Transform};

use super::canvas::{Canvas, Ink, Stamp};

/// See `font/README.md` for what it is and covers.
static FONT: &[u8] = include_bytes!("font/DejaVuSansCondensed-Bold.subset.ttf");

/// A glyph's picture, and where it goes relative to the pen on the baseline.
#[derive(Default)]
struct Glyph {
    stamp: Stamp,
    left: i32,
    top: i32,
    advance: i32,
}

/// The built-in font at one size. Glyphs are rasterised when first met, and there are only as many as the font has.
pub struct Typeface {
    font: FontRef<'static>,
    hinting: Option<HintingInstance>,
    size: u32,
    ascent: i32,
    descent: i32,
    glyphs: HashMap<GlyphId, Glyph>,
}

impl Typeface {
    /// `size` is the height of an em, in pixels. `None` if the font is not one, which a test rules out.
    pub fn new(size: u32) -> Option<Self> {
        let font = FontRef::new(FONT).ok()?;
        let em = Size::new(size as f32);
        // Unhinted text is less crisp, no more.
        let hinting =
            HintingInstance::new(&font.outline_glyphs(), em, LocationRef::default(), HintingOptions::default()).ok();
        let metrics = font.metrics(em, LocationRef::default());
        Some(Typeface {
            hinting,
            size,
            ascent: metrics.ascent.ceil() as i32,
            descent: (-metrics.descent).ceil() as i32,
            glyphs: HashMap::new(),
            font,
        })
    }

    pub fn size(&self) -> u32 {
        self.size
    }

    /// From the baseline to the top of the highest letters, in pixels.
    pub fn ascent(&self) -> i32 {
        self.ascent
    }

    /// From the top of the highest to the bottom of the lowest letters, in pixels.
    pub fn height(&self) -> i32 {
        self.ascent + self.descent
    }

    /// The width of a line of text, in pixels.
    pub fn width(&mut self, text: &str) -> i32 {
        text.chars().map(|c| self.glyph(c).advance).sum()
    }

    /// `text` as it is if it fits in `width`, else as much of it as does, and an ellipsis.
    pub fn fit<'t>(&mut self, text: &'t str, width: i32) -> Cow<'t, str> {
        if self.width(text) <= width {
            return Cow::Borrowed(text);
        }
        let mut room = width - self.glyph('…').advance;
        let mut fitting = String::new();
        for c in text.chars() {
            room -= self.glyph(c).advance;
            if room < 0 {
                break;
            }
            fitting.push(c);
        }
        fitting.push('…');
        Cow::Owned(fitting)
    }

    /// Draws a line of text that starts at `x` on `baseline`.
    pub fn draw(&mut self, canvas: &mut Canvas<'_>, x: i32, baseline: i32, text: &str, ink: Ink) {
        let mut pen = x;
        for c in text.chars() {
            let glyph = self.glyph(c);
            canvas.stamp(pen + glyph.left, baseline - glyph.top, &glyph.stamp, ink);
            pen += glyph.advance;
        }
    }

    /// The glyph of a character, which for one that the font lacks is a box.
    fn glyph(&mut self, c: char) -> &Glyph {
        let c = if c.is_control() || c.is_whitespace() { ' ' } else { c };
        let id = self.font.charmap().map(c).unwrap_or(GlyphId::NOTDEF);
        if !self.glyphs.contains_key(&id) {
            let glyph = self.rasterise(id);
            self.glyphs.insert(id, glyph);
        }
        &self.glyphs[&id]
    }

    fn rasterise(&self, id: GlyphId) -> Glyph {
        let em = Size::new(self.size as f32);
        let linear_advance = self.font.glyph_metrics(em, LocationRef::default()).advance_width(id);
        let Some(outline) = self.font.outline_glyphs().get(id) else {
            return Glyph { advance: linear_advance.unwrap_or(0.0).round() as i32, ..Glyph::default() };
        };
        let settings = match &self.hinting {
            Some(instance) => DrawSettings::hinted(instance, false),
            None => DrawSettings::unhinted(em, LocationRef::default()),
        };
        let mut pen = Pen(PathBuilder::new());
        let hinted_advance = outline.draw(settings, &mut pen).ok().and_then(|metrics| metrics.advance_width);
        let advance = hinted_advance.or(linear_advance).unwrap_or(0.0).round() as i32;
        let Some(path) = pen.0.finish() else {
            return Glyph { advance, ..Glyph::default() };
        };
        let bounds = path.bounds();
        let (left, top) = (bounds.left().floor(), bounds.top().floor());
        let (width, height) = ((bounds.right().ceil() - left) as u32, (bounds.bottom().ceil() - top) as u32);
        let Some(mut mask) = Mask::new(width, height) else {
            return Glyph { advance, ..Glyph::default() };
        };
        mask.fill_path(&path, FillRule::Winding, true, Transform::from_translate(-left, -top));
        let stamp = Stamp { width: width as usize, height: height as usize, coverage: mask.take() };
        Glyph { stamp, left: left as i32, top: -top as i32, advance }
    }
}

/// Turns an outline, whose y points up, into a path, whose y points down.
struct Pen(PathBuilder);

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, -y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, -y);
    }

    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        self.0.quad_to(cx, -cy, x, -y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        self.0.cubic_to(cx0, -cy0, cx1, -cy1, x, -y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Frame, GRAY};
    use super::*;

    #[test]
    fn the_font_loads_and_covers_what_it_says() {
        let mut face = Typeface::new(16).unwrap();
        for c in "Person 0.87 #12 … Füßgänger ŁódźČŠĞő Ελληνικά Русский Việt €".chars() {
            assert_ne!(face.font.charmap().map(c), None, "{c}");
            assert!(face.glyph(c).advance > 0, "{c}");
        }
        assert!(face.hinting.is_some());
    }

    #[test]
    fn missing_glyphs_and_control_characters_are_drawn_as_something() {
        let mut face = Typeface::new(16).unwrap();
        let mut frame = Frame::new(200, 30, GRAY);
        face.draw(&mut frame.canvas(), 2, 20, "行人\u{1F600}\n\t\0\u{10FFFF}", [255, 0, 0, 255]);
        assert!(face.width("行") > 0);
        assert!(frame.padding_is_untouched());
        assert!(frame.data[0].iter().any(|v| *v > 200), "boxes for what the font lacks");
    }

    #[test]
    fn letters_lie_between_ascent_and_descent() {
        for size in [1, 7, 11, 16, 48, 200] {
            let mut face = Typeface::new(size).unwrap();
            let width = face.width("ÅMgj|") + 2;
            let height = face.height();
            let mut frame = Frame::new(width, height + 20, GRAY);
            let baseline = 10 + face.ascent();
            face.draw(&mut frame.canvas(), 1, baseline, "ÅMgj|", [255, 0, 0, 255]);
            let drawn = |y| (0..width).any(|x| frame.sample(0, x, y) > 110);
            assert!((0..10).all(|y| !drawn(y)), "{size}: above");
            assert!((height + 10..height + 20).all(|y| !drawn(y)), "{size}: below");
            assert!((10..height + 10).any(drawn), "{size}: nothing drawn");
        }
    }

    #[test]
    fn text_too_wide_ends_in_an_ellipsis() {
        let mut face = Typeface::new(16).unwrap();
        let full = face.width("a long label");
        assert_eq!(face.fit("a long label", full), "a long label");
        let cut = face.fit("a long label", full - 1).into_owned();
        assert!(cut.ends_with('…') && cut.starts_with("a lo"), "{cut}");
        assert!(face.width(&cut) < full);
        assert_eq!(face.fit("a long label", 0), "…");
    }
}
