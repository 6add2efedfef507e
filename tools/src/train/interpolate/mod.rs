//! `gst-torch train interpolate`: the network that fuses two pictures into one between them, from videos.

mod args;
mod card;
mod samples;

use std::collections::HashMap;
use std::f64::consts::LN_10;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::interpolate::network::{Config, Fusion};
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tch::{Device, Kind, Tensor, nn};

use super::adamw::AdamW;
use super::checkpoint::{self, Progress};
use super::codec::footage::{Cut, Footage};
use super::codec::schedule;
pub use args::Args;
use samples::Sample;

const MEMORY: usize = 12 << 30;
const CLIP: f64 = 1.0;
/// Squared error below which there is nothing to gain: a tenth of that of rounding to 8 bits.
const ROUNDED: f64 = 0.1 / 12.0 / 65536.0;
/// Triples of a validation shot that are scored.
const SCORED: usize = 3;

pub fn run(args: Args) -> Result<()> {
    ensure!(
        args.batch_size > 0 && args.steps > 0 && args.every > 0,
        "--batch-size, --steps and --every must be above 0"
    );
    ensure!(args.cut >= 32 && args.cut.is_multiple_of(16), "--cut is {}; expected a multiple of 16 from 32", args.cut);
    ensure!((0.0..=1.0).contains(&args.beyond), "--beyond is {}; expected 0 to 1", args.beyond);
    let config = Config { channels: args.channels, blocks: args.blocks }.checked().map_err(|e| anyhow!(e))?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    if args.threads > 0 {
        tch::set_num_threads(args.threads);
    }
    let data = Footage::read(&args.data, args.cut, MEMORY).context("--data")?;
    ensure!(data.shots().any(|shot| shot.len() >= samples::FRAMES), "--data has no video of three frames");
    let val = Footage::read(&args.val, args.cut, MEMORY).context("--val")?;
    let mut run = Run::new(&args, config, &data, &val)?;
    if args.resume {
        run.resume()?;
    }
    run.train()?;
    card::write(&args, config, &run.progress)
}

/// A network of a run: the one that learns, or its running average.
struct Net {
    store: nn::VarStore,
    network: Fusion,
}

impl Net {
    fn new(config: Config) -> Result<Self> {
        let store = nn::VarStore::new(Device::cuda_if_available());
        let network = Fusion::new(&store.root(), config)?;
        Ok(Net { store, network })
    }
}

struct Run<'a> {
    args: &'a Args,
    data: &'a Footage,
    val: &'a Footage,
    net: Net,
    average: Net,
    averages: HashMap<String, Tensor>,
    /// In order of names.
    variables: Vec<(String, Tensor)>,
    optimiser: AdamW,
    progress: Progress,
}

