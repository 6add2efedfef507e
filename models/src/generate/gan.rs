//! A generative adversarial network for little data and little time, after FastGAN (Liu et al., ICLR 2021).
//!
//! **Generator**: a latent spread over a small grid, then doublings: repeat, 3x3 convolution, batch norm, gated linear unit.
//! Coarse maps gate fine ones, channel by channel (skip-layer excitation): gradients reach the latent in a few steps, which is
//! what makes it learn quickly. Frozen, the norms vanish, and dense 3x3 convolutions are left.
//!
//! **Discriminator** (training only): cells of 2x2 pixels, residual blocks that halve, the deviation over the batch as one
//! more channel so that sameness shows (Karras et al. 2018), classes by projection (Miyato and Koyama 2018).
//!
//! **Losses**: hinge (Lim and Ye 2017) and the penalty on gradients at real pictures, R1 (Mescheder et al. 2018).

use serde::{Deserialize, Serialize};
use tch::nn::{Init, Path};
use tch::{Kind, TchError, Tensor};

use super::layers::{BatchNorm, Conv, Linear, as_picture, doubled, in_kind_of};
use super::{check, check_picture, coarsest, three};

/// Widths of the network; the `[config]` table of a model card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Width and height of the pictures.
    pub size: [i64; 2],
    /// Numbers that a picture is made of.
    pub latent: i64,
    /// 0 is without classes.
    #[serde(default)]
    pub classes: i64,
    /// Channels at full size; each halving doubles them, up to ten times as many.
    pub channels: i64,
    /// 3 is RGB, 1 is grey.
    #[serde(default = "three")]
    pub colours: i64,
}

/// Widest maps, in channels at full size.
const WIDEST: i64 = 10;
/// A map gates the one so many doublings finer.
const SKIP: usize = 3;

impl Config {
    pub fn new(size: [i64; 2]) -> Self {
        Config { size, latent: 128, classes: 0, channels: 16, colours: 3 }
    }

    pub fn checked(self) -> Result<Self, String> {
        check_picture(self.size, self.colours)?;
        check("latent", self.latent, 1..=1024)?;
        check("classes", self.classes, 0..=1000)?;
        check("channels", self.channels, 4..=256)?;
        let (grid, doublings) = coarsest(self.size);
        if doublings < 2 || grid.iter().any(|side| *side > 16) {
            let [width, height] = self.size;
            return Err(format!(
                "[config] size is {width}x{height}; expected 3 to 16 doubled twice or more, both ways"
            ));
        }
        Ok(self)
    }

    /// Channels after `level` of `levels` doublings.
    fn width(&self, level: usize, levels: usize) -> i64 {
        (self.channels << (levels - level)).min(self.channels * WIDEST)
    }

    /// Multiplications of one picture, convolutions only.
    pub fn macs(&self) -> i64 {
        let (grid, levels) = coarsest(self.size);
        let levels = levels as usize;
        let cells = |level: usize| (grid[0] * grid[1]) << (2 * level);
        let up = |level: usize| 9 * self.width(level - 1, levels) * 2 * self.width(level, levels) * cells(level);
        (1..=levels).map(up).sum::<i64>() + 9 * self.channels * self.colours * cells(levels)
    }
}

/// The latents `(N, latent, 1, 1)` with the weights of their classes, `(N, classes)`, as the generator takes them.
///
/// # Errors
/// When they are not of as many pictures.
pub fn with_classes(latents: &Tensor, weights: &Tensor) -> Result<Tensor, TchError> {
    let weights = in_kind_of(weights, latents)?.f_unsqueeze(2)?.f_unsqueeze(3)?;
    Tensor::f_cat(&[latents, &weights], 1)
}

/// One doubling.
struct Up {
    conv: Conv,
    norm: BatchNorm,
}

impl Up {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        self.norm.forward(&self.conv.forward(&doubled(x)?)?, train)?.f_glu(1)
    }
}

/// How much of each channel of a fine map is let through, by a coarse one.
struct Gate([Conv; 2]);

impl Gate {
    /// Grids that a coarse map is averaged over.
    const SIDE: i64 = 4;

    fn new(path: &Path, coarse: i64, fine: i64) -> Result<Self, TchError> {
        let cells = coarse * Self::SIDE * Self::SIDE;
        Ok(Gate([Conv::new(&(path / 0), cells, fine, 1, 1.0)?, Conv::new(&(path / 1), fine, fine, 1, 0.5)?]))
    }

