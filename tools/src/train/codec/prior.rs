//! Trains what the entropy coder begins with: codes shots at many qualities, one after another, and keeps what was learnt.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use gst_torch_models::codec::canvas::Frame;
use gst_torch_models::codec::control::Rate;
use gst_torch_models::codec::encoder::{Encoder, Request};
use gst_torch_models::codec::entropy::{Coder, Prior};
use gst_torch_models::codec::model::{Model, PRIOR};
use gst_torch_models::codec::network::Config;
use gst_torch_models::codec::stream::{Coding, Colour, Header, Subsampling};
use indicatif::{ProgressBar, ProgressStyle};
use rand::Rng;
use rand::rngs::StdRng;
use tch::Tensor;

use super::super::footage::{Cut, Footage};

/// Pictures of a shot that are coded, and shots.
const LENGTH: usize = 8;
/// Step indices that are drawn.
const STEPS: std::ops::RangeInclusive<u8> = 44..=112;

/// Adds a prior to the weights at `path`.
pub fn train(path: &Path, config: Config, data: &Footage, side: usize, shots: u64, rng: &mut StdRng) -> Result<()> {
    let read = Tensor::read_safetensors(path).with_context(|| path.display().to_string())?;
    let mut tensors: Vec<_> = read.into_iter().filter(|(name, _)| name != PRIOR).collect();
    Tensor::write_safetensors(&tensors, path)?;
    let bytes = std::fs::read(path)?;
    let bad = |reason: String| gst_torch_runtime::Error::bad_file(path, reason);
    let model = Model::load("trained", config, &bytes, "cpu".parse()?, "auto".parse()?, bad)?;
    let header = Header {
        coding: Coding::Residual,
        model: model.identity,
        name: String::new(),
        width: side as u16,
        height: side as u16,
        subsampling: Subsampling::Quarter,
        interleaved: false,
        colour: Colour::default(),
        rate: (30, 1),
        aspect: (1, 1),
        slice_rows: 24,
    };
    let blocks = side / 16;
    let mut coder = Coder::new(blocks, blocks, &Prior::default(), Arc::clone(&model.steps));
    let bar = ProgressBar::new(shots);
    bar.set_style(ProgressStyle::with_template("prior {wide_bar} {pos}/{len} {eta}")?);
    let mut coded = 0;
    for _ in 0..shots {
        let shot = data.pick(rng, 1).context("no frames")?;
        let cut = Cut::random(rng, &shot[0], side);
        let start = rng.random_range(0..=shot.len().saturating_sub(LENGTH));
        let rate = Rate::Step(rng.random_range(STEPS));
        let mut encoder = Encoder::new(Arc::clone(&model), header.clone());
        coder.forget();
        for yuv in shot.iter().skip(start).take(LENGTH) {
            let mut frame = Frame::new(side, side, Subsampling::Quarter);
            frame.planes = cut.of(yuv).planes.into();
            encoder.encode(&frame, &Request { rate, ..Request::default() })?;
            for slice in encoder.symbols() {
                let length =
                    coder.encode(slice).map_err(|e| anyhow!("the encoder made symbols that break a rule: {e}"))?.len();
                coded += length;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let prior = coder.prior().to_bytes();
    println!("prior of {} bytes, from {} bytes of pictures", prior.len(), coded);
    tensors.push((PRIOR.into(), Tensor::from_slice(&prior)));
    Tensor::write_safetensors(&tensors, path)?;
    Ok(())
}
