//! What the codec is trained for: few bits and small errors, at every quality.

use anyhow::Result;
use gst_torch_models::codec::exact::{bound, round};
use gst_torch_models::codec::network::Stage;
use gst_torch_models::codec::rate::RateModel;
use gst_torch_models::codec::tensors;
use tch::{Kind, Tensor};

use super::args::Part;

/// Squared error that one bit is worth, in squared steps. H.264's reference encoder uses 0.134 (0.85 * 2^((QP-12)/3)
/// against a step of 2^((QP-4)/6)).
const BIT_WORTH: f64 = 0.13;
/// Weight of an error of a chroma sample against one of luma. In the mean of PSNRs, 6:1:1, a sample counts by its share of
/// its plane's error; chroma planes have a quarter of the samples and about that share of the error each. It turned out to be
/// less: see `--finer-chroma`.
const CHROMA: f64 = 2.0;

/// A batch of one kind of picture, as cells of samples less 128.
pub struct Batch {
    pub samples: Tensor,
    /// Zero for intra pictures.
    pub prediction: Tensor,
    /// Step indices `(N, 1, h, w)`.
    pub index: Tensor,
    /// 1 where there are latents, `(N, 1, h, w)`.
    pub coded: Option<Tensor>,
    /// 1 where the correction is added, `(N, 1, h, w)`.
    pub corrected: Option<Tensor>,
}

pub struct Outcome {
    /// What is minimised, per luma sample; `(N)`.
    pub loss: Tensor,
    /// Cells of the decoded samples less 128, not rounded.
    pub decoded: Tensor,
    /// Bits a luma sample, and squared error of luma, by picture.
    pub bits: Tensor,
    pub error: Tensor,
}

pub fn evaluate(stage: &Stage, rate: &RateModel, batch: &Batch, part: Part, kind: Kind) -> Result<Outcome> {
    let Batch { samples, prediction, index, .. } = batch;
    let steps = stage.steps(index)?;
    let mut soft = stage.analyse(samples, prediction, index, &steps, kind)?;
    if let Some(coded) = &batch.coded {
        soft = soft.f_mul(coded)?;
    }
    let hard = match part {
        Part::All => round(&soft)?,
        Part::Filter => tensors::levels(&soft, stage.inter())?,
    };
    let linear = stage.linear(&hard, prediction, &steps)?;
    let decoded = decode(stage, batch, &hard, &linear, kind)?;
    let [luma, chroma] = split(&decoded, samples)?;
    let sum = |x: &Tensor| x.f_sum_dim_intlist(&[1i64, 2, 3][..], false, Kind::Float);
    let pixels = (64 * samples.size()[2] * samples.size()[3]) as f64;
    let mut bits = rate.bits(&soft, &hard, index, kind)?;
    if let Some(coded) = &batch.coded {
        bits = bits.f_mul(coded)?;
    }
    let bits = sum(&bits)?.f_mul_scalar(1.0 / pixels)?;
    let worth =
        index.f_mean_dim(&[1i64, 2, 3][..], false, Kind::Float)?.f_mul_scalar(1.0 / 16.0)?.f_add_scalar(-1.0)?;
    let worth = worth.f_exp2()?.f_square()?.f_mul_scalar(BIT_WORTH)?;
    let loss = luma.f_add(&chroma.f_mul_scalar(CHROMA)?)?.f_div(&worth)?.f_add(&bits)?;
    Ok(Outcome { loss, decoded, bits, error: luma })
}

/// Cells of the decoded samples less 128, not rounded; `linear` are those that the levels `hard` give alone.
pub fn decode(stage: &Stage, batch: &Batch, hard: &Tensor, linear: &Tensor, kind: Kind) -> Result<Tensor> {
    let Batch { prediction, index, .. } = batch;
    let corrected = |correction: Tensor| -> Result<Tensor> {
        let correction = correction.f_mul_scalar(1.0 / 16.0)?;
        Ok(match &batch.corrected {
            Some(corrected) => correction.f_mul(corrected)?,
            None => correction,
        })
    };
    let seen = round(linear)?;
    let mut decoded = linear.f_add(&corrected(stage.correct(&seen, prediction, hard, index, kind)?)?)?;
    if let Some(filter) = stage.filter() {
        let seen = bound(&round(&decoded)?, -128.0, 127.0)?;
        decoded = decoded.f_add(&corrected(filter.correct(&seen, prediction, index, kind)?)?)?;
    }
    Ok(decoded)
}

/// Squared error a luma sample, of luma and of chroma, by picture.
pub fn split(decoded: &Tensor, samples: &Tensor) -> Result<[Tensor; 2]> {
    // What overshoots is clamped by the decoder and no error; its gradient would do harm.
    let error = decoded.f_clamp(-128.0, 127.0)?.f_sub(samples)?.f_square()?;
    let planes = error.f_split_with_sizes([64, 32], 1)?;
    let pixels = (64 * samples.size()[2] * samples.size()[3]) as f64;
    let mean = |x: &Tensor| x.f_sum_dim_intlist(&[1i64, 2, 3][..], false, Kind::Float)?.f_mul_scalar(1.0 / pixels);
    Ok([mean(&planes[0])?, mean(&planes[1])?])
}