    fn forward(&self, coarse: &Tensor, fine: &Tensor) -> Result<Tensor, TchError> {
        let pooled = coarse.f_adaptive_avg_pool2d([Self::SIDE; 2])?.f_flatten(1, 3)?.f_unsqueeze(2)?.f_unsqueeze(3)?;
        let gate = self.0[1].forward(&self.0[0].forward(&pooled)?.f_silu()?)?.f_sigmoid()?;
        fine.f_mul(&gate)
    }
}

/// The generator with its weights, which live in the `VarStore` it was built in.
pub struct Generator {
    grid: [i64; 2],
    first: Conv,
    norm: BatchNorm,
    ups: Vec<Up>,
    /// Gate `i` is from map `i` to map `i + SKIP`.
    gates: Vec<Gate>,
    last: Conv,
}

impl Generator {
    /// Builds the network under `path` with fresh weights.
    ///
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let (grid, levels) = coarsest(config.size);
        let levels = levels as usize;
        let width = |level| config.width(level, levels);
        let spread = 2 * width(0) * grid[0] * grid[1];
        let up = |level: usize| -> Result<Up, TchError> {
            let path = path / "ups" / (level - 1);
            Ok(Up {
                conv: Conv::new(&(&path / "conv"), width(level - 1), 2 * width(level), 3, 1.0)?,
                norm: BatchNorm::new(&(&path / "norm"), 2 * width(level))?,
            })
        };
        let gate = |from: usize| Gate::new(&(path / "gates" / from), width(from), width(from + SKIP));
        Ok(Generator {
            grid,
            first: Conv::new(&(path / "first"), config.latent + config.classes, spread, 1, 1.0)?,
            norm: BatchNorm::new(&(path / "norm"), 2 * width(0))?,
            ups: (1..=levels).map(up).collect::<Result<_, _>>()?,
            gates: (0..(levels + 1).saturating_sub(SKIP)).map(gate).collect::<Result<_, _>>()?,
            last: Conv::new(&(path / "last"), config.channels, config.colours, 3, 0.5)?,
        })
    }

    /// Pictures of latents, see [`super`]. `train` normalises by the batch and learns its statistics.
    ///
    /// # Errors
    /// When `x` is not `(N, latent + classes, 1, 1)`.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor, TchError> {
        let [width, height] = self.grid;
        let spread =
            self.first.forward(x)?.f_view([-1, self.first.weight.size()[0] / (width * height), height, width])?;
        let mut maps = vec![self.norm.forward(&spread, train)?.f_glu(1)?];
        for (level, up) in self.ups.iter().enumerate() {
            let mut map = up.forward(&maps[level], train)?;
            if let Some(from) = (level + 1).checked_sub(SKIP) {
                map = self.gates[from].forward(&maps[from], &map)?;
            }
            maps.push(map);
        }
        as_picture(&self.last.forward(&maps[self.ups.len()])?)
    }
}

/// Halves both sides: the mean of a residual branch and of a plain one.
struct Down {
    branch: [Conv; 2],
    plain: Conv,
}

impl Down {
    fn new(path: &Path, from: i64, to: i64) -> Result<Self, TchError> {
        Ok(Down {
            branch: [Conv::new(&(path / 0), from, from, 3, 1.0)?, Conv::new(&(path / 1), from, to, 3, 1.0)?.strided(2)],
            plain: Conv::new(&(path / "plain"), from, to, 1, 0.7)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let branch = leaky(&self.branch[1].forward(&leaky(&self.branch[0].forward(x)?)?)?)?;
        let plain = self.plain.forward(&x.f_avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None::<i64>)?)?;
        branch.f_add(&plain)?.f_mul_scalar(0.5f64.sqrt())
    }
}

fn leaky(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_maximum(&x.f_mul_scalar(0.2)?)
}

/// What tells pictures that were made from real ones.
pub struct Discriminator {
    first: Conv,
    downs: Vec<Down>,
    last: Conv,
    out: Linear,
    /// A row for each class.
    classes: Option<Tensor>,
}

impl Discriminator {
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let (grid, levels) = coarsest(config.size);
        let levels = levels as usize;
        // As wide as the generator at each size, but for the finest: cells take it in as channels.
        let width = |level| config.width(level, levels).min(8 * config.channels);
        let down = |level: usize| Down::new(&(path / "downs" / (level - 1)), width(level), width(level - 1));
        let deepest = width(0);
        let classes = (config.classes > 0).then(|| {
            path.f_var(
                "classes",
                &[config.classes, deepest],
                Init::Randn { mean: 0.0, stdev: 1.0 / (deepest as f64).sqrt() },
            )
        });
        Ok(Discriminator {
            first: Conv::new(&(path / "first"), 4 * config.colours, width(levels - 1), 3, 1.0)?,
            downs: (1..levels).rev().map(down).collect::<Result<_, _>>()?,
            last: Conv::new(&(path / "last"), deepest + 1, deepest, 3, 1.0)?,
            out: Linear::new(&(path / "out"), deepest * grid[0] * grid[1], 1, 1.0)?,
            classes: classes.transpose()?,
        })
    }

