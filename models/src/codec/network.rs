//! The networks of the codec: a residual autoencoder over cells of 8x8 luma samples, one stage for intra pictures and one for
//! inter pictures.
//!
//! A stage is a learned linear transform (it begins as a cosine transform), steps that depend on the quality and the
//! latent, and two small convolutional networks at 1/8 resolution: *analysis* moves the latents before they are rounded, in
//! sight of the neighbours; *synthesis* corrects what the linear inverse gives, in sight of everything decoded. A filter may
//! follow, see [`super::filter`]. The topology (all features at one scale, quality by gains) follows DCVC-RT (Jia et al., CVPR
//! 2025), the gains AG-VAE (Cui et al. 2020).
//!
//! Synthesis is exact: see [`super::exact`].

use gst_torch_runtime::planes::channels_last;
use serde::{Deserialize, Serialize};
use tch::nn::{Init, Path};
use tch::{Device, Kind, TchError, Tensor};

use super::analysis::Analysis;
use super::basis;
use super::exact::{ACTIVATION_MAX, Ends, ExactNetwork, bound};
use super::filter::Filter;
use super::symbols::CELL;

pub(super) const CELLS: i64 = CELL as i64;
/// Sets of gains, evenly spaced over the step indices.
pub const ANCHORS: i64 = 5;
/// Step indices are below this.
pub const STEPS: usize = 128;

/// Size of a step, in levels of 8 bits, before the gains: 0.5 to 122, doubling every 16 indices.
pub fn step_size(index: f64) -> f64 {
    0.5 * (index / 16.0).exp2()
}

/// Sizes of both stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Channels and residual blocks of synthesis.
    pub synthesis: [i64; 2],
    /// The same of analysis.
    pub analysis: [i64; 2],
    /// The same of the filters of intra and of inter pictures, if there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intra_filter: Option<[i64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_filter: Option<[i64; 2]>,
}

impl Config {
    /// `codec-s`: 4 kMAC a luma sample for analysis, 8 for synthesis. Key frames, which are few, are filtered.
    pub const SMALL: Config =
        Config { synthesis: [96, 3], analysis: [64, 3], intra_filter: Some([32, 3]), inter_filter: None };
    /// `codec-m`: all pictures are filtered, which costs another 15 kMAC.
    pub const MEDIUM: Config = Config { inter_filter: Some([32, 3]), ..Config::SMALL };

    pub fn checked(self) -> Result<Self, String> {
        let fits = |[channels, blocks]: [i64; 2]| (8..=512).contains(&channels) && (0..=32).contains(&blocks);
        let filters = [self.intra_filter, self.inter_filter].into_iter().flatten();
        if [self.synthesis, self.analysis].into_iter().chain(filters).all(fits) {
            return Ok(self);
        }
        Err(format!("[config] has {self:?}; expected 8 to 512 channels and 0 to 32 blocks of each network"))
    }

    /// Multiplications a luma sample of an intra or an inter picture: of analysis, of synthesis, and of the filter.
    pub fn macs(self, inter: bool) -> [f64; 3] {
        let of = |[c, blocks]: [i64; 2], inputs: i64| {
            (inputs * c + blocks * 2 * 9 * c * c + c * CELLS + CELLS * CELLS) as f64 / 64.0
        };
        let inputs = if inter { 2 } else { 1 } * CELLS + 1;
        let filter = self.filter(inter).map_or(0.0, |size| Filter::macs(inter, size));
        [of(self.analysis, inputs), of(self.synthesis, inputs + CELLS), filter]
    }

    fn filter(self, inter: bool) -> Option<[i64; 2]> {
        if inter { self.inter_filter } else { self.intra_filter }
    }
}

/// Cells of planes: Y `(N, 1, H, W)`, U and V `(N, 1, H/2, W/2)` become `(N, 96, H/8, W/8)`.
pub fn cells(planes: &[Tensor; 3]) -> Result<Tensor, TchError> {
    let [y, u, v] = planes;
    Tensor::f_cat(&[y.f_pixel_unshuffle(8)?, u.f_pixel_unshuffle(4)?, v.f_pixel_unshuffle(4)?], 1)
}

/// The inverse of [`cells`].
pub fn planes(cells: &Tensor) -> Result<[Tensor; 3], TchError> {
    let parts = cells.f_split_with_sizes([64, 16, 16], 1)?;
    Ok([parts[0].f_pixel_shuffle(8)?, parts[1].f_pixel_shuffle(4)?, parts[2].f_pixel_shuffle(4)?])
}

pub(super) fn parameter(path: &Path, name: &str, size: &[i64], init: Init) -> Result<Tensor, TchError> {
    path.f_var(name, size, init)
}

