//! Triples of frames to learn from: two that are shown, and one to be made.

use anyhow::{Context, Result};
use gst_torch_models::codec::picture::Picture;
use gst_torch_models::interpolate::{Still, cells, motion, warp};
use rand::Rng;
use tch::{Kind, Tensor};

use super::super::footage::{Cut, Footage};

/// Frames between the two that are shown, at most.
const SPAN: usize = 4;
/// Frames that a shot needs to have one to be made after two others.
pub const FRAMES: usize = 3;

/// Which frames of a shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triple {
    pub before: usize,
    pub after: usize,
    /// Between the two, or beyond `after`.
    pub wanted: usize,
}

impl Triple {
    /// Out of a shot of `frames` (3 or more), with one chance in so many that the wanted one lies beyond.
    pub fn random(rng: &mut impl Rng, frames: usize, beyond: f64) -> Self {
        if rng.random_bool(beyond) {
            let span = rng.random_range(1..=2.min(frames - 2));
            let before = rng.random_range(0..frames - span - 1);
            let wanted = before + span + rng.random_range(1..=span.min(frames - 1 - before - span));
            return Triple { before, after: before + span, wanted };
        }
        // Midway between neighbours but one is what is wanted most.
        let span = if rng.random_bool(0.5) { 2 } else { rng.random_range(2..=SPAN.min(frames - 1)) };
        let first = rng.random_range(0..frames - span);
        let wanted = first + rng.random_range(1..span);
        // Backwards in time is as good.
        let (before, after) = if rng.random() { (first, first + span) } else { (first + span, first) };
        Triple { before, after, wanted }
    }

    pub fn time(&self) -> f32 {
        (self.wanted as f32 - self.before as f32) / (self.after as f32 - self.before as f32)
    }
}

/// What the network gets, and what it should give.
pub struct Sample {
    /// `(1, 99, h, w)` and `(1, 24, h, w)`.
    pub input: Tensor,
    pub wanted: Tensor,
    /// Mean of both pictures as they are, and of both moved: what is to be surpassed.
    pub blend: Tensor,
    pub moved: Tensor,
}

impl Sample {
    pub fn new(before: Picture, after: Picture, wanted: &Picture, time: f32, kind: Kind) -> Result<Self> {
        let (before, after) = (Still::new(before), Still::new(after));
        let field = motion::estimate(&before, &after, time);
        let [first, second] = warp::warp(&before, &after, &field, time);
        let mean = |a: &Picture, b: &Picture| -> Result<Tensor> {
            let sum = cells::of_picture(a, Kind::Float)?.f_add(&cells::of_picture(b, Kind::Float)?)?;
            Ok(sum.f_mul_scalar(0.5)?)
        };
        Ok(Sample {
            input: cells::input([&first, &second, &before.picture, &after.picture], &field, time, kind)?,
            wanted: cells::of_picture(wanted, Kind::Float)?,
            blend: mean(&before.picture, &after.picture)?,
            moved: mean(&first, &second)?,
        })
    }

    /// Any, by the weights of the files.
    pub fn random(rng: &mut impl Rng, data: &Footage, cut: usize, beyond: f64, kind: Kind) -> Result<Self> {
        let shot = data.pick(rng, FRAMES).context("no video has three frames")?;
        let triple = Triple::random(rng, shot.len(), beyond);
        let cut = Cut::random(rng, &shot[0], cut);
        let [before, after, wanted] = [triple.before, triple.after, triple.wanted].map(|index| cut.of(&shot[index]));
        Sample::new(before, after, &wanted, triple.time(), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn triples_are_within_the_shot_and_of_both_kinds() {
        let mut rng = StdRng::seed_from_u64(1);
        for frames in [3, 4, 5, 24] {
            let mut beyond = 0;
            for _ in 0..500 {
                let triple = Triple::random(&mut rng, frames, 0.3);
                let Triple { before, after, wanted } = triple;
                assert!(before.max(after).max(wanted) < frames && before != after, "{triple:?}");
                let between = wanted > before.min(after) && wanted < before.max(after);
                assert!(between || (after > before && wanted > after), "{triple:?}");
                assert_eq!(between, triple.time() > 0.0 && triple.time() < 1.0);
                beyond += usize::from(!between);
            }
            assert!((100..200).contains(&beyond), "{beyond} of 500 beyond, where 150 are expected");
        }
    }
}
