//! Two networks against each other. Every step, the discriminator learns to tell real pictures from made ones, then the
//! generator to make what it takes for real; both see all pictures through random changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::generate::augment::Augmentation;
use gst_torch_models::generate::discriminator::{self, Discriminator};
use gst_torch_models::generate::gan::{self, Config, Generator};
use gst_torch_models::metrics::features::Features;
use gst_torch_models::restore::degrade::normal;
use indicatif::{ProgressBar, ProgressStyle};
use rand::Rng;
use tch::{Device, Kind, Tensor, nn};

use super::super::adamw::AdamW;
use super::super::checkpoint::{self, Progress};
use super::super::learner::{Plan, dice, follow};
use super::pictures::Pictures;
use super::{Args, card, plan, read, sheet, sight};

/// The mean of gradients keeps half of itself: both networks chase a moving target (Radford et al. 2016).
const MOMENTUM: f64 = 0.5;
/// How much faster the discriminator learns, so that the generator does not outrun it (Heusel et al. 2017).
const LEAD: f64 = 2.0;
/// The gradient penalty is computed, with as much more weight, every so many steps (Karras et al. 2020).
const LAZY: u64 = 16;
/// Pictures of a sample sheet, and in a row of it; below them a row of real ones.
const SAMPLES: usize = 56;
const COLUMNS: usize = 8;

pub fn run(args: &Args, device: Device) -> Result<()> {
    let mut config = Config::new(args.size());
    config.colours = args.colours();
    config.classes = args.labels.len() as i64;
    config.latent = args.latent.unwrap_or(config.latent);
    config.channels = args.channels.unwrap_or(config.channels);
    let config = config.checked().map_err(|e| anyhow!(e))?;
    let [data, _] = read(args, config.size, device)?;
    let plan = plan(args, &format!("{config:?} seen by {}", args.features), args.rate.unwrap_or(2e-4), device);
    let mut rivals = Rivals::new(&config, plan, sight(args, device)?)?;
    println!("{:.0} MMAC a picture", config.macs() as f64 / 1e6);
    if args.resume {
        rivals.resume(&args.out)?;
    }
    while rivals.done() < 1.0 {
        let losses = rivals.round(args, &data)?;
        println!("step {:6}  {losses}  {:.1} min", rivals.progress.step, rivals.progress.seconds / 60.0);
        rivals.save(&args.out, &args.name())?;
        let path = args.out.join("samples").join(format!("{:06}.png", rivals.progress.step));
        sheet::write(&path, &rivals.samples(&data)?, COLUMNS)?;
    }
    let weights = rivals.save(&args.out, &args.name())?;
    card::write(args, &gst_torch_models::generate::Config::Gan(config), &weights, &rivals.progress, toml::Table::new())
}

/// `(count, latent, 1, 1)` of the standard normal distribution.
pub fn latents(rng: &mut impl Rng, count: usize, latent: i64) -> Result<Tensor> {
    let numbers: Vec<f32> = (0..count * latent as usize).map(|_| normal(rng) as f32).collect();
    Ok(Tensor::f_from_slice(&numbers)?.f_view([-1, latent, 1, 1])?)
}

/// Means over the steps of a round.
#[derive(Debug, Default, Clone, Copy)]
struct Losses {
    critic: f64,
    generator: f64,
    /// What the discriminator says of real and of made pictures.
    real: f64,
    made: f64,
    penalty: f64,
    steps: f64,
}

impl std::fmt::Display for Losses {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let n = self.steps.max(1.0);
        let Losses { critic, generator, real, made, penalty, .. } = self;
        let penalty = penalty / (n / LAZY as f64).max(1.0);
        write!(
            f,
            "D {:.3}  G {:.3}  real {:.2}  made {:.2}  R1 {penalty:.3}",
            critic / n,
            generator / n,
            real / n,
            made / n
        )
    }
}

/// Both networks, the average of the generator, and all that a run needs to go on.
struct Rivals {
    config: Config,
    plan: Plan,
    generator: Generator,
    critic: Discriminator,
    /// With averaged weights and statistics: what is looked at and saved.
    average: Generator,
    average_store: nn::VarStore,
    averages: HashMap<String, Tensor>,
    generator_variables: Vec<(String, Tensor)>,
    critic_variables: Vec<(String, Tensor)>,
    generator_optimiser: AdamW,
    critic_optimiser: AdamW,
    progress: Progress,
}

