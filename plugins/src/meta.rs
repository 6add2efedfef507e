//! What was found in a frame, carried on its buffer.
//!
//! Each object travels twice: as a `GstVideoRegionOfInterestMeta` (which follows scaling, and which other elements
//! know) and as a record in one tag-less `GstCustomMeta` (which survives the conversions that drop the structures of
//! the former). Both are joined by id when read. An object whose region is gone (cropped away) is not reported.
//!
//! `docs/metadata.md` writes both down for those who read them without this crate.

#[cfg(feature = "v1_24")]
mod analytics;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Once;

use gst::meta::CustomMeta;
use gst_torch_models::boxes::Rect;
use gst_video::VideoRegionOfInterestMeta;

/// Name of the `GstCustomMeta`, and of the structure in it.
pub const META_NAME: &str = "GstTorchObjectsMeta";

/// One object of a frame. `rect` is in pixels of the frame that carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Unique among the objects of its buffer; 1 and up where `next_id` gave it.
    pub id: i32,
    /// The object this one is part of (a face of a person).
    pub parent: Option<i32>,
    /// From a fixed list, as GStreamer keeps each distinct label in memory for good.
    pub label: String,
    /// 0 to 1.
    pub confidence: f64,
    pub rect: Rect,
    /// Stable over frames, given by `torchtrack`.
    pub track: Option<u64>,
}

/// The objects on `buffer`, in the order they were added: ours, and what other elements left as regions of interest.
///
/// The box comes from the region, for that one follows scaling, with the record's sub-pixel position where the region
/// is still where it was put. All else comes from the record, or from the region's own structures where there is none.
pub fn objects(buffer: &gst::BufferRef) -> Vec<Object> {
    regions(buffer).into_iter().map(|region| region.object).collect()
}

/// Replaces the objects that this function put on `buffer` before, and notes that inference ran, found or not.
///
/// A region of another element is rewritten if an object of its id is in `objects`, and left alone if not; so an
/// element that adds objects takes its ids from `next_id(&objects(buffer))`. Structures that others hung on a region
/// (encoder hints, say) stay on it.
pub fn set_objects(buffer: &mut gst::BufferRef, objects: &[Object]) {
    register();
    let regions = regions(buffer);
    let replaced: Vec<bool> = regions.iter().map(|r| r.owned || objects.iter().any(|o| o.id == r.object.id)).collect();
    #[cfg(feature = "v1_24")]
    let relations = analytics::replace(buffer, objects, has_our_relations(buffer));
    remove(buffer, &replaced);

    let mut foreign_params: HashMap<i32, Vec<gst::Structure>> = regions
        .into_iter()
        .filter(|region| !region.foreign_params.is_empty())
        .map(|region| (region.object.id, region.foreign_params))
        .collect();
    for object in objects {
        add_region(buffer, object, foreign_params.remove(&object.id).unwrap_or_default());
    }
    match CustomMeta::add(buffer, META_NAME) {
        Ok(mut meta) => {
            let structure = meta.mut_structure();
            structure.set("objects", gst::Array::new(objects.iter().map(to_record)));
            #[cfg(feature = "v1_24")]
            structure.set("relations", relations);
        }
        Err(err) => gst::error!(gst::CAT_RUST, "{META_NAME} cannot be added: {err}"),
    }
}

/// Whether the `GstAnalyticsRelationMeta` on `buffer` is one that `set_objects` made.
#[cfg(feature = "v1_24")]
fn has_our_relations(buffer: &gst::BufferRef) -> bool {
    CustomMeta::from_buffer(buffer, META_NAME).is_ok_and(|meta| meta.structure().get("relations").unwrap_or(false))
}

/// True if inference looked at this frame, even if it found nothing. `set_objects` is what notes it.
pub fn inference_ran(buffer: &gst::BufferRef) -> bool {
    register();
    CustomMeta::from_buffer(buffer, META_NAME).is_ok()
}

