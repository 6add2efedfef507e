//! The network: `(N, (frames + 1) * embedding, h, w)` to logits `(N, codes, h, w)` in fp32.
//!
//! The input is the embedded codes of the last pictures, the oldest first, and of the next picture, as far as they are decided; a
//! place that is not has an embedding of its own. The same embeddings, transposed, are part of the last layer (Press and
//! Wolf 2017): a code that is likely to stay begins as likely.

use tch::nn::{Init, Path};
use tch::{Kind as Precision, TchError, Tensor};

use super::super::layers::{Conv, LayerNorm, Linear, in_kind_of};
use super::{Config, HEAD, Kind};

/// The network with its weights, which live in the `VarStore` it was built in.
pub struct Sequence {
    config: Config,
    /// A row a code, and the last one for a place that is not decided: `(codes + 1, embedding)`.
    pub embedding: Tensor,
    /// Beginnings, `(starts, frames, h, w)`; whole numbers.
    pub starts: Tensor,
    body: Body,
    norm: LayerNorm,
    to_embedding: Linear,
    bias: Tensor,
}

enum Body {
    Transformer(Transformer),
    Lstm(Lstm),
}

impl Sequence {
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let (embedding, channels) = (config.embedding, config.channels);
        let deviation = 1.0 / (embedding as f64).sqrt();
        let body = match config.kind {
            Kind::Transformer => Body::Transformer(Transformer::new(&(path / "transformer"), config)?),
            Kind::Lstm => Body::Lstm(Lstm::new(&(path / "lstm"), config)?),
        };
        let [_, height, width] = config.input();
        Ok(Sequence {
            embedding: path.f_var(
                "embedding",
                &[config.codes + 1, embedding],
                Init::Randn { mean: 0.0, stdev: deviation },
            )?,
            starts: path.f_zeros_no_train("starts", &[config.starts, config.frames, height, width])?,
            body,
            norm: LayerNorm::new(&(path / "norm"), channels)?,
            to_embedding: Linear::new(&(path / "to-embedding"), channels, embedding, 1.0)?,
            bias: path.f_var("bias", &[config.codes], Init::Const(0.0))?,
            config: config.clone(),
        })
    }

    /// The input of [`Sequence::forward`] from codes `(N, frames + 1, h, w)`; `codes` itself stands for what is not decided.
    ///
    /// # Errors
    /// When a code has no row.
    pub fn embed(&self, codes: &Tensor) -> Result<Tensor, TchError> {
        let embedded = Tensor::f_embedding(&self.embedding, codes, -1, false, false)?;
        embedded.f_permute([0, 1, 4, 2, 3])?.f_flatten(1, 2)
    }

    /// See the module.
    ///
    /// # Errors
    /// When `x` is not as many channels as the pictures looked back on, and one more, have.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (_, _, height, width) = x.size4()?;
        let places = match &self.body {
            Body::Transformer(body) => body.forward(x)?,
            Body::Lstm(body) => body.forward(x, self.config.embedding)?,
        };
        let wanted = self.to_embedding.forward(&self.norm.forward(&places)?)?;
        let rows = in_kind_of(&self.embedding.f_narrow(0, 0, self.config.codes)?, x)?;
        let logits = wanted.f_linear(&rows, Some(in_kind_of(&self.bias, x)?))?;
        let logits = logits.f_to_kind(Precision::Float)?.f_transpose(1, 2)?;
        logits.f_reshape([-1, self.config.codes, height, width])
    }
}

/// `(N, C, h, w)` to `(N, h * w, C)`.
fn places(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_flatten(2, 3)?.f_transpose(1, 2)
}

/// Vaswani et al. 2017, with the norms before what they are for (Xiong et al. 2020). A convolution goes before: what moves comes
/// from a place nearby.
struct Transformer {
    first: Conv,
    /// Learnt, a row a place.
    positions: Tensor,
    blocks: Vec<Block>,
}