impl Rivals {
    fn new(config: &Config, plan: Plan, sight: Option<Features>) -> Result<Self> {
        let store = nn::VarStore::new(plan.device);
        let critic_store = nn::VarStore::new(plan.device);
        let mut average_store = nn::VarStore::new(plan.device);
        let generator = Generator::new(&store.root(), config)?;
        let critic = Discriminator::new(&critic_store.root(), config, sight)?;
        let average = Generator::new(&average_store.root(), config)?;
        average_store.copy(&store)?;
        average_store.freeze();
        let [generator_variables, critic_variables] = [&store, &critic_store].map(|store| {
            let mut variables: Vec<_> = store.variables().into_iter().collect();
            variables.sort_by(|a, b| a.0.cmp(&b.0));
            variables
        });
        let count =
            |variables: &[(String, Tensor)]| variables.iter().map(|(_, v)| v.numel()).sum::<usize>() as f64 / 1e6;
        println!("{:.2} M weights generate, {:.2} M criticise", count(&generator_variables), count(&critic_variables));
        let setting = plan.setting.clone();
        Ok(Rivals {
            config: config.clone(),
            plan,
            generator,
            critic,
            average,
            averages: average_store.variables(),
            average_store,
            generator_optimiser: AdamW::new(&generator_variables, 0.0)?.with_momentum(MOMENTUM),
            critic_optimiser: AdamW::new(&critic_variables, 0.0)?.with_momentum(MOMENTUM),
            generator_variables,
            critic_variables,
            progress: Progress { epoch: 0, step: 0, optimiser_steps: 0, seconds: 0.0, score: None, setting },
        })
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = Vec::new();
        let named = |who: &str, tensors: Vec<(String, Tensor)>| {
            tensors.into_iter().map(|(name, tensor)| (format!("{who}.{name}"), tensor)).collect::<Vec<_>>()
        };
        let clones =
            |variables: &[(String, Tensor)]| variables.iter().map(|(n, v)| (n.clone(), v.shallow_clone())).collect();
        state.extend(named("generator", clones(&self.generator_variables)));
        state.extend(named("generator", self.generator_optimiser.state()));
        state.extend(named("critic", clones(&self.critic_variables)));
        state.extend(named("critic", self.critic_optimiser.state()));
        let averages =
            self.generator_variables.iter().map(|(name, _)| (name.clone(), self.averages[name].shallow_clone()));
        state.extend(named("average", averages.collect()));
        state
    }

    fn resume(&mut self, folder: &Path) -> Result<()> {
        let saved = checkpoint::resume(folder, &self.state(), &self.plan.setting)?;
        self.generator_optimiser.set_steps(saved.optimiser_steps);
        self.critic_optimiser.set_steps(saved.optimiser_steps);
        self.progress = saved;
        Ok(())
    }