/// An id that no object in `objects` has. 0 is never given, since regions use it for "no parent".
pub fn next_id(objects: &[Object]) -> i32 {
    match objects.iter().map(|o| o.id).max() {
        None => 1,
        Some(i32::MAX) => (1..i32::MAX).find(|id| objects.iter().all(|o| o.id != *id)).unwrap_or(1),
        Some(id) => (id + 1).max(1),
    }
}

/// GStreamer forbids looking for a custom meta whose name nobody registered, and registering one twice.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !CustomMeta::is_registered(META_NAME) {
            CustomMeta::register_simple(META_NAME);
        }
    });
}

/// A region of interest on a buffer, joined with our record of it.
struct Region {
    object: Object,
    /// Put there by `set_objects`.
    owned: bool,
    /// Structures that are not ours to write.
    foreign_params: Vec<gst::Structure>,
}

/// All regions of interest, in the order of their metas.
fn regions(buffer: &gst::BufferRef) -> Vec<Region> {
    let mut records = records(buffer);
    let metas: Vec<_> = buffer.iter_meta::<VideoRegionOfInterestMeta>().collect();
    // Others often leave the id at 0. Such an object gets one that nobody has, the same at every reading.
    let mut fresh =
        metas.iter().map(|m| m.id()).chain(records.keys().copied()).max().map_or(1, |id| id.saturating_add(1));
    let mut regions: Vec<Region> = Vec::with_capacity(metas.len());
    for meta in metas {
        let label = roi_type(&meta);
        let record = match records.get(&meta.id()) {
            Some(record) if record.label == label => records.remove(&meta.id()),
            _ => None,
        };
        let owned = record.is_some();
        let mut object = match record {
            Some(record) if roi_rect(&record.rect) == meta.rect() => record,
            Some(record) => Object { rect: rect_of(&meta), ..record },
            None => from_params(&meta, label),
        };
        let taken = records.contains_key(&object.id) || regions.iter().any(|r| r.object.id == object.id);
        if !owned && (taken || object.id == 0) {
            object.id = fresh;
            fresh = fresh.saturating_add(1);
        }
        let foreign_params =
            meta.params().filter(|s| !OWN_PARAMS.contains(&s.name().as_str())).map(|s| s.to_owned()).collect();
        regions.push(Region { object, owned, foreign_params });
    }
    // A parent that was cropped away, or that never was one, is no parent.
    let ids: Vec<i32> = regions.iter().map(|r| r.object.id).collect();
    for Region { object, .. } in &mut regions {
        object.parent = object.parent.filter(|parent| *parent != object.id && ids.contains(parent));
    }
    regions
}

/// Removes our records, and of the regions of interest those that are marked.
fn remove(buffer: &mut gst::BufferRef, marked: &[bool]) {
    use gst::buffer::BufferMetaForeachAction::{Keep, Remove};
    let mut marked = marked.iter();
    buffer.foreach_meta_mut(|meta| {
        let gone = if meta.api() == <VideoRegionOfInterestMeta as gst::MetaAPI>::meta_api() {
            marked.next().copied().unwrap_or(false)
        } else {
            meta.try_as_custom_meta().is_some_and(|custom| custom.has_name(META_NAME))
        };
        ControlFlow::Continue(if gone { Remove } else { Keep })
    });
}

/// The structures on a region that `set_objects` writes; DL Streamer's names and fields.
const OWN_PARAMS: [&str; 2] = ["detection", "object_id"];

fn add_region(buffer: &mut gst::BufferRef, object: &Object, foreign_params: Vec<gst::Structure>) {
    let label = without_nul(&object.label);
    let mut meta = VideoRegionOfInterestMeta::add(buffer, &label, roi_rect(&object.rect));
    meta.set_id(object.id);
    meta.set_parent_id(object.parent.unwrap_or(0));
    meta.add_param(
        gst::Structure::builder("detection")
            .field("confidence", object.confidence)
            .field("label", label.as_str())
            .build(),
    );
    if let Some(track) = object.track.and_then(|track| i32::try_from(track).ok()) {
        meta.add_param(gst::Structure::builder("object_id").field("id", track).build());
    }
    for param in foreign_params {
        meta.add_param(param);
    }
}

