//! The built-in detector: a small anchor-free, fully convolutional network for live video on a CPU.
//!
//! Nearly all of its work is dense 3x3 convolutions of 32 to 192 channels at 1/8, 1/16 and 1/32 of the input, because that
//! is what bf16 units (AMX, AVX512-BF16) and GPUs run at full rate; ReLU and batch norm vanish into them once the graph is
//! frozen. A bottleneck-residual backbone, pooled context at 1/32, a top-down feature pyramid (Lin et al. 2017) and one
//! head shared by three levels, each with its own norm, since the statistics of the levels differ (as in NAS-FPN).
//!
//! Input: RGB `(N, 3, H, W)`, 0 to 1, any H and W (multiples of 32 waste nothing).
//! Output: one map per level, strides 8, 16 and 32: `(N, 4 + classes, ceil(H / stride), ceil(W / stride))`, raw. What the
//! channels mean is in [`super::maps`].

use serde::{Deserialize, Serialize};
use tch::{Device, TchError, Tensor, nn};

use super::calibrate::Scaling;
use super::maps::STRIDES;

/// Widths of the network; the `[config]` table of a model card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many classes are told apart, background not counted.
    pub classes: i64,
    /// Channels at 1/2 and 1/4 of the input.
    #[serde(default = "Config::default_stem")]
    pub stem: [i64; 2],
    /// Channels at 1/8, 1/16 and 1/32.
    #[serde(default = "Config::default_stages")]
    pub stages: [i64; 3],
    /// Channels of the feature pyramid and the head.
    #[serde(default = "Config::default_neck")]
    pub neck: i64,
}

impl Config {
    pub fn new(classes: i64) -> Self {
        Config { classes, stem: Self::default_stem(), stages: Self::default_stages(), neck: Self::default_neck() }
    }

    fn default_stem() -> [i64; 2] {
        [16, 32]
    }

    fn default_stages() -> [i64; 3] {
        [64, 128, 192]
    }

    fn default_neck() -> i64 {
        64
    }

    /// Channels of what [`DetectNet::seen`] gives.
    pub fn seen(&self) -> Vec<i64> {
        [self.stem[1]].into_iter().chain(self.stages).collect()
    }

    /// What a forward pass of one `width` x `height` picture multiplies and adds (convolutions only; everything else is
    /// thousands of times less).
    pub fn macs(&self, width: i64, height: i64) -> i64 {
        self.convolutions().iter().map(|c| c.macs(width, height)).sum()
    }

    /// Every convolution of the network and the resolution it runs at: the single list that [`Config::macs`] adds up.
    fn convolutions(&self) -> Vec<Convolution> {
        let conv = |from, to, size, stride| Convolution { from, to, size, stride };
        let mut all = vec![conv(3, self.stem[0], 3, 2), conv(self.stem[0], self.stem[1], 3, 4)];
        let mut from = self.stem[1];
        for (width, stride) in self.stages.into_iter().zip(STRIDES) {
            all.push(conv(from, width, 3, stride));
            all.push(conv(width, width / 2, 3, stride));
            all.push(conv(width / 2, width, 3, stride));
            from = width;
        }
        let deep = self.stages[2];
        all.push(conv(deep, deep / 2, 1, STRIDES[2]));
        all.push(conv(deep / 2 * 4, deep, 1, STRIDES[2]));
        all.push(conv(self.neck, self.neck, 3, STRIDES[1]));
        for (width, stride) in self.stages.into_iter().zip(STRIDES) {
            all.push(conv(width, self.neck, 1, stride));
            all.push(conv(self.neck, self.neck, 3, stride));
            all.push(conv(self.neck, 4 + self.classes, 1, stride));
        }
        all
    }

    fn check(&self) -> Result<(), TchError> {
        let widths = self.stem.iter().chain(&self.stages).chain([&self.neck]);
        if !(1..=10_000).contains(&self.classes) || widths.clone().any(|w| !(2..=4096).contains(w)) {
            return Err(TchError::Shape(format!(
                "detector: 1 to 10000 classes and widths of 2 to 4096 channels are expected, got {self:?}"
            )));
        }
        Ok(())
    }
}

struct Convolution {
    from: i64,
    to: i64,
    size: i64,
    /// Of the output, against the input picture.
    stride: i64,
}

