//! A network that learns, its running average, and all that a run needs to be resumed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tch::{Device, Tensor, nn};

use super::adamw::AdamW;
use super::checkpoint::{self, Progress};

/// Longest step, as the norm of the gradients, where nothing is known.
pub const CLIP: f64 = 1.0;
/// Part of a run in which the learning rate rises.
const WARM_UP: f64 = 0.02;

/// Where to learn, how long, and how fast.
#[derive(Debug, Clone)]
pub struct Plan {
    pub device: Device,
    pub steps: u64,
    /// Minutes; whatever `steps` says.
    pub time_limit: Option<f64>,
    /// Learning rate at its highest.
    pub rate: f64,
    /// By how much of the rate each step makes convolutions smaller.
    pub decay: f64,
    /// Longest step, as the norm of the gradients.
    pub clip: f64,
    /// Steps between two checkpoints.
    pub every: u64,
    /// Minutes between them at most.
    pub minutes: Option<f64>,
    /// What decides the result beside data and time, in words; a checkpoint of another setting is not resumed.
    pub setting: String,
}

impl Plan {
    /// How much of a run is over after so many steps and seconds, 0 to 1.
    pub fn done(&self, step: u64, seconds: f64) -> f64 {
        match self.time_limit {
            Some(minutes) => (seconds / (minutes * 60.0)).min(1.0),
            None => (step as f64 / self.steps as f64).min(1.0),
        }
    }

    /// Whether a checkpoint is due so many steps and seconds after the last.
    pub fn is_due(&self, steps: u64, seconds: f64) -> bool {
        steps >= self.every || steps > 0 && self.minutes.is_some_and(|minutes| seconds >= minutes * 60.0)
    }
}

/// Where in a run a step is.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    plan: &'a Plan,
    /// Its number, which with the seed decides what is drawn.
    pub step: u64,
    seconds: f64,
}

impl Turn<'_> {
    /// How much of the run is over, 0 to 1.
    pub fn done(&self) -> f64 {
        self.done_at(self.step)
    }

    /// The same when a later step comes, as far as that is known.
    pub fn done_at(&self, step: u64) -> f64 {
        self.plan.done(step, self.seconds)
    }
}

/// The random numbers of a step: a run that is resumed goes on as it would have.
pub fn dice(seed: u64, step: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step)
}

pub struct Learner<N> {
    pub net: N,
    /// The same network with averaged weights: what is scored and saved.
    pub average: N,
    plan: Plan,
    /// What `average` is made of.
    pub weights: nn::VarStore,
    /// In order of names. Those that want no gradient change by what the network does with them, or not at all.
    variables: Vec<(String, Tensor)>,
    averages: HashMap<String, Tensor>,
    optimiser: AdamW,
    pub progress: Progress,
}

impl<N> Learner<N> {
    /// `build` makes the network in a store, and fills it with the weights to begin with; what is not to learn wants no gradient.
    pub fn new(plan: Plan, build: impl Fn(&mut nn::VarStore) -> Result<N>) -> Result<Self> {
        let mut store = nn::VarStore::new(plan.device);
        let net = build(&mut store)?;
        let mut weights = nn::VarStore::new(plan.device);
        let average = build(&mut weights)?;
        weights.copy(&store)?;
        weights.freeze();
        let mut variables: Vec<_> = store.variables().into_iter().collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        let count: usize = variables.iter().filter(|(_, v)| v.requires_grad()).map(|(_, v)| v.numel()).sum();
        println!("{:.3} M weights learn", count as f64 / 1e6);
        let setting = plan.setting.clone();
        Ok(Learner {
            net,
            average,
            averages: weights.variables(),
            weights,
            optimiser: AdamW::new(&variables, plan.decay)?,
            plan,
            variables,
            progress: Progress { epoch: 0, step: 0, optimiser_steps: 0, seconds: 0.0, score: None, setting },
        })
    }

    /// Everything that changes while training, by name.
    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.optimiser.state();
        for (name, variable) in &self.variables {
            state.push((format!("average.{name}"), self.averages[name].shallow_clone()));
            state.push((format!("network.{name}"), variable.shallow_clone()));
        }
        state
    }

    /// Goes on from the checkpoint in `folder`.
    pub fn resume(&mut self, folder: &Path) -> Result<()> {
        let saved = checkpoint::resume(folder, &self.state(), &self.plan.setting)?;
        self.optimiser.set_steps(saved.optimiser_steps);
        self.progress = saved;
        Ok(())
    }

    /// Writes a checkpoint, and the averaged weights as `NAME.safetensors`, whose path is returned.
    pub fn save(&mut self, folder: &Path, name: &str) -> Result<PathBuf> {
        self.progress.optimiser_steps = self.optimiser.steps();
        checkpoint::save(folder, &self.progress, &self.state())?;
        let path = folder.join(format!("{name}.safetensors"));
        self.weights.save(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// How much of the run is over, 0 to 1.
    pub fn done(&self) -> f64 {
        self.plan.done(self.progress.step, self.progress.seconds)
    }

    /// The steps between two checkpoints, fewer at the end. Returns the mean of the losses.
    pub fn round(&mut self, mut loss: impl FnMut(&mut N, Turn) -> Result<Tensor>) -> Result<f64> {
        let bar = ProgressBar::new(self.plan.every);
        bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}")?);
        let (mut sum, mut steps, before) = (0.0, 0, self.progress.seconds);
        while !self.plan.is_due(steps, self.progress.seconds - before) && self.done() < 1.0 {
            let began = Instant::now();
            let Progress { step, seconds, .. } = self.progress;
            let loss = loss(&mut self.net, Turn { plan: &self.plan, step, seconds })?;
            let value = f64::try_from(loss.f_detach()?)?;
            ensure!(value.is_finite(), "the loss is no number: try a lower --rate");
            loss.f_backward()?;
            self.optimiser.step(self.plan.rate * schedule(self.done()), self.plan.clip)?;
            follow(&self.variables, &self.averages, self.progress.step)?;
            sum += value;
            steps += 1;
            self.progress.step += 1;
            self.progress.seconds += began.elapsed().as_secs_f64();
            bar.set_message(format!("loss {:.4}", sum / steps as f64));
            bar.inc(1);
        }
        bar.finish_and_clear();
        self.progress.epoch += 1;
        Ok(sum / steps.max(1) as f64)
    }
}

