//! Rectangles and detections, in pixels of the picture they were found in.

/// An axis-aligned rectangle: top left corner, width and height, in pixels (sub-pixel positions are kept).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rect {
    pub x: f32,
    pub y: f32,
    pub w: f32,
    pub h: f32,
}

impl Rect {
    pub fn from_corners(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Rect { x: x1, y: y1, w: x2 - x1, h: y2 - y1 }
    }

    pub fn area(&self) -> f32 {
        self.w.max(0.0) * self.h.max(0.0)
    }

    pub fn intersection(&self, other: &Rect) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union, 0 to 1; 0 where both are empty.
    pub fn iou(&self, other: &Rect) -> f32 {
        let intersection = self.intersection(other);
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The part that lies inside a picture of `width` x `height`.
    pub fn clip(&self, width: f32, height: f32) -> Rect {
        let x1 = self.x.clamp(0.0, width);
        let y1 = self.y.clamp(0.0, height);
        let x2 = (self.x + self.w).clamp(0.0, width);
        let y2 = (self.y + self.h).clamp(0.0, height);
        Rect::from_corners(x1, y1, x2, y2)
    }
}

/// One box that a detector found. `class` indexes the model's labels; `confidence` is 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    pub rect: Rect,
    pub class: usize,
    pub confidence: f32,
}