impl Convolution {
    fn macs(&self, width: i64, height: i64) -> i64 {
        let cells = (width as u64).div_ceil(self.stride as u64) * (height as u64).div_ceil(self.stride as u64);
        self.from * self.to * self.size * self.size * cells as i64
    }
}

/// The network with its weights, which live in the `VarStore` it was built in.
#[derive(Debug)]
pub struct DetectNet {
    stem: [ConvNorm; 2],
    stages: Vec<Stage>,
    context: Context,
    laterals: Vec<ConvNorm>,
    smooth: ConvNorm,
    head: Head,
}

impl DetectNet {
    /// Builds the network under `vs` with fresh weights.
    ///
    /// # Errors
    /// When the widths of `config` make no network, or libtorch cannot allocate.
    pub fn new(vs: &nn::Path, config: &Config) -> Result<Self, TchError> {
        config.check()?;
        let stem = [
            ConvNorm::new(&(vs / "stem" / 0), 3, config.stem[0], 3, 2)?,
            ConvNorm::new(&(vs / "stem" / 1), config.stem[0], config.stem[1], 3, 2)?,
        ];
        let mut from = config.stem[1];
        let mut stages = Vec::new();
        let mut laterals = Vec::new();
        for (level, width) in config.stages.into_iter().enumerate() {
            stages.push(Stage::new(&(vs / "stages" / level), from, width)?);
            laterals.push(ConvNorm::new(&(vs / "laterals" / level), width, config.neck, 1, 1)?);
            from = width;
        }
        Ok(DetectNet {
            stem,
            stages,
            context: Context::new(&(vs / "context"), from)?,
            laterals,
            smooth: ConvNorm::new(&(vs / "smooth"), config.neck, config.neck, 3, 1)?,
            head: Head::new(&(vs / "head"), config)?,
        })
    }

    /// Folds a scaling of the scores of `class` into the weights.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn rescale(&mut self, class: i64, scaling: Scaling) -> Result<(), TchError> {
        tch::no_grad(|| {
            let mut weight = self.head.weight.f_narrow(0, 4 + class, 1)?;
            let mut bias = self.head.bias.f_narrow(0, 4 + class, 1)?;
            let _ = weight.f_mul_scalar_(scaling.slope)?;
            let _ = bias.f_mul_scalar_(scaling.slope)?.f_add_scalar_(scaling.shift)?;
            Ok(())
        })
    }

    /// Where its weights are.
    pub fn device(&self) -> Device {
        self.head.weight.device()
    }

    /// The raw maps of the levels, finest first; computed in the precision of `x`.
    ///
    /// # Errors
    /// When `x` is not `(N, 3, H, W)` floating point on the device of the weights.
    pub fn forward_t(&self, x: &Tensor, train: bool) -> Result<Vec<Tensor>, TchError> {
        let mut levels = self.backbone(x, train)?.split_off(1);
        levels[2] = self.context.forward_t(&levels[2], train)?;

        let mut features = Vec::with_capacity(levels.len());
        for (level, lateral) in levels.iter().zip(&self.laterals) {
            features.push(lateral.forward_t(level, train)?);
        }
        features[2] = features[2].f_relu()?;
        let middle = add_upsampled(&features[1], &features[2])?.f_relu()?;
        features[1] = self.smooth.forward_t(&middle, train)?.f_relu()?;
        features[0] = add_upsampled(&features[0], &features[1])?.f_relu()?;

        features.iter().enumerate().map(|(level, feature)| self.head.forward_t(feature, level, train)).collect()
    }

    /// The maps of the backbone at 1/4, 1/8, 1/16 and 1/32.
    fn backbone(&self, x: &Tensor, train: bool) -> Result<Vec<Tensor>, TchError> {
        let x = self.stem[0].forward_t(x, train)?.f_relu()?;
        let mut maps = vec![self.stem[1].forward_t(&x, train)?.f_relu()?];
        for (index, stage) in self.stages.iter().enumerate() {
            maps.push(stage.forward_t(&maps[index], train)?);
        }
        Ok(maps)
    }

    /// What is seen on the way to the raw maps: at 1/4, 1/8, 1/16 and 1/32, as many channels as [`Config::seen`] says; for those
    /// who compare pictures by it.
    ///
    /// # Errors
    /// When `x` is not `(N, 3, H, W)` floating point on the device of the weights.
    pub fn seen(&self, x: &Tensor) -> Result<Vec<Tensor>, TchError> {
        self.backbone(x, false)
    }
}

