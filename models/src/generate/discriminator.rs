//! What a [generator](super::gan) is trained against; none of it is part of a model.
//!
//! **By pixels**: residual blocks that halve, all weights with spectral normalisation, so that it can neither shout nor fall
//! silent. **By sight**: small heads on the maps of a detector of ours that does not learn (Projected GANs, Sauer et al.,
//! NeurIPS 2021). It knows already what edges and things look like, so that the generator hears what is wrong from the first
//! step on; with pixels alone it takes many times as many.
//!
//! **Losses**: hinge (Lim and Ye 2017), and the penalty on gradients at real pictures, R1 (Mescheder et al. 2018).

use tch::nn::{Init, Path};
use tch::{Kind, TchError, Tensor};

use super::coarsest;
use super::gan::Config;
use super::layers::SpectralConv;
use crate::metrics::features::Features;

/// Channels of a head.
const HEAD: i64 = 64;
/// Maps with sides of more than this are halved by their head.
const FINE: i64 = 8;

/// What tells pictures that were made from real ones.
pub struct Discriminator {
    pixels: Pixels,
    sight: Option<Features>,
    heads: Vec<Head>,
}

impl Discriminator {
    /// `sight` is what heads look through; without it there are none.
    ///
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn new(path: &Path, config: &Config, sight: Option<Features>) -> Result<Self, TchError> {
        let channels = sight.as_ref().map(Features::channels).unwrap_or_default();
        let head = |(index, channels): (usize, &i64)| Head::new(&(path / "heads" / index), *channels);
        Ok(Discriminator {
            pixels: Pixels::new(&(path / "pixels"), config)?,
            heads: channels.iter().enumerate().map(head).collect::<Result<_, _>>()?,
            sight,
        })
    }

    /// How real `pictures` look, in fp32: above 0 they are taken for real. First by pixels, `(N)`, then by each head, `(N, 1, h,
    /// w)`. `classes` are the weights of their classes, `(N, classes)`; computed in `kind`.
    ///
    /// # Errors
    /// When `pictures` are not of the size that the network was built for.
    pub fn forward(&self, pictures: &Tensor, classes: Option<&Tensor>, kind: Kind) -> Result<Vec<Tensor>, TchError> {
        let mut scores = vec![self.by_pixels(pictures, classes, kind)?];
        if let Some(sight) = &self.sight {
            for (head, map) in self.heads.iter().zip(sight.maps(pictures, kind)?) {
                scores.push(head.forward(&map)?.f_to_kind(Kind::Float)?);
            }
        }
        Ok(scores)
    }

    /// The first of them.
    ///
    /// # Errors
    /// As [`Discriminator::forward`].
    pub fn by_pixels(&self, pictures: &Tensor, classes: Option<&Tensor>, kind: Kind) -> Result<Tensor, TchError> {
        self.pixels.forward(pictures, classes, kind)
    }
}

/// Scores the places of a map.
struct Head([SpectralConv; 3]);

impl Head {
    fn new(path: &Path, channels: i64) -> Result<Self, TchError> {
        Ok(Head([
            SpectralConv::new(&(path / 0), channels, HEAD, 3)?,
            SpectralConv::new(&(path / 1), HEAD, HEAD, 3)?,
            SpectralConv::new(&(path / 2), HEAD, 1, 1)?,
        ]))
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor, TchError> {
        let (_, _, height, width) = map.size4()?;
        // Maps of a detector are of any strength.
        let strength =
            map.f_square()?.f_mean_dim(&[1i64, 2, 3][..], true, None::<Kind>)?.f_add_scalar(1e-4)?.f_sqrt()?;
        let mut x = leaky(&self.0[0].forward(&map.f_div(&strength)?)?)?;
        if height.min(width) > FINE {
            x = x.f_avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None::<i64>)?;
        }
        self.0[2].forward(&leaky(&self.0[1].forward(&x)?)?)
    }
}