impl Transformer {
    fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let [inputs, height, width] = config.input();
        let init = Init::Randn { mean: 0.0, stdev: 0.1 };
        let block = |index: i64| Block::new(&(path / "blocks" / index), config.channels);
        Ok(Transformer {
            first: Conv::new(&(path / "first"), inputs, config.channels, 3, 1.0)?,
            positions: path.f_var("positions", &[1, height * width, config.channels], init)?,
            blocks: (0..config.blocks).map(block).collect::<Result<_, _>>()?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut x = places(&self.first.forward(x)?)?.f_add(&in_kind_of(&self.positions, x)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

struct Block {
    norms: [LayerNorm; 2],
    /// Queries, keys and values.
    attend: Linear,
    project: Linear,
    expand: Linear,
    shrink: Linear,
}

impl Block {
    fn new(path: &Path, channels: i64) -> Result<Self, TchError> {
        Ok(Block {
            norms: [LayerNorm::new(&(path / "norms" / 0), channels)?, LayerNorm::new(&(path / "norms" / 1), channels)?],
            attend: Linear::new(&(path / "attend"), channels, 3 * channels, 1.0)?,
            project: Linear::new(&(path / "project"), channels, channels, 0.3)?,
            expand: Linear::new(&(path / "expand"), channels, 4 * channels, 1.4)?,
            shrink: Linear::new(&(path / "shrink"), 4 * channels, channels, 0.3)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (_, count, channels) = x.size3()?;
        let heads = channels / HEAD;
        let all = self.attend.forward(&self.norms[0].forward(x)?)?.f_view([-1, count, 3, heads, HEAD])?;
        // (N, heads, places, HEAD) each.
        let part = |index: i64| all.f_select(2, index)?.f_transpose(1, 2);
        let scores = part(0)?.f_matmul(&part(1)?.f_transpose(2, 3)?)?.f_mul_scalar(1.0 / (HEAD as f64).sqrt())?;
        let seen = scores.f_softmax(-1, None::<Precision>)?.f_matmul(&part(2)?)?;
        let x = x.f_add(&self.project.forward(&seen.f_transpose(1, 2)?.f_reshape([-1, count, channels])?)?)?;
        x.f_add(&self.shrink.forward(&self.expand.forward(&self.norms[1].forward(&x)?)?.f_gelu("none")?)?)
    }
}

/// A convolutional LSTM (Shi et al., NeurIPS 2015), one layer, over the pictures from the oldest to the next.
struct Lstm {
    channels: i64,
    gates: Conv,
    mix: Conv,
}

impl Lstm {
    fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let channels = config.channels;
        Ok(Lstm {
            channels,
            gates: Conv::new(&(path / "gates"), config.embedding + channels, 4 * channels, 3, 0.7)?,
            mix: Conv::new(&(path / "mix"), channels, channels, 3, 1.0)?,
        })
    }

    fn forward(&self, x: &Tensor, embedding: i64) -> Result<Tensor, TchError> {
        let (batch, inputs, height, width) = x.size4()?;
        let mut hidden = Tensor::f_zeros([batch, self.channels, height, width], (x.kind(), x.device()))?;
        let mut cell = hidden.shallow_clone();
        for picture in 0..inputs / embedding {
            let seen = Tensor::f_cat(&[&x.f_narrow(1, picture * embedding, embedding)?, &hidden], 1)?;
            let gates = self.gates.forward(&seen)?;
            let gate = |index: i64| gates.f_narrow(1, index * self.channels, self.channels);
            // One that forgets little to begin with (Gers et al. 2000).
            let kept = gate(0)?.f_add_scalar(1.0)?.f_sigmoid()?.f_mul(&cell)?;
            cell = kept.f_add(&gate(1)?.f_sigmoid()?.f_mul(&gate(2)?.f_tanh()?)?)?;
            hidden = gate(3)?.f_sigmoid()?.f_mul(&cell.f_tanh()?)?;
        }
        places(&hidden.f_add(&self.mix.forward(&hidden.f_relu()?)?)?)
    }
}
