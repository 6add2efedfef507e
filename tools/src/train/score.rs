//! Scores a network that is being trained, as it stands in memory. A finished model is scored by `gst-torch eval detect`,
//! with the engine that elements run it in.

use anyhow::Result;
use gst_torch_models::boxes::{Detection, Rect};
use gst_torch_models::data::Truth;
use gst_torch_models::data::augment::letterbox;
use gst_torch_models::data::picture::Picture;
use gst_torch_models::detect::calibrate;
use gst_torch_models::detect::decode::Params;
use gst_torch_models::detect::maps;
use gst_torch_models::detect::network::DetectNet;
use gst_torch_models::detect::nms::{Candidate, Classes, suppress};
use gst_torch_models::metrics::ap::{Report, average_precision, judge};
use tch::{Kind, Tensor};

use super::dataset::Dataset;

/// Average precision looks at all recall points, so nearly every box counts.
pub const EVERY_BOX: f32 = 0.01;
pub const MAX_BOXES: usize = 300;

/// AP50 of `network` on pictures letterboxed into `size` (width, height).
pub fn score(network: &DetectNet, val: &Dataset, size: (usize, usize), kind: Kind, classes: usize) -> Result<Report> {
    let found = val.samples.iter().map(|sample| detect(network, &sample.picture, size, kind));
    let found = found.collect::<Result<Vec<_>>>()?;
    Ok(average_precision(&val.truths(), &found, classes, 0.5))
}

/// Folds into `network` what makes its confidences the fraction of boxes that are right on `val`, class by class. Classes
/// that `val` says too little about stay as they are.
pub fn calibrate(
    network: &mut DetectNet,
    val: &Dataset,
    size: (usize, usize),
    kind: Kind,
    classes: usize,
) -> Result<()> {
    let found = val.samples.iter().map(|sample| detect(network, &sample.picture, size, kind));
    let found = found.collect::<Result<Vec<_>>>()?;
    for class in 0..classes {
        let (judged, _) = judge(&val.truths(), &found, class, 0.5);
        if let Some(scaling) = calibrate::fit(&judged) {
            println!("confidences of class {class}: logits times {:.2}, plus {:.2}", scaling.slope, scaling.shift);
            network.rescale(class as i64, scaling)?;
        }
    }
    Ok(())
}

/// The boxes of one picture, in its own pixels.
fn detect(network: &DetectNet, picture: &Picture, size: (usize, usize), kind: Kind) -> Result<Vec<Detection>> {
    let _guard = tch::no_grad_guard();
    let (example, placement) = letterbox(picture, &Truth::default(), size);
    let input = as_input(example.picture.rgb(), 1, size, kind)?;
    let found = maps::decode(
        &network.forward_t(&input.f_to_device(network.device())?, false)?,
        (size.0 as u32, size.1 as u32),
        EVERY_BOX,
    )?;
    let candidates = found.iter().map(Candidate::from).collect();
    let kept = suppress(candidates, Params::default().iou, Classes::Apart, MAX_BOXES);
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let in_picture = |candidate: Candidate| {
        let [x1, y1, x2, y2] = candidate.corners;
        let rect = placement.unmap(&Rect::from_corners(x1, y1, x2, y2)).clip(width, height);
        Detection { rect, class: candidate.class, confidence: candidate.score }
    };
    Ok(kept.into_iter().map(in_picture).collect())
}

/// Pictures as bytes, one after the other, as the network takes them: `(N, 3, H, W)`, 0 to 1, channels-last in memory.
pub fn as_input(bytes: &[u8], pictures: usize, (width, height): (usize, usize), kind: Kind) -> Result<Tensor> {
    let shape = [pictures as i64, height as i64, width as i64, 3];
    let bytes = Tensor::f_from_data_size(bytes, &shape, Kind::Uint8)?.f_permute([0, 3, 1, 2])?;
    Ok(bytes.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?.f_to_kind(kind)?)
}