/// An object that another element found, or whose record was lost, read from its region alone.
fn from_params(meta: &VideoRegionOfInterestMeta, label: &str) -> Object {
    let detection = meta.param("detection");
    let label_param = detection.and_then(|d| d.get::<String>("label").ok());
    let track = meta.param("object_id").and_then(|s| s.get::<i32>("id").ok());
    Object {
        id: meta.id(),
        parent: Some(meta.parent_id()).filter(|parent| *parent > 0),
        label: if label.is_empty() { label_param.unwrap_or_default() } else { label.to_owned() },
        confidence: detection.and_then(|d| d.get::<f64>("confidence").ok()).unwrap_or(1.0),
        rect: rect_of(meta),
        track: track.and_then(|id| u64::try_from(id).ok()),
    }
}

/// Our records on `buffer`, by id.
fn records(buffer: &gst::BufferRef) -> HashMap<i32, Object> {
    register();
    let Ok(meta) = CustomMeta::from_buffer(buffer, META_NAME) else {
        return HashMap::new();
    };
    let Ok(array) = meta.structure().get::<gst::ArrayRef>("objects") else {
        return HashMap::new();
    };
    array
        .iter()
        .filter_map(|value| from_record(value.get::<&gst::StructureRef>().ok()?))
        .map(|object| (object.id, object))
        .collect()
}

fn to_record(object: &Object) -> gst::Structure {
    gst::Structure::builder("object")
        .field("id", object.id)
        .field_if_some("parent", object.parent)
        .field("label", without_nul(&object.label))
        .field("confidence", object.confidence)
        .field("x", object.rect.x)
        .field("y", object.rect.y)
        .field("w", object.rect.w)
        .field("h", object.rect.h)
        .field_if_some("track", object.track)
        .build()
}

fn from_record(record: &gst::StructureRef) -> Option<Object> {
    let number = |name| record.get::<f32>(name).ok();
    Some(Object {
        id: record.get("id").ok()?,
        parent: record.get("parent").ok(),
        label: record.get("label").ok()?,
        confidence: record.get("confidence").ok()?,
        rect: Rect { x: number("x")?, y: number("y")?, w: number("w")?, h: number("h")? },
        track: record.get("track").ok(),
    })
}

/// A region's coordinates are whole and not negative: the corners are rounded, and what lies left of or above the
/// picture is cut off. NaN gives 0.
fn roi_rect(rect: &Rect) -> (u32, u32, u32, u32) {
    let pixel = |v: f32| v.round() as u32; // saturates
    let (x, y) = (pixel(rect.x), pixel(rect.y));
    (x, y, pixel(rect.x + rect.w).saturating_sub(x), pixel(rect.y + rect.h).saturating_sub(y))
}

fn rect_of(meta: &VideoRegionOfInterestMeta) -> Rect {
    let (x, y, w, h) = meta.rect();
    Rect { x: x as f32, y: y as f32, w: w as f32, h: h as f32 }
}

/// The region's type, empty where its maker set none (which the binding does not expect).
fn roi_type<'a>(meta: &gst::MetaRef<'a, VideoRegionOfInterestMeta>) -> &'a str {
    // SAFETY: the pointer is that of a live meta, borrowed for longer than this read.
    let quark = unsafe { (*meta.as_ptr()).roi_type };
    if quark == 0 { "" } else { meta.roi_type() }
}

/// C strings end at a NUL, and the binding panics at one inside.
fn without_nul(label: &str) -> String {
    label.replace('\0', " ")
}