/// Step indices as exact networks see them, within what they can.
pub(super) fn index_input(index: &Tensor) -> Result<Tensor, TchError> {
    index.f_add_scalar(-64.0)?.f_mul_scalar(2.0)?.f_clamp(-ACTIVATION_MAX, ACTIVATION_MAX)
}

/// The networks of one kind of picture.
pub struct Stage {
    /// Whether there is a prediction.
    inter: bool,
    /// Latents of samples, and samples of latents (a row a latent), `(96, 96)`.
    forward: Tensor,
    inverse: Tensor,
    /// Binary logarithms that multiply the steps, `(ANCHORS, 96)`.
    gains: Tensor,
    analysis: Analysis,
    synthesis: ExactNetwork,
    filter: Option<Filter>,
}

impl Stage {
    pub fn new(path: &Path, config: Config, inter: bool) -> Result<Self, TchError> {
        let cosines = Tensor::f_from_slice(basis::cosines().as_flattened())?.f_view([CELLS, CELLS])?;
        let transform = |name| -> Result<Tensor, TchError> {
            let mut matrix = parameter(path, name, &[CELLS, CELLS], Init::Const(0.0))?;
            tch::no_grad(|| matrix.f_copy_(&cosines))?;
            Ok(matrix)
        };
        let inputs = if inter { 2 } else { 1 } * CELLS + 1;
        let ends = Ends { inputs: inputs + CELLS, outputs: CELLS, side: 1, deviation: 0.04, rectified: false };
        Ok(Stage {
            inter,
            forward: transform("forward")?,
            inverse: transform("inverse")?,
            gains: parameter(path, "gains", &[ANCHORS, CELLS], Init::Const(0.0))?,
            analysis: Analysis::new(&(path / "analysis"), inputs, config.analysis)?,
            synthesis: ExactNetwork::new(&(path / "synthesis"), ends, config.synthesis)?,
            filter: config.filter(inter).map(|size| Filter::new(&(path / "filter"), inter, size)).transpose()?,
        })
    }

    /// The same weights once more, for another thread.
    pub fn share(&self) -> Self {
        Stage {
            inter: self.inter,
            forward: self.forward.shallow_clone(),
            inverse: self.inverse.shallow_clone(),
            gains: self.gains.shallow_clone(),
            analysis: self.analysis.share(),
            synthesis: self.synthesis.share(),
            filter: self.filter.as_ref().map(Filter::share),
        }
    }

    /// Steps `(N, 96, h, w)` of step indices `(N, 1, h, w)`.
    pub fn steps(&self, index: &Tensor) -> Result<Tensor, TchError> {
        // Linear interpolation between the anchors, as a product with hat functions.
        let place = index.f_mul_scalar((ANCHORS - 1) as f64 / (STEPS - 1) as f64)?;
        let anchors = Tensor::f_arange(ANCHORS, (Kind::Float, index.device()))?.f_view([1, ANCHORS, 1, 1])?;
        let hats = place.f_sub(&anchors)?.f_abs()?.f_neg()?.f_add_scalar(1.0)?.f_clamp_min(0.0)?;
        let gains =
            hats.f_conv2d(&self.gains.f_t_copy()?.f_view([CELLS, ANCHORS, 1, 1])?, None::<Tensor>, 1, 0, 1, 1)?;
        gains.f_add(&index.f_mul_scalar(1.0 / 16.0)?)?.f_add_scalar(-1.0)?.f_exp2()
    }

    /// Latents in units of their steps, not rounded. `samples` and `prediction` are cells of samples less 128 (the
    /// prediction of intra pictures is zero), `index` the step indices; all fp32. The network runs in `kind`.
    pub fn analyse(
        &self,
        samples: &Tensor,
        prediction: &Tensor,
        index: &Tensor,
        steps: &Tensor,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        let linear = samples.f_sub(prediction)?.f_conv2d(
            &self.forward.f_view([CELLS, CELLS, 1, 1])?,
            None::<Tensor>,
            1,
            0,
            1,
            1,
        )?;
        let index = index.f_add_scalar(-64.0)?.f_mul_scalar(1.0 / 32.0)?;
        let scaled = samples.f_mul_scalar(1.0 / 64.0)?;
        let input = if self.inter {
            Tensor::f_cat(&[&scaled, &prediction.f_mul_scalar(1.0 / 64.0)?, &index], 1)?
        } else {
            Tensor::f_cat(&[&scaled, &index], 1)?
        };
        let change = self.analysis.forward(&channels_last(&input.f_to_kind(kind)?)?)?.f_to_kind(Kind::Float)?;
        linear.f_div(steps)?.f_add(&change)
    }

