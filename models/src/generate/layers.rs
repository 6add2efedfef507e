//! What the networks are made of. Weights stay in the precision they are stored in; a layer computes in that of its input, so
//! that fp32 weights can be trained in bf16.

use tch::nn::{Init, Path};
use tch::{Kind, TchError, Tensor};

/// In the kind of `x`; where both agree already nothing happens, not even in a trace.
pub fn in_kind_of(weight: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
    let kind = x.f_kind()?;
    if weight.f_kind()? == kind { Ok(weight.shallow_clone()) } else { weight.f_to_kind(kind) }
}

/// A convolution with "same" padding.
pub struct Conv {
    pub weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    size: i64,
}

impl Conv {
    /// `gain` scales the deviation that keeps variance through a ReLU (He et al. 2015); 0 gives nothing until trained.
    pub fn new(path: &Path, inputs: i64, outputs: i64, size: i64, gain: f64) -> Result<Self, TchError> {
        let bias = Some(path.f_var("bias", &[outputs], Init::Const(0.0))?);
        Ok(Conv { bias, ..Self::unbiased(path, inputs, outputs, size, gain)? })
    }

    /// Without a bias, for what a norm follows.
    pub fn unbiased(path: &Path, inputs: i64, outputs: i64, size: i64, gain: f64) -> Result<Self, TchError> {
        let init = Init::Randn { mean: 0.0, stdev: gain * (2.0 / (size * size * inputs) as f64).sqrt() };
        Ok(Conv { weight: path.f_var("weight", &[outputs, inputs, size, size], init)?, bias: None, stride: 1, size })
    }

    /// Of every `stride`-th place.
    pub fn strided(self, stride: i64) -> Self {
        Conv { stride, ..self }
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.with(&self.weight, x)
    }

    /// With these weights in place of its own.
    fn with(&self, weight: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
        let bias = self.bias.as_ref().map(|bias| in_kind_of(bias, x)).transpose()?;
        x.f_conv2d(&in_kind_of(weight, x)?, bias, [self.stride; 2], [self.size / 2; 2], [1, 1], 1)
    }
}

/// A convolution whose weights, as a matrix, stretch nothing: they are divided by their largest singular value, which a step of
/// the power iteration follows with each pass (spectral normalisation, Miyato et al., ICLR 2018).
pub struct SpectralConv {
    conv: Conv,
    /// The left singular vector.
    direction: Tensor,
}

impl SpectralConv {
    pub fn new(path: &Path, inputs: i64, outputs: i64, size: i64) -> Result<Self, TchError> {
        let direction = path.f_zeros_no_train("direction", &[outputs])?;
        let fresh = Tensor::f_randn([outputs], (Kind::Float, path.device()))?;
        tch::no_grad(|| direction.shallow_clone().f_copy_(&fresh))?;
        Ok(SpectralConv { conv: Conv::new(path, inputs, outputs, size, 1.0)?, direction })
    }

    /// Of every `stride`-th place.
    pub fn strided(self, stride: i64) -> Self {
        SpectralConv { conv: self.conv.strided(stride), ..self }
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let matrix = self.conv.weight.f_flatten(1, -1)?;
        let turned = matrix.f_transpose(0, 1)?;
        let (direction, across) = tch::no_grad(|| {
            let across = unit(&self.direction.f_unsqueeze(0)?.f_matmul(&matrix)?)?;
            let direction = unit(&across.f_matmul(&turned)?.f_squeeze_dim(0)?)?;
            self.direction.shallow_clone().f_copy_(&direction)?;
            Ok::<_, TchError>((direction, across))
        })?;
        let largest = across.f_matmul(&turned)?.f_squeeze_dim(0)?.f_dot(&direction)?;
        self.conv.with(&self.conv.weight.f_div(&largest)?, x)
    }
}

fn unit(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_div(&x.f_norm()?.f_clamp_min(1e-12)?)
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

#[cfg(test)]
mod tests {
    use tch::{Device, nn};

    use super::*;

    #[test]
    fn a_spectral_convolution_stretches_nothing_and_learns_through_its_norm() {
        let store = nn::VarStore::new(Device::Cpu);
        let conv = SpectralConv::new(&store.root(), 6, 4, 1).unwrap();
        let _ = tch::no_grad(|| conv.conv.weight.shallow_clone().g_mul_scalar_(7.0));
        let x = Tensor::eye(6, (Kind::Float, Device::Cpu)).view([6, 6, 1, 1]);
        let mut seen = conv.forward(&x).unwrap();
        for _ in 0..50 {
            seen = conv.forward(&x).unwrap();
        }
        let (_, values, _) = seen.view([6, 4]).svd(true, true);
        assert!((values.double_value(&[0]) - 1.0).abs() < 1e-3, "{values}");
        // Only the shape of the matrix matters: its gradient is at right angles to it.
        (seen * Tensor::randn([6, 4, 1, 1], (Kind::Float, Device::Cpu))).sum(Kind::Float).backward();
        let (weight, slope) = (conv.conv.weight.flatten(0, -1), conv.conv.weight.grad().flatten(0, -1));
        let cosine = weight.dot(&slope).double_value(&[]) / (weight.norm() * slope.norm()).double_value(&[]);
        assert!(cosine.abs() < 1e-2 && slope.norm().double_value(&[]) > 1e-3, "{cosine}");
    }
}
