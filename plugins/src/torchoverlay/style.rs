//! What to draw of each object, and how large.

use crate::meta::Object;

/// What to draw, and how large.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    pub labels: bool,
    pub confidence: bool,
    pub ids: bool,
    /// In pixels, 0 to follow the frame.
    pub line_width: u32,
    /// In pixels, 0 to follow the frame.
    pub font_size: u32,
}

impl Style {
    /// The width of a box's lines in a frame. 4:2:0 frames have colour for two pixels and more only.
    pub fn line_width(&self, width: i32, height: i32) -> i32 {
        match self.line_width {
            0 => (width.min(height) / 240).max(2),
            set => set.min(1 << 12) as i32,
        }
    }

    /// The height of an em in a frame: 24 pixels at 1080 lines, and no less than can be read.
    pub fn font_size(&self, width: i32, height: i32) -> u32 {
        match self.font_size {
            0 => (width.min(height) as u32 / 45).max(11),
            set => set,
        }
    }

    /// The text over an object, empty for none: label, track (else nothing, as ids of a frame mean nothing on the next),
    /// confidence.
    pub fn text(&self, object: &Object) -> String {
        let label = (self.labels && !object.label.is_empty()).then(|| object.label.clone());
        let id = object.track.filter(|_| self.ids).map(|track| format!("#{track}"));
        let confidence =
            (self.confidence && object.confidence.is_finite()).then(|| format!("{:.2}", object.confidence));
        [label, id, confidence].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use gst_torch_models::boxes::Rect;

    use super::*;

    const STYLE: Style = Style { labels: true, confidence: true, ids: true, line_width: 0, font_size: 0 };

    #[test]
    fn text_says_what_it_is_asked_to() {
        let rect = Rect::default();
        let found = Object { id: 1, parent: None, label: "person".into(), confidence: 0.875, rect, track: None };
        assert_eq!(STYLE.text(&found), "person 0.88");
        let tracked = Object { track: Some(12), ..found };
        assert_eq!(STYLE.text(&tracked), "person #12 0.88");
        let number_only = Style { labels: false, ids: false, ..STYLE };
        assert_eq!(number_only.text(&tracked), "0.88");
        let nothing = Style { labels: false, confidence: false, ids: false, ..STYLE };
        assert_eq!(nothing.text(&tracked), "");
        assert_eq!(STYLE.text(&Object { confidence: f64::NAN, ..tracked }), "person #12");
    }

    #[test]
    fn sizes_follow_the_frame_unless_set() {
        let sizes = |w, h| (STYLE.line_width(w, h), STYLE.font_size(w, h));
        assert_eq!(sizes(320, 240), (2, 11));
        assert_eq!(sizes(1280, 720), (3, 16));
        assert_eq!(sizes(1080, 1920), (4, 24));
        assert_eq!(sizes(3840, 2160), (9, 48));
        let set = Style { line_width: 5, font_size: 30, ..STYLE };
        assert_eq!((set.line_width(320, 240), set.font_size(320, 240)), (5, 30));
    }
}