/// Halves both sides: the mean of a residual branch and of a plain one.
struct Down {
    branch: [SpectralConv; 2],
    plain: SpectralConv,
}

impl Down {
    fn new(path: &Path, from: i64, to: i64) -> Result<Self, TchError> {
        Ok(Down {
            branch: [
                SpectralConv::new(&(path / 0), from, from, 3)?,
                SpectralConv::new(&(path / 1), from, to, 3)?.strided(2),
            ],
            plain: SpectralConv::new(&(path / "plain"), from, to, 1)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let branch = leaky(&self.branch[1].forward(&leaky(&self.branch[0].forward(x)?)?)?)?;
        let plain = self.plain.forward(&x.f_avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None::<i64>)?)?;
        branch.f_add(&plain)?.f_mul_scalar(0.5f64.sqrt())
    }
}

/// With the gain that keeps the variance.
fn leaky(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_maximum(&x.f_mul_scalar(0.2)?)?.f_mul_scalar(2f64.sqrt())
}

/// By its pixels: cells of 2x2 of them, blocks that halve, and the deviation over the batch as one more channel, so that sameness
/// shows (Karras et al. 2018). Classes by projection (Miyato and Koyama 2018).
struct Pixels {
    first: SpectralConv,
    downs: Vec<Down>,
    last: SpectralConv,
    out: SpectralConv,
    /// A row for each class.
    classes: Option<Tensor>,
}

impl Pixels {
    fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
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
        Ok(Pixels {
            first: SpectralConv::new(&(path / "first"), 4 * config.colours, width(levels - 1), 3)?,
            downs: (1..levels).rev().map(down).collect::<Result<_, _>>()?,
            last: SpectralConv::new(&(path / "last"), deepest + 1, deepest, 3)?,
            out: SpectralConv::new(&(path / "out"), deepest * grid[0] * grid[1], 1, 1)?,
            classes: classes.transpose()?,
        })
    }