    /// Writes a checkpoint, and the averaged generator as `NAME.safetensors`, whose path is returned.
    fn save(&mut self, folder: &Path, name: &str) -> Result<PathBuf> {
        self.progress.optimiser_steps = self.generator_optimiser.steps();
        checkpoint::save(folder, &self.progress, &self.state())?;
        let path = folder.join(format!("{name}.safetensors"));
        self.average_store.save(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    fn done(&self) -> f64 {
        self.plan.done(self.progress.step, self.progress.seconds)
    }

    /// The steps between two checkpoints, fewer at the end.
    fn round(&mut self, args: &Args, data: &Pictures) -> Result<Losses> {
        let bar = ProgressBar::new(self.plan.every);
        bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}")?);
        let mut losses = Losses::default();
        let before = self.progress.seconds;
        while !self.plan.is_due(losses.steps as u64, self.progress.seconds - before) && self.done() < 1.0 {
            let began = Instant::now();
            self.step(args, data, &mut losses)?;
            losses.steps += 1.0;
            self.progress.step += 1;
            self.progress.seconds += began.elapsed().as_secs_f64();
            bar.set_message(losses.to_string());
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.progress.epoch += 1;
        Ok(losses)
    }

    fn step(&mut self, args: &Args, data: &Pictures, losses: &mut Losses) -> Result<()> {
        let mut rng = dice(args.seed, self.progress.step);
        let kind = args.precision.kind();
        let count = args.batch_size;
        let (real, classes) = data.batch(&mut rng, count, args.flip)?;
        let classes = self.one_hot(&classes)?;
        let latents = self.input(&latents(&mut rng, count, self.config.latent)?, classes.as_ref())?.f_to_kind(kind)?;

        // What is made serves both: the discriminator sees it as it is, the generator learns from it afterwards.
        let made = self.generator.forward(&latents, true)?;
        let changes = Augmentation::random(&mut rng, count, args.augment);
        let scores = self.critic.forward(&changes.apply(&real)?, classes.as_ref(), kind)?;
        let changes = Augmentation::random(&mut rng, count, args.augment);
        let made_scores = self.critic.forward(&changes.apply(&made.f_detach()?)?, classes.as_ref(), kind)?;
        let mut loss = discriminator::critic_loss(&scores, &made_scores)?;
        losses.critic += number(&loss)?;
        losses.real -= number(&discriminator::generator_loss(&scores)?)?;
        losses.made -= number(&discriminator::generator_loss(&made_scores)?)?;
        if self.progress.step.is_multiple_of(LAZY) && args.r1 > 0.0 {
            let real = real.f_detach()?.set_requires_grad(true);
            let changed = Augmentation::random(&mut rng, count, args.augment).apply(&real)?;
            let scores = self.critic.by_pixels(&changed, classes.as_ref(), Kind::Float)?;
            let penalty = discriminator::gradient_penalty(&scores, &real)?;
            losses.penalty += number(&penalty)?;
            loss = loss.f_add(&penalty.f_mul_scalar(0.5 * args.r1 * LAZY as f64)?)?;
        }
        loss.f_backward()?;
        self.critic_optimiser.step(self.plan.rate * LEAD, f64::INFINITY)?;

        for (_, variable) in &self.critic_variables {
            let _ = variable.set_requires_grad(false);
        }
        let changes = Augmentation::random(&mut rng, count, args.augment);
        let loss =
            discriminator::generator_loss(&self.critic.forward(&changes.apply(&made)?, classes.as_ref(), kind)?)?;
        losses.generator += number(&loss)?;
        loss.f_backward()?;
        for (_, variable) in &self.critic_variables {
            let _ = variable.set_requires_grad(true);
        }
        self.generator_optimiser.step(self.plan.rate, f64::INFINITY)?;
        follow(&self.generator_variables, &self.averages, self.progress.step)
    }

    fn one_hot(&self, classes: &[i64]) -> Result<Option<Tensor>> {
        if self.config.classes == 0 {
            return Ok(None);
        }
        let classes = Tensor::f_from_slice(classes)?.f_to_device(self.plan.device)?;
        Ok(Some(classes.f_one_hot(self.config.classes)?.f_to_kind(Kind::Float)?))
    }

    /// Of the generator: latents, and classes where there are some.
    fn input(&self, latents: &Tensor, classes: Option<&Tensor>) -> Result<Tensor> {
        let latents = latents.f_to_device(self.plan.device)?;
        Ok(match classes {
            Some(classes) => gan::with_classes(&latents, classes)?,
            None => latents,
        })
    }

    /// The same latents each time, a column a class where there are classes; then real pictures.
    fn samples(&self, data: &Pictures) -> Result<Tensor> {
        let mut rng = dice(0, 0);
        let latents = latents(&mut rng, SAMPLES, self.config.latent)?;
        let classes: Vec<i64> = (0..SAMPLES as i64).map(|i| i % self.config.classes.max(1)).collect();
        let input = self.input(&latents, self.one_hot(&classes)?.as_ref())?;
        let _guard = tch::no_grad_guard();
        let made = self.average.forward(&input, false)?;
        Ok(Tensor::f_cat(&[made, data.middles(COLUMNS)?], 0)?)
    }
}

fn number(value: &Tensor) -> Result<f64> {
    let value = f64::try_from(value.f_detach()?)?;
    ensure!(value.is_finite(), "a loss is no number: try a lower --rate or --precision fp32");
    Ok(value)
}
