//! Events that hold for a stream, in elements that keep some of them back for a while.

use std::ops::ControlFlow;

use gst::prelude::*;

/// After a flush: what holds for the stream and was kept back, or on its way out, leaves with the next frame. Upstream sends
/// it once only. What a flush ends (segment and end) is not among it, nor are caps, which may leave as others than they came.
pub fn outlive_flush(sink: &gst::Pad, src: &gst::Pad) {
    sink.sticky_events_foreach(|event| {
        if !matches!(event.type_(), gst::EventType::Segment | gst::EventType::Eos | gst::EventType::Caps) {
            let _ = src.store_sticky_event(event);
        }
        ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
}