/// Moves averages towards the variables, quickly at first.
pub fn follow(variables: &[(String, Tensor)], averages: &HashMap<String, Tensor>, step: u64) -> Result<()> {
    let _guard = tch::no_grad_guard();
    let keep = ((1.0 + step as f64) / (10.0 + step as f64)).min(0.999);
    for (name, variable) in variables {
        let mut average = averages[name].shallow_clone();
        let _ = average.f_lerp_(variable, 1.0 - keep)?;
    }
    Ok(())
}

/// Linear warm-up, then half a cosine down to a hundredth.
fn schedule(done: f64) -> f64 {
    if done < WARM_UP {
        return (done / WARM_UP).max(0.02);
    }
    let rest = (done - WARM_UP) / (1.0 - WARM_UP);
    0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * rest).cos())
}

#[cfg(test)]
mod tests {
    use tch::{Kind, nn::Init};

    use super::*;

    fn learner(every: u64) -> Learner<Tensor> {
        let plan = Plan {
            device: Device::Cpu,
            steps: 60,
            time_limit: None,
            rate: 0.1,
            decay: 0.0,
            clip: CLIP,
            every,
            minutes: None,
            setting: "test".into(),
        };
        Learner::new(plan, |store| Ok(store.root().f_var("w", &[2], Init::Const(0.0))?)).unwrap()
    }

    fn distance(net: &mut Tensor, turn: Turn) -> Result<Tensor> {
        let target = Tensor::from_slice(&[1f32, -1.0]) * (1.0 + 0.1 * (turn.step % 2) as f64);
        Ok((&*net - target).square().sum(Kind::Float))
    }

    #[test]
    fn the_rate_rises_and_falls() {
        assert_eq!(schedule(0.0), 0.02);
        assert!((schedule(WARM_UP) - 1.0).abs() < 1e-9);
        assert!((schedule(1.0) - 0.01).abs() < 1e-9);
        assert!((schedule((1.0 + WARM_UP) / 2.0) - 0.505).abs() < 1e-9);
    }

    #[test]
    fn what_wants_no_gradient_stays() {
        let _turn = super::super::GENERATOR.lock();
        let build = |store: &mut nn::VarStore| {
            let [learns, stays] = ["learns", "stays"].map(|name| store.root().f_var(name, &[2], Init::Const(0.5)));
            let stays = stays?.set_requires_grad(false);
            Ok([learns?, stays])
        };
        let mut learner = Learner::new(learner(60).plan, build).unwrap();
        learner.round(|[learns, stays], turn| distance(&mut (&*learns + &*stays - 0.5), turn)).unwrap();
        let weights = learner.weights.variables();
        assert!((weights["learns"].double_value(&[0]) - 1.05).abs() < 0.1);
        assert_eq!(Vec::<f32>::try_from(&weights["stays"]).unwrap(), [0.5, 0.5]);
        let state: Vec<_> = learner.state().into_iter().map(|(name, _)| name).collect();
        assert!(
            state.contains(&"network.stays".to_string()) && !state.contains(&"mean.stays".to_string()),
            "{state:?}"
        );
    }

    #[test]
    fn a_checkpoint_is_due_after_so_many_steps_or_minutes() {
        let plan = Plan { minutes: Some(5.0), ..learner(40).plan };
        assert!(!plan.is_due(39, 299.0) && plan.is_due(40, 0.0) && plan.is_due(1, 300.0));
        assert!(!plan.is_due(0, 900.0), "without a step there is nothing new");
        assert!(!Plan { minutes: None, ..plan }.is_due(39, 1e9));
    }

    #[test]
    fn a_resumed_run_ends_where_a_run_in_one_go_ends() {
        let _turn = super::super::GENERATOR.lock();
        let mut whole = learner(60);
        whole.round(distance).unwrap();
        assert_eq!(whole.done(), 1.0);
        assert!((whole.net.double_value(&[0]) - 1.05).abs() < 0.1);

        let folder = tempfile::tempdir().unwrap();
        let mut first = learner(25);
        first.round(distance).unwrap();
        first.save(folder.path(), "w").unwrap();
        let mut second = learner(60);
        second.resume(folder.path()).unwrap();
        second.round(distance).unwrap();
        assert_eq!(second.progress.step, 60);
        for (a, b) in [(&second.net, &whole.net), (&second.average, &whole.average)] {
            assert_eq!(Vec::<f32>::try_from(a).unwrap(), Vec::<f32>::try_from(b).unwrap());
        }
    }
}
