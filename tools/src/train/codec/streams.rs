//! Inter pictures to train on: streams that are really coded, motion search and all, so that the network meets its own
//! errors. Gradients end at each picture.

use anyhow::{Context, Result};
use gst_torch_models::codec::motion::{self, Reference, Settings};
use gst_torch_models::codec::network::{Stage, step_size};
use gst_torch_models::codec::picture::Picture;
use gst_torch_models::codec::symbols::{Block, CELLS, Mode};
use gst_torch_models::codec::{tensors, tone};
use rand::Rng;
use rand::rngs::StdRng;
use tch::{Device, Kind, Tensor};

use super::super::footage::{Cut, Footage, Shot};
use super::args::{Args, Part};
use super::objective::{Batch, Outcome, decode, evaluate};
use super::{INDICES, Nets, index_planes};
use crate::media::Yuv;

/// Key frames are coded with a step index lower by this: everything is predicted from them.
const KEY_INDEX: i64 = 10;

/// One stream between two of its pictures.
struct Stream {
    shot: Shot,
    cut: Cut,
    backwards: bool,
    /// Of the next picture, from the beginning of the shot.
    next: usize,
    index: i64,
    decoded: Picture,
    /// The one before, if that is not a key frame's.
    older: Option<Picture>,
    blocks: Option<Vec<Block>>,
    /// Whether the next picture is a key frame, predicted from a still.
    key: bool,
}

impl Stream {
    fn picture(&self, number: usize) -> Picture {
        let number = if self.backwards { self.shot.len() - 1 - number } else { number };
        self.cut.of(&self.shot[number])
    }
}

pub struct Streams {
    batch: usize,
    side: usize,
    length: usize,
    /// What half of the streams begin from, of the size of their frames.
    still: Option<Yuv>,
    running: Vec<Stream>,
}

impl Streams {
    pub fn new(args: &Args, still: Option<Yuv>) -> Self {
        Streams { batch: args.batch_size, side: args.cut, length: args.length, still, running: Vec::new() }
    }

    /// The next picture of each stream; those that have ended are replaced by new ones, whose key frames `intra` codes.
    pub fn next(&mut self, rng: &mut StdRng, data: &Footage, intra: &Stage, kind: Kind) -> Result<Batch> {
        let length = self.length;
        self.running.retain(|s| s.next < s.shot.len() && s.next <= length);
        // The very first streams end at different times, so that later ones begin at different times.
        let first = self.running.is_empty();
        let mut fresh = Vec::new();
        while self.running.len() + fresh.len() < self.batch {
            let shot = data.pick(rng, 2).context("--data has no video long enough")?;
            let mut stream = Stream {
                cut: Cut::random(rng, &shot[0], self.side),
                backwards: rng.random(),
                next: if first { rng.random_range(0..shot.len() - 1) } else { 0 },
                index: rng.random_range(INDICES),
                decoded: Picture::grey(1, 1),
                older: None,
                blocks: None,
                key: false,
                shot,
            };
            if let Some(still) = self.still.as_ref().filter(|_| rng.random()) {
                let (then, now) = (stream.cut.of(still), stream.picture(stream.next));
                stream.decoded = tone::apply(&tone::between(&then, &now), then);
                stream.key = true;
                self.running.push(stream);
                continue;
            }
            stream.decoded = stream.picture(stream.next);
            stream.next += 1;
            fresh.push(stream);
        }
        if !fresh.is_empty() {
            let pictures: Vec<_> = fresh.iter().map(|s| s.decoded.clone()).collect();
            let pictures: Vec<_> = pictures.iter().collect();
            let indices: Vec<_> = fresh.iter().map(|s| (s.index - KEY_INDEX).max(0)).collect();
            for (stream, decoded) in fresh.iter_mut().zip(key_frames(&pictures, &indices, intra, kind)?) {
                stream.decoded = decoded;
            }
            self.running.append(&mut fresh);
        }
        let index = |s: &mut Stream| {
            let key = if s.key { KEY_INDEX } else { 0 };
            (s.index - key + rng.random_range(-5..=3)).clamp(0, 127)
        };
        let indices: Vec<_> = self.running.iter_mut().map(index).collect();
        batch(&mut self.running, &indices, intra.device())
    }

    /// Takes what was decoded of the last batch as the streams' references.
    pub fn decoded(&mut self, cells: &Tensor) -> Result<()> {
        for (stream, picture) in self.running.iter_mut().zip(tensors::to_pictures(cells)?) {
            let before = std::mem::replace(&mut stream.decoded, picture);
            stream.older = Some(before).filter(|_| !std::mem::take(&mut stream.key));
        }
        Ok(())
    }

