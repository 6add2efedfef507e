//! The objects once more as `GstAnalyticsRelationMeta`, which GStreamer 1.24 and later have: an object detection each,
//! which contains a classification and relates to a tracking, as DL Streamer does it.
//!
//! Nothing in GStreamer 1.24 takes a single entry out of such a meta, so only one that we made is ever replaced. Where
//! another element has put one on the buffer, it is left alone and ours is not written.

use std::collections::HashMap;

use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
use gst::glib;
use gst_analytics::prelude::*;
use gst_analytics::{AnalyticsRelationMeta, RelTypes};

use super::Object;

/// Writes `objects`, in place of the meta on `buffer` if that is ours. True if there is one of ours now.
pub fn replace(buffer: &mut gst::BufferRef, objects: &[Object], ours: bool) -> bool {
    if ours {
        buffer.foreach_meta_mut(|meta| {
            let relations = meta.api() == <AnalyticsRelationMeta as gst::MetaAPI>::meta_api();
            std::ops::ControlFlow::Continue(if relations { Remove } else { Keep })
        });
    }
    if buffer.meta::<AnalyticsRelationMeta>().is_some() {
        return false;
    }
    if let Err(err) = write(buffer, objects) {
        gst::error!(gst::CAT_RUST, "GstAnalyticsRelationMeta is incomplete: {err}");
    }
    true
}

fn write(buffer: &mut gst::BufferRef, objects: &[Object]) -> Result<(), glib::BoolError> {
    // When a track was first seen is not known here; it was last seen now, which is what this becomes, too.
    let now = buffer.pts().unwrap_or(gst::ClockTime::ZERO);
    let mut meta = AnalyticsRelationMeta::add(buffer);
    let mut detections = HashMap::with_capacity(objects.len());
    for object in objects {
        let label = glib::Quark::from_str(super::without_nul(&object.label));
        let confidence = object.confidence as f32;
        let rect = object.rect;
        let (x, y) = (rect.x.round() as i32, rect.y.round() as i32); // saturates
        let (right, bottom) = ((rect.x + rect.w).round() as i32, (rect.y + rect.h).round() as i32);
        let (w, h) = (right.saturating_sub(x).max(0), bottom.saturating_sub(y).max(0));
        let detection = meta.add_od_mtd(label, x, y, w, h, confidence)?.id();
        let class = meta.add_one_cls_mtd(confidence, label)?.id();
        meta.set_relation(RelTypes::CONTAIN, detection, class)?;
        if let Some(track) = object.track {
            let tracking = meta.add_tracking_mtd(track, now)?.id();
            meta.set_relation(RelTypes::RELATE_TO, detection, tracking)?;
        }
        detections.insert(object.id, detection);
    }
    for object in objects {
        let parent = object.parent.and_then(|parent| detections.get(&parent));
        if let (Some(parent), Some(child)) = (parent, detections.get(&object.id)) {
            meta.set_relation(RelTypes::IS_PART_OF, *child, *parent)?;
        }
    }
    Ok(())
}