    fn forward(&self, pictures: &Tensor, classes: Option<&Tensor>, kind: Kind) -> Result<Tensor, TchError> {
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
        let score = self.out.forward(&x.f_flatten(1, 3)?.f_unsqueeze(2)?.f_unsqueeze(3)?)?.f_flatten(0, -1)?;
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

/// Of the discriminator: real scores beyond 1 and made ones beyond -1 count no further. The mean over all that judge.
///
/// # Errors
/// When libtorch cannot compute it.
pub fn critic_loss(real: &[Tensor], made: &[Tensor]) -> Result<Tensor, TchError> {
    let short = |x: Tensor| x.f_add_scalar(1.0)?.f_relu()?.f_mean(Kind::Float);
    mean(real.iter().zip(made).map(|(real, made)| short(real.f_neg()?)?.f_add(&short(made.shallow_clone())?)))
}

/// Of the generator: what it makes should look real to all that judge.
///
/// # Errors
/// When libtorch cannot compute it.
pub fn generator_loss(made: &[Tensor]) -> Result<Tensor, TchError> {
    mean(made.iter().map(|made| made.f_neg()?.f_mean(Kind::Float)))
}

fn mean(values: impl Iterator<Item = Result<Tensor, TchError>>) -> Result<Tensor, TchError> {
    Tensor::f_stack(&values.collect::<Result<Vec<_>, _>>()?, 0)?.f_mean(Kind::Float)
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

    use super::super::gan::{Generator, with_classes};
    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn small() -> Config {
        Config { latent: 6, channels: 4, classes: 2, ..Config::new([32, 32]) }
    }

    #[test]
    fn the_losses_are_those_of_the_papers() {
        let scores = [Tensor::from_slice(&[2.0f32, 0.5, -1.0])];
        // Real: 0, 0.5 and 2 short of 1; made: 3, 1.5 and 0 above -1.
        assert!((critic_loss(&scores, &scores).unwrap().double_value(&[]) - (2.5 + 4.5) / 3.0).abs() < 1e-6);
        assert!((generator_loss(&scores).unwrap().double_value(&[]) + 0.5).abs() < 1e-6);
        // Judges count alike, however many scores each gives.
        let judges = [scores[0].shallow_clone(), Tensor::from_slice(&[-3.5f32])];
        assert!((generator_loss(&judges).unwrap().double_value(&[]) - 1.5).abs() < 1e-6);
        // Scores of slope w: |w|^2 a picture, a quarter of it for pictures of 0 to 1.
        let slope = Tensor::from_slice(&[3.0f32, 4.0]).view([1, 1, 1, 2]);
        let pictures = Tensor::rand([5, 1, 1, 2], CPU).set_requires_grad(true);
        let scores = (&pictures * slope).sum_dim_intlist(&[1i64, 2, 3][..], false, Kind::Float);
        assert!((gradient_penalty(&scores, &pictures).unwrap().double_value(&[]) - 25.0 / 4.0).abs() < 1e-5);
    }

    #[test]
    fn the_penalty_reaches_every_weight_it_depends_on() {
        let store = nn::VarStore::new(Device::Cpu);
        let critic = Discriminator::new(&store.root(), &small(), None).unwrap();
        let pictures = Tensor::rand([4, 3, 32, 32], CPU).set_requires_grad(true);
        let classes = Tensor::from_slice(&[0i64, 1, 1, 0]).one_hot(2).to_kind(Kind::Float);
        let scores = critic.by_pixels(&pictures, Some(&classes), Kind::Float).unwrap();
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
        let critic = Discriminator::new(&(store.root() / "d"), &small(), None).unwrap();
        let latents = Tensor::randn([2, 6, 1, 1], CPU);
        let class = |index: i64| Tensor::from_slice(&[index, index]).one_hot(2).to_kind(Kind::Float);
        let made = |index| generator.forward(&with_classes(&latents, &class(index)).unwrap(), false).unwrap();
        assert_eq!(made(0).size(), [2, 3, 32, 32]);
        let apart = |a: Tensor, b: Tensor| (a - b).abs().max().double_value(&[]);
        assert!(apart(made(0), made(1)) > 1e-4);
        let score = |index| critic.by_pixels(&made(0), Some(&class(index)), Kind::Float).unwrap();
        assert!(apart(score(0), score(1)) > 1e-4);
    }

    /// On two pictures, one of each class: the classes are kept apart, and shades are right, not average.
    #[test]
    fn it_learns_what_it_is_shown() {
        let config = Config { latent: 2, channels: 4, classes: 2, colours: 1, size: [16, 16] };
        let stores = [nn::VarStore::new(Device::Cpu), nn::VarStore::new(Device::Cpu)];
        let generator = Generator::new(&stores[0].root(), &config).unwrap();
        let critic = Discriminator::new(&stores[1].root(), &config, None).unwrap();
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

    #[test]
    fn a_detector_that_does_not_learn_judges_too() {
        let store = nn::VarStore::new(Device::Cpu);
        let config = Config { classes: 0, ..small() };
        let critic =
            Discriminator::new(&store.root(), &config, Some(Features::open("person", Device::Cpu).unwrap())).unwrap();
        let pictures = Tensor::rand([2, 3, 32, 32], CPU).set_requires_grad(true);
        let scores = critic.forward(&pictures, None, Kind::Float).unwrap();
        let sizes: Vec<_> = scores.iter().map(Tensor::size).collect();
        assert_eq!(sizes, [vec![2], vec![2, 1, 16, 16], vec![2, 1, 8, 8], vec![2, 1, 8, 8], vec![2, 1, 4, 4]]);
        generator_loss(&scores[1..]).unwrap().backward();
        assert!(pictures.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
        assert!(store.variables().keys().all(|name| name.starts_with("heads") || name.starts_with("pixels")));
    }
}
