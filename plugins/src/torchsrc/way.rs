//! A long way to a picture of a sequence, which the application is told of.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gst_torch_models::generate::generator::Way;

/// A way of so many pictures is long. Backwards there are ways as long as a snapshot is from the next, which are not.
const LONG: u64 = 128;
/// From one message to the next.
const OFTEN: Duration = Duration::from_secs(1);
const CODE: &str = "drawing";

pub(super) struct Told<'a> {
    element: &'a gst::Element,
    last: Option<Instant>,
}

impl<'a> Told<'a> {
    pub fn new(element: &'a gst::Element) -> Self {
        Told { element, last: None }
    }

    /// To be called before each picture.
    pub fn tell(&mut self, way: Way) {
        let kind = match self.last {
            None if way.left >= LONG => gst::ProgressType::Start,
            Some(last) if last.elapsed() >= OFTEN => gst::ProgressType::Continue,
            _ => return,
        };
        self.last = Some(Instant::now());
        self.post(kind, &format!("Drawing the pictures before this one: {} of {}", way.drawn, way.drawn + way.left));
    }

    /// To be called when the way is over.
    pub fn end(self, kind: gst::ProgressType) {
        if self.last.is_some() {
            self.post(kind, "Drawing the pictures before this one");
        }
    }

    fn post(&self, kind: gst::ProgressType, text: &str) {
        let message = gst::message::Progress::builder(kind, CODE, text).src(self.element).build();
        let _ = self.element.post_message(message);
    }
}
