//! The steps of the module, one after the other, on the runtime's engine.

use std::sync::Arc;

use gst_torch_runtime::{Batching, Engine, Error, Model, Result};

use super::motion::{self, Field};
use super::network::{INPUTS, SOURCES};
use super::still::Still;
use super::{cells, warp};
use crate::codec::picture::Picture;

/// Percent of what is to be seen in a picture that stay unmatched in another scene. Fast motion of real footage was seen to
/// leave 63, and cuts 110.
const UNMATCHED: u64 = 85;
/// Mean differences of so many levels are never a cut.
const NEGLIGIBLE: u64 = 4;

/// What became of two pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    Picture(Picture),
    /// They show different scenes: there is nothing between them.
    Cut,
}

/// A model at work on pictures of one size.
#[derive(Debug, Clone)]
pub struct Interpolator {
    model: String,
    engine: Arc<Engine>,
}

impl Interpolator {
    /// For pictures of so many blocks of 16x16 across and down. May take its time: the engine measures.
    ///
    /// # Errors
    /// When the model cannot run on such pictures.
    pub fn new(model: &Model, (columns, rows): (usize, usize)) -> Result<Self> {
        let engine = model.engine(INPUTS, rows * 16 / cells::CELL, columns * 16 / cells::CELL)?;
        Ok(Interpolator { model: model.info().name.clone(), engine })
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The picture at `time`: 0 to 1 between the two, beyond 1 after them.
    ///
    /// # Errors
    /// When the network fails.
    pub fn make(&self, before: &Still, after: &Still, time: f32) -> Result<Made> {
        let field = motion::estimate(before, after, time);
        if is_cut(&field, before, after) {
            return Ok(Made::Cut);
        }
        let [first, second] = warp::warp(before, after, &field, time);
        let sources: [&Picture; SOURCES] = [&first, &second, &before.picture, &after.picture];
        let torch = |e: tch::TchError| Error::torch(&self.model, e.to_string());
        let device = self.engine.device().torch();
        let input = cells::input(sources, &field, time, self.engine.input_kind())
            .and_then(|input| input.f_to_device(device))
            .map_err(torch)?;
        let outputs = self.engine.submit(input, Batching::default()).wait()?;
        let [(_, fused)] = outputs.as_slice() else {
            let reason = format!("the network has {} outputs; expected one", outputs.len());
            return Err(Error::Mismatch { model: self.model.clone(), reason });
        };
        cells::to_picture(fused).map(Made::Picture).map_err(torch)
    }
}

/// Whether even the best vectors match about as badly as if pictures were matched with their own mean.
fn is_cut(field: &Field, before: &Still, after: &Still) -> bool {
    // Windows overlap by half each way, so that all of the picture is in four of them.
    let left = field.errors.iter().map(|&error| u64::from(error)).sum::<u64>() / 4;
    let there = before.activity.max(after.activity);
    let samples = (before.picture.planes[0].data.len()) as u64;
    left > samples * NEGLIGIBLE && left * 100 > there * UNMATCHED
}