/// `fine` plus `coarse` repeated to its size.
fn add_upsampled(fine: &Tensor, coarse: &Tensor) -> Result<Tensor, TchError> {
    let (_, _, height, width) = fine.size4()?;
    fine.f_add(&coarse.f_upsample_nearest2d([height, width], None, None)?)
}

/// The weight in the precision of the input. Training keeps fp32 weights and may compute in bf16; elsewhere both agree and
/// nothing happens, not even in a trace.
fn weight_for(weight: &Tensor, x: &Tensor) -> Result<Tensor, TchError> {
    let kind = x.f_kind()?;
    if weight.f_kind()? == kind { Ok(weight.shallow_clone()) } else { weight.f_to_kind(kind) }
}

/// Convolution ("same" padding, no bias).
#[derive(Debug)]
struct Conv {
    weight: Tensor,
    stride: i64,
}

impl Conv {
    fn new(vs: &nn::Path, from: i64, to: i64, size: i64, stride: i64) -> Result<Self, TchError> {
        // He et al. 2015, by fan-out: every layer here ends in a ReLU.
        let deviation = (2.0 / (to * size * size) as f64).sqrt();
        let weight = vs.f_var("weight", &[to, from, size, size], nn::Init::Randn { mean: 0.0, stdev: deviation })?;
        Ok(Conv { weight, stride })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let padding = self.weight.size()[2] / 2;
        let weight = weight_for(&self.weight, x)?;
        x.f_conv2d(&weight, None::<Tensor>, [self.stride; 2], [padding; 2], [1, 1], 1)
    }
}

/// Batch normalisation (Ioffe and Szegedy 2015).
#[derive(Debug)]
struct Norm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl Norm {
    fn new(vs: &nn::Path, channels: i64) -> Result<Self, TchError> {
        Ok(Norm {
            weight: vs.f_ones("weight", &[channels])?,
            bias: vs.f_zeros("bias", &[channels])?,
            running_mean: vs.f_zeros_no_train("running_mean", &[channels])?,
            running_var: vs.f_ones_no_train("running_var", &[channels])?,
        })
    }

    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            0.03,
            1e-3,
            true,
        )
    }
}

#[derive(Debug)]
struct ConvNorm {
    conv: Conv,
    norm: Norm,
}

impl ConvNorm {
    fn new(vs: &nn::Path, from: i64, to: i64, size: i64, stride: i64) -> Result<Self, TchError> {
        Ok(ConvNorm { conv: Conv::new(&(vs / "conv"), from, to, size, stride)?, norm: Norm::new(&(vs / "norm"), to)? })
    }

    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.norm.forward_t(&self.conv.forward(x)?, train)
    }
}

/// Halves the resolution, then one residual block of two 3x3 convolutions through half the channels.
#[derive(Debug)]
struct Stage {
    down: ConvNorm,
    squeeze: ConvNorm,
    expand: ConvNorm,
}

impl Stage {
    fn new(vs: &nn::Path, from: i64, width: i64) -> Result<Self, TchError> {
        Ok(Stage {
            down: ConvNorm::new(&(vs / "down"), from, width, 3, 2)?,
            squeeze: ConvNorm::new(&(vs / "squeeze"), width, width / 2, 3, 1)?,
            expand: ConvNorm::new(&(vs / "expand"), width / 2, width, 3, 1)?,
        })
    }

    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let x = self.down.forward_t(x, train)?.f_relu()?;
        let inner = self.squeeze.forward_t(&x, train)?.f_relu()?;
        self.expand.forward_t(&inner, train)?.f_add(&x)?.f_relu()
    }
}

/// Pyramid pooling of the coarsest level (He et al. 2014, in the chained form of YOLOv5): max pools of 5, 9 and 13 cells
/// beside the cell itself let it see most of the picture, for the cost of two 1x1 convolutions.
#[derive(Debug)]
struct Context {
    squeeze: ConvNorm,
    expand: ConvNorm,
}

impl Context {
    fn new(vs: &nn::Path, width: i64) -> Result<Self, TchError> {
        Ok(Context {
            squeeze: ConvNorm::new(&(vs / "squeeze"), width, width / 2, 1, 1)?,
            expand: ConvNorm::new(&(vs / "expand"), width / 2 * 4, width, 1, 1)?,
        })
    }

    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let mut pooled = vec![self.squeeze.forward_t(x, train)?.f_relu()?];
        for step in 0..3 {
            pooled.push(pooled[step].f_max_pool2d([5, 5], [1, 1], [2, 2], [1, 1], false)?);
        }
        self.expand.forward_t(&Tensor::f_cat(&pooled, 1)?, train)?.f_relu()
    }
}