impl<'a> Run<'a> {
    fn new(args: &'a Args, config: Config, data: &'a Footage, val: &'a Footage) -> Result<Self> {
        tch::manual_seed(args.seed as i64);
        let mut net = Net::new(config)?;
        if let Some(path) = &args.from {
            net.store.load(path).with_context(|| format!("--from {}", path.display()))?;
        }
        let mut average = Net::new(config)?;
        average.store.copy(&net.store)?;
        average.store.freeze();
        let mut variables: Vec<_> = net.store.variables().into_iter().collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        let weights: usize = variables.iter().map(|(_, v)| v.numel()).sum();
        println!("{:.2} M weights learn; {:.1} kMAC a luma sample", weights as f64 / 1e6, config.macs() / 1e3);
        let setting = format!(
            "{config:?}, batch {}, cut {}, beyond {}, precision {:?}, rate {}, seed {}",
            args.batch_size, args.cut, args.beyond, args.precision, args.rate, args.seed
        );
        Ok(Run {
            args,
            data,
            val,
            averages: average.store.variables(),
            average,
            net,
            optimiser: AdamW::new(&variables, 0.0)?,
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

    fn resume(&mut self) -> Result<()> {
        let saved = checkpoint::resume(&self.args.out, &self.state(), &self.progress.setting)?;
        self.optimiser.set_steps(saved.optimiser_steps);
        self.progress = saved;
        Ok(())
    }

    fn done(&self) -> f64 {
        match self.args.time_limit {
            Some(minutes) => (self.progress.seconds / (minutes * 60.0)).min(1.0),
            None => (self.progress.step as f64 / self.args.steps as f64).min(1.0),
        }
    }

    fn train(&mut self) -> Result<()> {
        while self.done() < 1.0 {
            let loss = self.round()?;
            self.progress.epoch += 1;
            let score = self.score()?;
            println!("step {:6}  loss {loss:.3} dB{score}  {:.1} min", self.progress.step, self.progress.seconds / 60.0);
            self.progress.optimiser_steps = self.optimiser.steps();
            checkpoint::save(&self.args.out, &self.progress, &self.state())?;
            let weights = self.args.out.join(format!("{}.safetensors", self.args.name));
            self.average.store.save(&weights).with_context(|| weights.display().to_string())?;
        }
        Ok(())
    }

    /// The steps between two checkpoints; their mean loss.
    fn round(&mut self) -> Result<f64> {
        let bar = ProgressBar::new(self.args.every);
        bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}")?);
        let (mut loss, mut steps) = (0.0, 0.0);
        while steps < self.args.every as f64 && self.done() < 1.0 {
            let began = Instant::now();
            loss += self.step(self.args.rate * schedule(self.done()))?;
            steps += 1.0;
            self.progress.step += 1;
            self.progress.seconds += began.elapsed().as_secs_f64();
            bar.set_message(format!("loss {:.3} dB", loss / steps));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(loss / steps)
    }

    fn step(&mut self, rate: f64) -> Result<f64> {
        // Steps and seeds decide what is drawn, so that a resumed run goes on as it would have.
        let seed = self.args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.progress.step;
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut inputs, mut wanted) = (Vec::new(), Vec::new());
        for _ in 0..self.args.batch_size {
            let kind = self.args.precision.kind();
            let sample = Sample::random(&mut rng, self.data, self.args.cut, self.args.beyond, kind)?;
            inputs.push(sample.input);
            wanted.push(sample.wanted);
        }
        let device = self.net.store.device();
        let made = self.net.network.forward(&Tensor::f_cat(&inputs, 0)?.f_to_device(device)?)?;
        let error = made.f_sub(&Tensor::f_cat(&wanted, 0)?.f_to_device(device)?)?;
        // The logarithm is what PSNR has: a still scene counts as much as a lively one (as NAFNet, Chen et al. 2022).
        let squares = error.f_square()?.f_mean_dim(&[1i64, 2, 3][..], false, Kind::Float)?;
        let loss = squares.f_add_scalar(ROUNDED)?.f_log()?.f_mean(Kind::Float)?.f_mul_scalar(10.0 / LN_10)?;
        loss.f_backward()?;
        self.optimiser.step(rate, CLIP)?;
        self.follow()?;
        let loss: f64 = loss.f_detach()?.try_into()?;
        ensure!(loss.is_finite(), "the loss is no number: try a lower --rate");
        Ok(loss)
    }

    /// Moves the average towards the weights, quickly at first.
    fn follow(&mut self) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let step = self.progress.step as f64;
        let keep = ((1.0 + step) / (10.0 + step)).min(0.999);
        for (name, variable) in &self.variables {
            let _ = self.averages[name].shallow_clone().f_lerp_(variable, 1.0 - keep)?;
        }
        Ok(())
    }

    /// PSNR of luma midway and beyond on the middle of the validation shots: of the averaged weights, of the mean of the
    /// moved pictures, of the mean of both as they are.
    fn score(&mut self) -> Result<String> {
        let _guard = tch::no_grad_guard();
        let (mut line, mut total) = (String::new(), 0.0);
        for (word, [before, after, wanted]) in [("between", [0, 2, 1]), ("beyond", [0, 1, 2])] {
            let (mut sums, mut count) = ([0.0; 3], 0.0);
            for shot in self.val.shots() {
                let cut = Cut::middle(&shot[0], self.args.cut);
                for frames in shot.chunks_exact(samples::FRAMES).take(SCORED) {
                    let time = wanted as f32 / after as f32;
                    let kind = self.args.precision.kind();
                    let [before, after, wanted] = [before, after, wanted].map(|index| cut.of(&frames[index]));
                    let sample = Sample::new(before, after, &wanted, time, kind)?;
                    let input = sample.input.f_to_device(self.average.store.device())?;
                    let made = self.average.network.forward(&input)?.f_to_device(Device::Cpu)?;
                    for (sum, picture) in sums.iter_mut().zip([&made, &sample.moved, &sample.blend]) {
                        *sum += luma_psnr(picture, &sample.wanted)?;
                    }
                    count += 1.0;
                }
            }
            if count > 0.0 {
                let [made, moved, blend] = sums.map(|sum| sum / count);
                line += &format!("  {word} {made:.2} dB (moved {moved:.2}, blend {blend:.2})");
                total += made / 2.0;
            }
        }
        self.progress.score = (total > 0.0).then_some(total);
        Ok(line)
    }
}

fn luma_psnr(made: &Tensor, wanted: &Tensor) -> Result<f64> {
    let luma = |cells: &Tensor| cells.f_narrow(1, 0, 16);
    let error = luma(&made.f_clamp(0.0, 255.0 / 256.0)?)?.f_sub(&luma(wanted)?)?.f_square()?.f_mean(Kind::Double)?;
    let error: f64 = error.try_into()?;
    Ok(10.0 * ((255.0f64 / 256.0).powi(2) / error.max(1e-10)).log10())
}
