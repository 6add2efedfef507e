//! The steps of the module, one after the other, on the runtime's engine.

use std::sync::Arc;

use gst_torch_runtime::{Batching, Engine, Error, Model, Result};

use super::motion::{self, Field};
use super::network::{INPUTS, SOURCES};
use super::still::Still;
use super::{cells, warp};
use crate::codec::picture::Picture;
use crate::codec::symbols::Vector;

/// Percent of what is to be seen in a picture that stay unmatched in another scene. Fast motion of real footage was seen to
/// leave 63, and cuts 110.
const UNMATCHED: u64 = 85;
/// Mean differences of so many levels are never a cut.
const NEGLIGIBLE: u64 = 4;

/// Windows of blocks that differ by less are at rest: a mean difference of one and a half levels.
const RESTING: u32 = 384;

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
        let mut made = cells::to_picture(fused).map_err(torch)?;
        settle(&mut made, &field, [&before.picture, &after.picture], time);
        Ok(Made::Picture(made))
    }
}

/// What stands still and hardly changes is noise around what it shows: nothing comes nearer than both pictures weighed by
/// their distance in time, and it does not flicker.
fn settle(made: &mut Picture, field: &Field, pictures: [&Picture; 2], time: f32) {
    let weight = (time.clamp(0.0, 1.0) * 256.0) as u32;
    let resting = |index: &usize| field.vectors[*index] == Vector::default() && field.errors[*index] < RESTING;
    for index in (0..field.vectors.len()).filter(resting) {
        let (row, column) = (index / field.columns, index % field.columns);
        for (plane, made) in made.planes.iter_mut().enumerate() {
            let size = motion::CELL >> usize::from(plane > 0);
            let [before, after] = pictures.map(|picture| &picture.planes[plane]);
            for y in row * size..(row + 1) * size {
                let part = column * size..(column + 1) * size;
                let both = before.row(y)[part.clone()].iter().zip(&after.row(y)[part.clone()]);
                for (value, (&a, &b)) in made.row_mut(y)[part].iter_mut().zip(both) {
                    *value = ((u32::from(a) * (256 - weight) + u32::from(b) * weight + 128) >> 8) as u8;
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, texture};
    use super::*;
    use crate::metrics::psnr::psnr;

    fn interpolator(columns: usize, rows: usize) -> Interpolator {
        let file = crate::builtin::open("interpolate").unwrap();
        let model = file.load("cpu".parse().unwrap(), "fp32".parse().unwrap()).unwrap();
        Interpolator::new(&model, (columns, rows)).unwrap()
    }

    #[test]
    fn what_is_made_is_nearer_than_either_and_than_both_blended() {
        let made = interpolator(8, 6);
        let picture = |t: f32| texture(8, 6, 12.0 * t, 5.0 * t);
        let (before, after) = (Still::new(picture(0.0)), Still::new(picture(1.0)));
        let luma = |picture: &Picture| picture.planes[0].data.clone();
        for time in [0.25, 0.5, 0.8] {
            let Made::Picture(between) = made.make(&before, &after, time).unwrap() else { panic!("no cut") };
            let truth = luma(&picture(time));
            let score = psnr(&luma(&between), &truth);
            let both: Vec<u8> = luma(&before.picture)
                .iter()
                .zip(luma(&after.picture))
                .map(|(a, b)| (f32::from(*a) * (1.0 - time) + f32::from(b) * time) as u8)
                .collect();
            assert!(score > psnr(&both, &truth) + 3.0, "at {time}: {score} dB");
        }
    }

    #[test]
    fn what_stands_still_is_weighed_by_its_distance_in_time() {
        let made = interpolator(8, 6);
        let (before, mut after) = (texture(8, 6, 0.0, 0.0), texture(8, 6, 0.0, 0.0));
        after.planes.iter_mut().flat_map(|plane| &mut plane.data).step_by(5).for_each(|v| *v += 4);
        let stills = [before.clone(), after.clone()].map(Still::new);
        for (time, step) in [(0.25, 1), (0.5, 2), (0.75, 3)] {
            let Made::Picture(between) = made.make(&stills[0], &stills[1], time).unwrap() else { panic!("no cut") };
            for (plane, (between, before)) in between.planes.iter().zip(&before.planes).enumerate() {
                let mut expected = before.data.clone();
                if plane == 0 {
                    expected.iter_mut().step_by(5).for_each(|v| *v += step);
                    assert!(between.data == expected, "at {time}");
                }
            }
        }
    }

    #[test]
    fn two_scenes_are_a_cut_and_one_is_not() {
        let cut = |a: Picture, b: Picture| {
            let (before, after) = (Still::new(a), Still::new(b));
            is_cut(&motion::estimate(&before, &after, 0.5), &before, &after)
        };
        assert!(cut(noise(20, 15, 1), noise(20, 15, 2)));
        assert!(cut(texture(20, 15, 0.0, 0.0), noise(20, 15, 2)));
        assert!(!cut(noise(20, 15, 1), noise(20, 15, 1)));
        assert!(!cut(texture(20, 15, 0.0, 0.0), texture(20, 15, 6.0, 2.0)));
        // A light that goes on is none either: what was there still is.
        let mut brighter = texture(20, 15, 0.0, 0.0);
        brighter.planes[0].data.iter_mut().for_each(|v| *v = v.saturating_add(12));
        assert!(!cut(texture(20, 15, 0.0, 0.0), brighter));
    }
}
