//! The still of a camera that does not move, for a model that is adapted to it.

use std::path::Path;

use anyhow::{Context, Result};
use gst_torch_models::codec::canvas::Frame;
use gst_torch_models::codec::picture::{Picture, Plane};
use gst_torch_models::codec::still;
use gst_torch_models::codec::stream::Subsampling;
use tch::Tensor;

use super::super::footage::Footage;
use crate::media::Yuv;

/// Every so many frames are looked at: those between are alike.
const SPACING: usize = 4;
/// The share of the still's structure that frames must have, on average, for the camera to count as standing still: 0.6 to 0.95
/// on footage of fixed cameras, 0 to 0.25 on that of others.
const SHARE: f64 = 0.45;

/// What the camera always sees; `None` where it moves, or where the footage has frames of several sizes.
pub fn find(footage: &Footage) -> Option<Yuv> {
    let frames: Vec<&Yuv> = footage.shots().flat_map(|shot| shot.iter().step_by(SPACING)).collect();
    let first = *frames.first()?;
    if frames.len() < 3 || frames.iter().any(|f| (f.width, f.height) != (first.width, first.height)) {
        return None;
    }
    let pictures: Vec<Picture> = frames.iter().map(|frame| picture(frame)).collect();
    let median = still::median(&pictures)?;
    let share = pictures.iter().map(|picture| still::share(&median, picture)).sum::<f64>() / pictures.len() as f64;
    let found = share >= SHARE;
    println!(
        "the camera {}: frames have {:.0} % of the structure of what it always sees",
        if found { "does not move" } else { "moves" },
        share * 100.0
    );
    let planes = median.planes.map(|plane| plane.data);
    found.then_some(Yuv { width: first.width, height: first.height, planes })
}

/// Adds the still to the weights at `path`.
pub fn add(path: &Path, still: &Yuv) -> Result<()> {
    let mut tensors = Tensor::read_safetensors(path).with_context(|| path.display().to_string())?;
    let mut whole = Frame::new(still.width, still.height, Subsampling::Quarter);
    whole.planes = picture(still).planes.into();
    for (name, plane) in still::TENSORS.iter().zip(whole.to_canvas().planes) {
        let size = [plane.height as i64, plane.width as i64];
        tensors.push((name.to_string(), Tensor::f_from_slice(&plane.data)?.f_view(size)?));
    }
    Tensor::write_safetensors(&tensors, path)?;
    Ok(())
}

/// The samples as they are, with no blocks filled up.
fn picture(frame: &Yuv) -> Picture {
    let plane = |index: usize, half: usize| Plane {
        width: frame.width.div_ceil(half),
        height: frame.height.div_ceil(half),
        data: frame.planes[index].clone(),
    };
    Picture { planes: [plane(0, 1), plane(1, 2), plane(2, 2)] }
}