    /// Cells of samples less 128 that latents alone give, not rounded.
    pub fn linear(&self, levels: &Tensor, prediction: &Tensor, steps: &Tensor) -> Result<Tensor, TchError> {
        let matrix = self.inverse.f_t_copy()?.f_view([CELLS, CELLS, 1, 1])?;
        levels.f_mul(steps)?.f_conv2d(&matrix, None::<Tensor>, 1, 0, 1, 1)?.f_add(prediction)
    }

    /// The correction, in sixteenths of a level, of `linear`: whole samples less 128, as `prediction`, `levels` whole
    /// numbers too, `index` the step indices. `kind` is fp32 or bf16, which give the same.
    pub fn correct(
        &self,
        linear: &Tensor,
        prediction: &Tensor,
        levels: &Tensor,
        index: &Tensor,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        let samples = |x: &Tensor| bound(x, -ACTIVATION_MAX, ACTIVATION_MAX);
        // One latent should weigh as much as a visible difference of samples.
        let levels = samples(&levels.f_mul_scalar(32.0)?)?;
        let index = index_input(index)?;
        let input = if self.inter {
            Tensor::f_cat(&[&samples(linear)?, &samples(prediction)?, &levels, &index], 1)?
        } else {
            Tensor::f_cat(&[&samples(linear)?, &levels, &index], 1)?
        };
        self.synthesis.correct(&channels_last(&input.f_to_kind(kind)?)?)
    }

    /// What comes after [`Stage::correct`], if anything does.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Whether there is a prediction.
    pub fn inter(&self) -> bool {
        self.inter
    }

    /// The latents of rows of samples less their prediction, `(n, 96)`, before analysis moves them.
    pub fn transform(&self, rows: &Tensor) -> Result<Tensor, TchError> {
        rows.f_linear(&self.forward, None::<Tensor>)
    }

    /// What analysis adds to latents: a forward pass alone. The input is `(1, 193, h, w)`, of intra pictures `(1, 97, h, w)`:
    /// samples and prediction less 128 in units of 64, and the step index less 64 in units of 32.
    pub fn moves(&self, input: &Tensor) -> Result<Tensor, TchError> {
        self.analysis.forward(input)
    }

    /// What synthesis says, not within its bounds yet: a forward pass alone. The input is `(1, 289, h, w)`, of intra pictures
    /// `(1, 193, h, w)`: whole numbers, see [`Stage::correct`].
    pub fn correction(&self, input: &Tensor) -> Result<Tensor, TchError> {
        self.synthesis.forward(input)
    }

    /// The synthesis transform in units of 1/4096: for each latent its `CELL` samples.
    pub fn whole_inverse(&self) -> Result<Vec<i16>, TchError> {
        let matrix = tch::no_grad(|| self.inverse.f_mul_scalar(4096.0)?.f_round()?.f_clamp(-32767.0, 32767.0))?;
        Vec::<i16>::try_from(matrix.f_to_kind(Kind::Int16)?.f_contiguous()?.f_view([-1])?)
    }

    /// Steps in sixteenths of a level, `CELL` for each step index.
    pub fn whole_steps(&self) -> Result<Vec<i32>, TchError> {
        let index = Tensor::f_arange(STEPS as i64, (Kind::Float, self.gains.device()))?.f_view([-1, 1, 1, 1])?;
        let steps = tch::no_grad(|| self.steps(&index)?.f_mul_scalar(16.0)?.f_round()?.f_clamp(1.0, 32767.0))?;
        Vec::<i32>::try_from(steps.f_to_kind(Kind::Int)?.f_contiguous()?.f_view([-1])?)
    }

    /// Has the filter learn in any numbers, or in whole ones within bounds, which is what it computes in otherwise.
    pub fn soften_filter(&mut self, soft: bool) {
        self.filter.iter_mut().for_each(|filter| filter.network.soften(soft));
    }

    /// Readies the stage to run in `kind`, without gradients, from now on. Shares no state with the original but weights,
    /// which must not change any more.
    pub fn prepare(&mut self, kind: Kind) -> Result<(), TchError> {
        let _guard = tch::no_grad_guard();
        self.exact_mut().try_for_each(|network| network.prepare(kind))?;
        self.analysis.prepare(kind)
    }

    fn exact_mut(&mut self) -> impl Iterator<Item = &mut ExactNetwork> {
        self.filter.iter_mut().map(|filter| &mut filter.network).chain([&mut self.synthesis])
    }

