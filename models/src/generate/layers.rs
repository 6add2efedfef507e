//! What the networks are made of. Weights stay in the precision they are stored in; a layer computes in that of its input, so
//! that fp32 weights can be trained in bf16.

use tch::nn::{Init, Path};
use tch::{Kind, TchError, Tensor};

/// In the kind of `x`; where both agree already nothing happens, not even in a trace.
pub fn in_kind_of(weight: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
    let kind = x.f_kind()?;
    if weight.f_kind()? == kind { Ok(weight.shallow_clone()) } else { weight.f_to_kind(kind) }
}

/// A convolution with bias and "same" padding.
pub struct Conv {
    pub weight: Tensor,
    bias: Tensor,
    stride: i64,
    size: i64,
}

impl Conv {
    /// `gain` scales the deviation that keeps variance through a ReLU (He et al. 2015); 0 gives nothing until trained.
    pub fn new(path: &Path, inputs: i64, outputs: i64, size: i64, gain: f64) -> Result<Self, TchError> {
        let init = Init::Randn { mean: 0.0, stdev: gain * (2.0 / (size * size * inputs) as f64).sqrt() };
        Ok(Conv {
            weight: path.f_var("weight", &[outputs, inputs, size, size], init)?,
            bias: path.f_var("bias", &[outputs], Init::Const(0.0))?,
            stride: 1,
            size,
        })
    }

    /// Of every `stride`-th place.
    pub fn strided(self, stride: i64) -> Self {
        Conv { stride, ..self }
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (weight, bias) = (in_kind_of(&self.weight, x)?, in_kind_of(&self.bias, x)?);
        x.f_conv2d(&weight, Some(&bias), [self.stride; 2], [self.size / 2; 2], [1, 1], 1)
    }
}

/// Two 3x3 convolutions beside a way past both (He et al. 2016), without norms as in EDSR (Lim et al. 2017).
pub struct Residual([Conv; 2]);

impl Residual {
    pub fn new(path: &Path, channels: i64) -> Result<Self, TchError> {
        // Small second convolutions: a deep sum of blocks begins as about one of them.
        let conv = |index: i64, gain| Conv::new(&(path / index), channels, channels, 3, gain);
        Ok(Residual([conv(0, 1.0)?, conv(1, 0.3)?]))
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.0[1].forward(&self.0[0].forward(&x.f_relu()?)?.f_relu()?)?.f_add(x)
    }
}

/// Batch normalisation (Ioffe and Szegedy 2015); it vanishes into the convolution before it once the graph is frozen.
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl BatchNorm {
    pub fn new(path: &Path, channels: i64) -> Result<Self, TchError> {
        Ok(BatchNorm {
            weight: path.f_var("weight", &[channels], Init::Const(1.0))?,
            bias: path.f_var("bias", &[channels], Init::Const(0.0))?,
            mean: path.f_zeros_no_train("mean", &[channels])?,
            variance: path.f_ones_no_train("variance", &[channels])?,
        })
    }

    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let Self { weight, bias, mean, variance } = self;
        x.f_batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), train, 0.1, 1e-5, false)
    }
}

/// Normalises each place over its channels (Ba et al. 2016). In fp32: in bf16 small differences would be lost.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    pub fn new(path: &Path, channels: i64) -> Result<Self, TchError> {
        Ok(LayerNorm {
            weight: path.f_var("weight", &[channels], Init::Const(1.0))?,
            bias: path.f_var("bias", &[channels], Init::Const(0.0))?,
        })
    }

    /// `x` is `(N, places, channels)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (weight, bias) = (in_kind_of(&self.weight, x)?, in_kind_of(&self.bias, x)?);
        x.f_layer_norm(weight.size(), Some(&weight), Some(&bias), 1e-5, false)
    }
}

/// A matrix and a bias.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `gain` as of [`Conv::new`], for what no ReLU follows.
    pub fn new(path: &Path, inputs: i64, outputs: i64, gain: f64) -> Result<Self, TchError> {
        let init = Init::Randn { mean: 0.0, stdev: gain / (inputs as f64).sqrt() };
        Ok(Linear {
            weight: path.f_var("weight", &[outputs, inputs], init)?,
            bias: path.f_var("bias", &[outputs], Init::Const(0.0))?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&in_kind_of(&self.weight, x)?, Some(in_kind_of(&self.bias, x)?))
    }
}

/// Twice as large, by repeating: with a convolution after it, it leaves no checkerboard (Odena et al. 2016).
pub fn doubled(x: &Tensor) -> Result<Tensor, TchError> {
    let (_, _, height, width) = x.size4()?;
    x.f_upsample_nearest2d([2 * height, 2 * width], None, None)
}

/// Numbers of 0 to 1, in fp32.
pub fn as_picture(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_to_kind(Kind::Float)?.f_sigmoid()
}