    /// Codes one shot from its first picture, at one quality, and returns the outcome of each inter picture.
    pub fn score(cut: &Cut, shot: &Shot, index: i64, part: Part, nets: &Nets, kind: Kind) -> Result<Vec<Outcome>> {
        let Nets { network, rates: [_, rates], .. } = nets;
        let stream = Stream {
            shot: shot.clone(),
            cut: *cut,
            backwards: false,
            next: 1,
            index,
            decoded: Picture::grey(1, 1),
            older: None,
            blocks: None,
            key: false,
        };
        let mut streams = [stream];
        let keys = key_frames(&[&streams[0].picture(0)], &[(index - KEY_INDEX).max(0)], &network.intra, kind)?;
        streams[0].decoded = keys.into_iter().next().context("one key frame gives one picture")?;
        let mut outcomes = Vec::new();
        while streams[0].next < shot.len() {
            let outcome =
                evaluate(&network.inter, rates, &batch(&mut streams, &[index], network.intra.device())?, part, kind)?;
            let decoded = tensors::to_pictures(&outcome.decoded)?.remove(0);
            streams[0].older = Some(std::mem::replace(&mut streams[0].decoded, decoded));
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

fn key_frames(pictures: &[&Picture], indices: &[i64], intra: &Stage, kind: Kind) -> Result<Vec<Picture>> {
    let _guard = tch::no_grad_guard();
    let samples = tensors::of_pictures(pictures)?.f_to_device(intra.device())?;
    let index = index_planes(indices, &samples)?;
    let prediction = samples.f_zeros_like()?;
    let steps = intra.steps(&index)?;
    let levels = tensors::levels(&intra.analyse(&samples, &prediction, &index, &steps, kind)?, false)?;
    let linear = intra.linear(&levels, &prediction, &steps)?;
    let batch = Batch { samples, prediction, index, coded: None, corrected: None };
    Ok(tensors::to_pictures(&decode(intra, &batch, &levels, &linear, kind)?)?)
}

/// Searches the motion of each stream's next picture.
fn batch(streams: &mut [Stream], indices: &[i64], device: Device) -> Result<Batch> {
    let (mut pictures, mut predictions) = (Vec::new(), Vec::new());
    let (mut coded, mut corrected) = (Vec::new(), Vec::new());
    for (stream, &index) in streams.iter_mut().zip(indices) {
        let picture = stream.picture(stream.next);
        stream.next += 1;
        let (columns, rows) = picture.blocks();
        let (reference, older) = (Reference::new(&stream.decoded), stream.older.as_ref().map(Reference::new));
        let settings = Settings::for_step(step_size(index as f64) as f32);
        let blocks = motion::search(&picture, &reference, older.as_ref(), 0..rows, stream.blocks.as_deref(), &settings);
        let mut prediction = Picture::grey(columns, rows);
        motion::compensate(&reference, older.as_ref(), &blocks, columns, 0, &mut prediction);
        coded.extend(mask(&blocks, columns, |b| b.mode != Mode::Skip));
        corrected.extend(mask(&blocks, columns, Block::is_corrected));
        stream.blocks = Some(blocks);
        pictures.push(picture);
        predictions.push(prediction);
    }
    let cells = |pictures: &[Picture]| tensors::of_pictures(&pictures.iter().collect::<Vec<_>>())?.f_to_device(device);
    let samples = cells(&pictures)?;
    let size = samples.size();
    let plane = |values: &[f32]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(values)?.f_view([size[0], 1, size[2], size[3]])?.f_to_device(device)?)
    };
    Ok(Batch {
        prediction: cells(&predictions)?,
        index: index_planes(indices, &samples)?,
        coded: Some(plane(&coded)?),
        corrected: Some(plane(&corrected)?),
        samples,
    })
}

/// One number a cell, 1 in blocks for which `holds`.
fn mask(blocks: &[Block], columns: usize, holds: impl Fn(&Block) -> bool) -> Vec<f32> {
    let width = columns * 2;
    let rows = blocks.len() / columns * CELLS / 2;
    let block = |i: usize| &blocks[i / width / 2 * columns + i % width / 2];
    (0..width * rows).map(|i| f32::from(u8::from(holds(block(i))))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_four_cells_a_block() {
        let mut blocks = vec![Block::default(); 6];
        blocks[4].mode = Mode::Skip;
        let cells = mask(&blocks, 3, |b| b.mode == Mode::Skip);
        let ones: Vec<_> = cells.iter().enumerate().filter(|(_, v)| **v == 1.0).map(|(i, _)| i).collect();
        assert_eq!(ones, [14, 15, 20, 21]);
    }
}