    /// Moves the weights.
    pub fn place(&mut self, device: Device) -> Result<(), TchError> {
        for tensor in [&mut self.forward, &mut self.inverse, &mut self.gains] {
            *tensor = tensor.f_to_device(device)?;
        }
        self.analysis.place(device)?;
        self.exact_mut().try_for_each(|network| network.place(device))
    }

    pub fn device(&self) -> Device {
        self.gains.device()
    }

    /// Whether what a decoder runs is exact.
    pub fn check(&self) -> Result<(), String> {
        self.synthesis.check("synthesis")?;
        self.filter.as_ref().map_or(Ok(()), |filter| filter.network.check("filter"))
    }
}

/// Both stages.
pub struct Network {
    pub intra: Stage,
    pub inter: Stage,
}

impl Network {
    pub fn new(path: &Path, config: Config) -> Result<Self, TchError> {
        let stage = |name: &str, inter| Stage::new(&(path / name), config, inter);
        Ok(Network { intra: stage("intra", false)?, inter: stage("inter", true)? })
    }

    /// Moves the weights of both stages.
    pub fn place(&mut self, device: Device) -> Result<(), TchError> {
        self.intra.place(device)?;
        self.inter.place(device)
    }

    /// See [`Stage::share`].
    pub fn share(&self) -> Self {
        Network { intra: self.intra.share(), inter: self.inter.share() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::nn;

    fn random(size: &[i64], range: f64) -> Tensor {
        Tensor::rand(size, (Kind::Float, Device::Cpu))
            .f_mul_scalar(2.0 * range)
            .unwrap()
            .f_add_scalar(-range)
            .unwrap()
            .round()
    }

    #[test]
    fn cells_and_planes_are_inverse() {
        let planes_in = [random(&[2, 1, 32, 48], 100.0), random(&[2, 1, 16, 24], 9.0), random(&[2, 1, 16, 24], 9.0)];
        let made = cells(&planes_in).unwrap();
        assert_eq!(made.size(), [2, 96, 4, 6]);
        for (a, b) in planes(&made).unwrap().iter().zip(&planes_in) {
            assert_eq!(a, b);
        }
    }

    #[test]
    fn untrained_it_is_a_cosine_transform() {
        let store = nn::VarStore::new(Device::Cpu);
        let stage = Stage::new(&store.root(), Config::SMALL, false).unwrap();
        let samples = random(&[1, 96, 4, 6], 100.0);
        let nothing = samples.zeros_like();
        let index = Tensor::full([1, 1, 4, 6], 0.0, (Kind::Float, Device::Cpu));
        let _guard = tch::no_grad_guard();
        let steps = stage.steps(&index).unwrap();
        let levels = stage.analyse(&samples, &nothing, &index, &steps, Kind::Float).unwrap().round();
        let linear = stage.linear(&levels, &nothing, &steps).unwrap();
        assert!((linear - samples).abs().max().double_value(&[]) < 2.0);
        assert_eq!(steps.double_value(&[0, 5, 0, 0]), 0.5);
    }

    #[test]
    fn synthesis_is_the_same_in_both_precisions_with_any_threads_while_it_learns_and_frozen() {
        let store = nn::VarStore::new(Device::Cpu);
        let stage = Stage::new(&store.root(), Config::SMALL, true).unwrap();
        for (_, mut variable) in store.variables() {
            let _ = tch::no_grad(|| variable.f_normal_(0.0, 0.2)).unwrap();
        }
        stage.check().unwrap();
        let of = |range| random(&[1, 96, 23, 40], range);
        let (linear, prediction, levels) = (of(127.0), of(127.0), of(5.0));
        let index = Tensor::full([1, 1, 23, 40], 77.0, (Kind::Float, Device::Cpu));
        let correct = |stage: &Stage, kind| stage.correct(&linear, &prediction, &levels, &index, kind).unwrap();
        let learning = correct(&stage, Kind::Float);
        assert!(learning.requires_grad());
        let exact = learning.detach();
        assert!(exact.abs().max().double_value(&[]) > 100.0, "the test would prove nothing");

        let _guard = tch::no_grad_guard();
        let threads = tch::get_num_threads();
        for (kind, threads) in [Kind::Float, Kind::BFloat16].into_iter().flat_map(|kind| [(kind, 1), (kind, threads)]) {
            tch::set_num_threads(threads);
            assert_eq!(exact, correct(&stage, kind), "{kind:?}, {threads} threads");
            let mut frozen = stage.share();
            frozen.prepare(kind).unwrap();
            assert_eq!(exact, correct(&frozen, kind), "{kind:?}, {threads} threads, frozen");
        }
        tch::set_num_threads(threads);
    }
}