    /// How real `pictures` look, `(N)` in fp32: above 0 they are taken for real. `classes` are the weights of their
    /// classes, `(N, classes)`; computed in `kind`.
    ///
    /// # Errors
    /// When `pictures` are not of the size that the network was built for.
    pub fn forward(&self, pictures: &Tensor, classes: Option<&Tensor>, kind: Kind) -> Result<Tensor, TchError> {
        let centred = pictures.f_mul_scalar(2.0)?.f_add_scalar(-1.0)?.f_to_kind(kind)?;
        let mut x = leaky(&self.first.forward(&centred.f_pixel_unshuffle(2)?)?)?;
        for down in &self.downs {
            x = down.forward(&x)?;
        }
        let (batch, _, height, width) = x.size4()?;
        let wide = x.f_to_kind(Kind::Float)?;
        let variance = wide.f_var_dim(&[0i64][..], false, false)?;
        let apart = variance.f_add_scalar(1e-8)?.f_sqrt()?.f_mean(Kind::Float)?.f_to_kind(kind)?;
        let apart = apart.f_view([1, 1, 1, 1])?.f_expand([batch, 1, height, width], false)?;
        let x = leaky(&self.last.forward(&Tensor::f_cat(&[&x, &apart], 1)?)?)?.f_to_kind(Kind::Float)?;
        let score = self.out.forward(&x.f_flatten(1, 3)?)?.f_squeeze_dim(1)?;
        match (&self.classes, classes) {
            (Some(rows), Some(weights)) => {
                let pooled = x.f_mean_dim(&[2i64, 3][..], false, Kind::Float)?;
                let of_class = weights.f_matmul(rows)?.f_mul(&pooled)?;
                score.f_add(&of_class.f_sum_dim_intlist(&[1i64][..], false, Kind::Float)?)
            }
            _ => Ok(score),
        }
    }
}

/// Of the discriminator: real scores beyond 1 and made ones beyond -1 count no further.
///
/// # Errors
/// When libtorch cannot compute it.
pub fn critic_loss(real: &Tensor, made: &Tensor) -> Result<Tensor, TchError> {
    let short = |x: Tensor| x.f_add_scalar(1.0)?.f_relu()?.f_mean(Kind::Float);
    short(real.f_neg()?)?.f_add(&short(made.shallow_clone())?)
}

/// Of the generator: what it makes should look real.
///
/// # Errors
/// When libtorch cannot compute it.
pub fn generator_loss(made: &Tensor) -> Result<Tensor, TchError> {
    made.f_neg()?.f_mean(Kind::Float)
}

/// R1: the mean square of the gradient of `scores` by `pictures`, which they were computed from; for pictures of -1 to 1.
///
/// # Errors
/// When `scores` do not depend on `pictures`.
pub fn gradient_penalty(scores: &Tensor, pictures: &Tensor) -> Result<Tensor, TchError> {
    let gradients = Tensor::f_run_backward(&[scores.f_sum(Kind::Float)?], &[pictures], true, true)?;
    // Pictures are 0 to 1: half the slope.
    let squares = gradients[0].f_mul_scalar(0.5)?.f_square()?.f_sum(Kind::Float)?;
    squares.f_div_scalar(pictures.size()[0].max(1) as f64)
}

#[cfg(test)]
mod tests {
    use tch::nn::OptimizerConfig;
    use tch::{Device, nn};

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn small() -> Config {
        Config { latent: 6, channels: 4, classes: 2, ..Config::new([32, 32]) }
    }

