//! From output tensors to detections: a file per family of layouts.
//!
//! Each decoder walks over the numbers once, keeps what is above the threshold and never looks at the rest, so that a
//! frame with ten objects costs ten boxes and not twenty-five thousand.

mod detr;
mod ssd;
mod torchvision;
mod yolo;
mod yolox;

use super::layout::{Activation, Error, Hints, Layout, Result};
use super::maps;
use super::nms::{Candidate, Classes, ULTRALYTICS, sort, suppress};
use super::outputs::{Outputs, Table};
use super::recognise::scores_and_boxes;
use crate::boxes::Detection;

/// What a user may set.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Boxes count whose score is above this, 0 to 1.
    pub confidence: f32,
    /// Of two boxes of a class that overlap by more than this IoU, 0 to 1, the less confident goes. Layouts that come
    /// suppressed out of the network are left as they are.
    pub iou: f32,
    /// No more boxes than this, the most confident.
    pub max_detections: usize,
}

/// The defaults of design.md's `class-confidence-threshold`, `iou-threshold` and `max-detections`.
impl Default for Params {
    fn default() -> Self {
        Params { confidence: 0.4, iou: 0.7, max_detections: 100 }
    }
}

/// The boxes in `outputs`, in pixels of the network's input (`hints.size`), most confident first. They may reach over
/// its edges: libraries suppress first and clip to the picture later, and so must callers.
///
/// Rows with NaN or infinite numbers give no box.
///
/// # Errors
/// When the shapes are not those of `layout`; they are listed beside what was expected.
pub fn decode(layout: Layout, outputs: &Outputs, hints: &Hints, params: &Params) -> Result<Vec<Detection>> {
    let mut found = candidates(layout, outputs, hints, params)?.ok_or_else(|| Error::shape(layout, outputs))?;
    let kept = match suppression(layout) {
        Some(classes) => suppress(found, params.iou, classes, params.max_detections),
        None => {
            sort(&mut found);
            found.truncate(params.max_detections);
            found
        }
    };
    Ok(kept.iter().map(Candidate::detection).collect())
}

/// What is above the threshold; `None` where the shapes are not the layout's.
fn candidates(layout: Layout, outputs: &Outputs, hints: &Hints, params: &Params) -> Result<Option<Vec<Candidate>>> {
    let size = hints.size;
    Ok(match layout {
        Layout::YoloV5 => first(outputs)?.and_then(|table| yolo::rows(&table, params)),
        Layout::YoloV8 => first(outputs)?.and_then(|table| yolo::columns(&table, params)),
        Layout::EndToEnd => first(outputs)?.and_then(|table| yolo::end_to_end(&table, params)),
        Layout::Yolox => first(outputs)?.and_then(|table| yolox::rows(&table, size, params)),
        Layout::RtDetr => first(outputs)?.and_then(|table| detr::packed(&table, size, params)),
        Layout::Detr { activation } => scores_and_boxes(outputs)?.map(|(logits, boxes)| match activation {
            Activation::Softmax => detr::softmax(&logits, &boxes, size, params),
            Activation::Sigmoid => detr::sigmoid(&logits, &boxes, size, params),
        }),
        Layout::Ssd => scores_and_boxes(outputs)?.map(|(scores, boxes)| ssd::decode(&scores, &boxes, hints, params)),
        Layout::Torchvision => torchvision::decode(outputs, params)?,
        Layout::Maps => Some(decode_maps(outputs, hints, params)?),
    })
}

/// How the layout's own library keeps classes apart when it suppresses; `None` where there is nothing left to suppress.
fn suppression(layout: Layout) -> Option<Classes> {
    match layout {
        Layout::YoloV5 | Layout::YoloV8 => Some(ULTRALYTICS),
        Layout::Yolox | Layout::Ssd | Layout::Maps => Some(Classes::Apart),
        Layout::EndToEnd | Layout::Detr { .. } | Layout::RtDetr | Layout::Torchvision => None,
    }
}

/// Our own maps, which are rank 4 and hence no tables.
fn decode_maps(outputs: &Outputs, hints: &Hints, params: &Params) -> Result<Vec<Candidate>> {
    let maps: Vec<_> = outputs.0.iter().map(|(_, tensor)| tensor.shallow_clone()).collect();
    let size = (hints.size.0 as u32, hints.size.1 as u32);
    let found = maps::decode(&maps, size, params.confidence)?;
    Ok(found.iter().map(Candidate::from).collect())
}

/// The first table; others beside it (masks, feature maps) are not for us.
fn first(outputs: &Outputs) -> Result<Option<Table>> {
    Ok(match outputs.tables().first() {
        Some((_, tensor)) => Table::read(tensor)?,
        None => None,
    })
}

#[cfg(test)]
mod tests;