/// One 3x3 and one 1x1 convolution, the same for all levels; the norms are each level's own.
#[derive(Debug)]
struct Head {
    conv: Conv,
    norms: Vec<Norm>,
    weight: Tensor,
    bias: Tensor,
}

impl Head {
    fn new(vs: &nn::Path, config: &Config) -> Result<Self, TchError> {
        let outputs = 4 + config.classes;
        let norms = (0..STRIDES.len()).map(|level| Norm::new(&(vs / "norms" / level), config.neck));
        let norms = norms.collect::<Result<_, _>>()?;
        let normal = nn::Init::Randn { mean: 0.0, stdev: 0.01 };
        let weight = vs.f_var("weight", &[outputs, config.neck, 1, 1], normal)?;
        // A fresh network says: a box of four by four cells, and that an object is here with probability 0.01 (Lin et
        // al. 2017, focal loss), so that the many empty cells do not drown the first steps.
        let bias = vs.f_zeros("bias", &[outputs])?;
        tch::no_grad(|| -> Result<(), TchError> {
            let _ = bias.f_narrow(0, 0, 4)?.f_fill_(2f64.exp_m1().ln())?;
            let _ = bias.f_narrow(0, 4, config.classes)?.f_fill_(-(99f64.ln()))?;
            Ok(())
        })?;
        Ok(Head { conv: Conv::new(&(vs / "conv"), config.neck, config.neck, 3, 1)?, norms, weight, bias })
    }

    fn forward_t(&self, x: &Tensor, level: usize, train: bool) -> Result<Tensor, TchError> {
        let x = self.norms[level].forward_t(&self.conv.forward(x)?, train)?.f_relu()?;
        let weight = weight_for(&self.weight, &x)?;
        let bias = weight_for(&self.bias, &x)?;
        x.f_conv2d(&weight, Some(&bias), [1, 1], [0, 0], [1, 1], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_frame_costs_less_than_one_gmac() {
        let macs = Config::new(1).macs(640, 384);
        println!("person at 640x384: {:.1} MMAC", macs as f64 / 1e6);
        assert!(macs <= 1_000_000_000, "{macs}");
        assert!(macs > 900_000_000, "{macs}: the budget is there to be used");
    }

    #[test]
    fn the_list_of_convolutions_is_the_network() {
        let config = Config::new(3);
        let vs = nn::VarStore::new(Device::Cpu);
        DetectNet::new(&vs.root(), &config).unwrap();
        let built: i64 = vs.variables().values().filter(|v| v.dim() == 4).map(|v| v.numel() as i64).sum();
        // Each level runs the head, which the network holds once.
        let head = config.neck * config.neck * 9 + config.neck * (4 + config.classes);
        let listed: i64 = config.convolutions().iter().map(|c| c.from * c.to * c.size * c.size).sum();
        assert_eq!(built, listed - 2 * head);
    }

    #[test]
    fn maps_cover_odd_sizes_and_gradients_reach_every_weight() {
        let vs = nn::VarStore::new(Device::Cpu);
        let net = DetectNet::new(&vs.root(), &Config::new(2)).unwrap();
        let maps = net.forward_t(&Tensor::rand([2, 3, 100, 70], (Kind::Float, Device::Cpu)), true).unwrap();
        let sizes: Vec<_> = maps.iter().map(Tensor::size).collect();
        assert_eq!(sizes, [[2, 6, 13, 9], [2, 6, 7, 5], [2, 6, 4, 3]]);

        let loss = maps.iter().map(|m| m.square().sum(Kind::Float)).sum::<Tensor>();
        loss.backward();
        for (name, variable) in vs.variables() {
            if variable.requires_grad() {
                assert!(variable.grad().defined(), "{name} got no gradient");
            }
        }
    }

    #[test]
    fn widths_that_make_no_network_are_refused() {
        let vs = nn::VarStore::new(Device::Cpu);
        let config = Config { neck: 0, ..Config::new(1) };
        assert!(DetectNet::new(&vs.root(), &config).unwrap_err().to_string().contains("widths"));
    }
}