    #[test]
    fn the_losses_are_those_of_the_papers() {
        let scores = Tensor::from_slice(&[2.0f32, 0.5, -1.0]);
        // Real: 0, 0.5 and 2 short of 1; made: 3, 1.5 and 0 above -1.
        assert!((critic_loss(&scores, &scores).unwrap().double_value(&[]) - (2.5 + 4.5) / 3.0).abs() < 1e-6);
        assert!((generator_loss(&scores).unwrap().double_value(&[]) + 0.5).abs() < 1e-6);
        // Scores of slope w: |w|^2 a picture, a quarter of it for pictures of 0 to 1.
        let slope = Tensor::from_slice(&[3.0f32, 4.0]).view([1, 1, 1, 2]);
        let pictures = Tensor::rand([5, 1, 1, 2], CPU).set_requires_grad(true);
        let scores = (&pictures * slope).sum_dim_intlist(&[1i64, 2, 3][..], false, Kind::Float);
        assert!((gradient_penalty(&scores, &pictures).unwrap().double_value(&[]) - 25.0 / 4.0).abs() < 1e-5);
    }

    #[test]
    fn the_penalty_reaches_every_weight_it_depends_on() {
        let store = nn::VarStore::new(Device::Cpu);
        let critic = Discriminator::new(&store.root(), &small()).unwrap();
        let pictures = Tensor::rand([4, 3, 32, 32], CPU).set_requires_grad(true);
        let classes = Tensor::from_slice(&[0i64, 1, 1, 0]).one_hot(2).to_kind(Kind::Float);
        let scores = critic.forward(&pictures, Some(&classes), Kind::Float).unwrap();
        assert_eq!(scores.size(), [4]);
        gradient_penalty(&scores, &pictures).unwrap().backward();
        for (name, variable) in store.variables().into_iter().filter(|(name, _)| name.ends_with("weight")) {
            assert!(variable.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0, "{name}");
        }
    }

    #[test]
    fn classes_change_what_is_made_and_what_is_thought_of_it() {
        let store = nn::VarStore::new(Device::Cpu);
        let generator = Generator::new(&(store.root() / "g"), &small()).unwrap();
        let critic = Discriminator::new(&(store.root() / "d"), &small()).unwrap();
        let latents = Tensor::randn([2, 6, 1, 1], CPU);
        let class = |index: i64| Tensor::from_slice(&[index, index]).one_hot(2).to_kind(Kind::Float);
        let made = |index| generator.forward(&with_classes(&latents, &class(index)).unwrap(), false).unwrap();
        assert_eq!(made(0).size(), [2, 3, 32, 32]);
        let apart = |a: Tensor, b: Tensor| (a - b).abs().max().double_value(&[]);
        assert!(apart(made(0), made(1)) > 1e-4);
        let score = |index| critic.forward(&made(0), Some(&class(index)), Kind::Float).unwrap();
        assert!(apart(score(0), score(1)) > 1e-4);
    }

    /// On two pictures, one of each class: the classes are kept apart, and shades are right, not average.
    #[test]
    fn it_learns_what_it_is_shown() {
        let config = Config { latent: 2, channels: 4, classes: 2, colours: 1, size: [16, 16] };
        let stores = [nn::VarStore::new(Device::Cpu), nn::VarStore::new(Device::Cpu)];
        let generator = Generator::new(&stores[0].root(), &config).unwrap();
        let critic = Discriminator::new(&stores[1].root(), &config).unwrap();
        let adam = nn::Adam { beta1: 0.5, ..Default::default() };
        let mut steps = stores.each_ref().map(|store| adam.build(store, 2e-3).unwrap());
        let classes = Tensor::from_slice(&[0i64, 1].repeat(4)).one_hot(2).to_kind(Kind::Float);
        let shades = Tensor::from_slice(&[0.2f32, 0.8].repeat(4)).view([8, 1, 1, 1]);
        let real = shades.expand([8, 1, 16, 16], false);
        for _ in 0..150 {
            let latents = with_classes(&Tensor::randn([8, 2, 1, 1], CPU), &classes).unwrap();
            let made = generator.forward(&latents, true).unwrap();
            let score = |x: &Tensor| critic.forward(x, Some(&classes), Kind::Float).unwrap();
            steps[1].backward_step(&critic_loss(&score(&real), &score(&made.detach())).unwrap());
            steps[0].backward_step(&generator_loss(&score(&made)).unwrap());
        }
        let latents = with_classes(&Tensor::randn([8, 2, 1, 1], CPU), &classes).unwrap();
        let made = tch::no_grad(|| generator.forward(&latents, true).unwrap());
        let means: Vec<f32> = Vec::try_from(made.mean_dim(&[1i64, 2, 3][..], false, Kind::Float)).unwrap();
        for pair in means.chunks(2) {
            assert!(pair[0] < 0.45 && pair[1] > 0.55, "{means:?}");
        }
    }
}
