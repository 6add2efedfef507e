//! `gst-torch train detect`: the built-in detector, from boxes on pictures and videos.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use gst_torch_models::data::augment::Recipe;
use gst_torch_models::detect::loss::loss;
use gst_torch_models::detect::network::{Config, DetectNet};
use gst_torch_models::metrics::ap::Report;
use indicatif::{ProgressBar, ProgressStyle};
use tch::{Device, Tensor, nn};

use super::adamw::AdamW;
pub use super::args::Args;
use super::batches::{Batch, Batches, Request};
use super::card::{self, Trained};
use super::checkpoint::{self, Progress};
use super::dataset::Dataset;
use super::learner::follow;
use super::score::{as_input, calibrate, score};

/// Pictures in memory at most: frames are kept as they were decoded, so that every epoch cuts them anew.
const MEMORY: usize = 5 << 30;
const CLIP: f64 = 10.0;
/// Share of the run in which the learning rate rises.
const WARM_UP: f64 = 0.03;
/// Share of the run, at its end, without mosaics.
const PLAIN_END: f64 = 0.15;

pub fn run(args: Args) -> Result<()> {
    ensure!(args.batch_size > 0 && args.epochs > 0, "--batch-size and --epochs must be above 0");
    let recipe = match &args.recipe {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            toml::from_str(&text).with_context(|| path.display().to_string())?
        }
        None => Recipe::default(),
    };
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let device = args.machine.ready()?;
    let data = Dataset::read(&args.data, &args.labels, MEMORY).context("--data")?;
    let val = Dataset::read(&args.val, &args.labels, MEMORY).context("--val")?;
    let mut run = Run::new(&args, recipe, data, device)?;
    if args.resume {
        run.resume()?;
    }
    run.train(&val)
}

/// A training run: the network, its running average, and where it has got to.
struct Run<'a> {
    args: &'a Args,
    config: Config,
    recipe: Recipe,
    batches: Batches,
    steps_per_epoch: u64,
    network: DetectNet,
    variables: Vec<(String, Tensor)>,
    /// The average of the weights over the last thousand steps or so: what is scored and shipped.
    average: DetectNet,
    average_store: nn::VarStore,
    averages: HashMap<String, Tensor>,
    optimiser: AdamW,
    progress: Progress,
}

impl<'a> Run<'a> {
    fn new(args: &'a Args, recipe: Recipe, data: Dataset, device: Device) -> Result<Self> {
        tch::manual_seed(args.seed as i64);
        let config = Config::new(args.labels.len() as i64);
        let store = nn::VarStore::new(device);
        let network = DetectNet::new(&store.root(), &config)?;
        let mut average_store = nn::VarStore::new(device);
        let average = DetectNet::new(&average_store.root(), &config)?;
        average_store.copy(&store)?;
        average_store.freeze();
        // In order of names, so that sums over all of them are the same in every run.
        let mut variables: Vec<_> = store.variables().into_iter().collect();
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        let weights: usize = variables.iter().map(|(_, v)| v.numel()).sum();
        println!(
            "{:.2} M weights, {:.3} GMAC at {}x{}",
            weights as f64 / 1e6,
            config.macs(args.size.0 as i64, args.size.1 as i64) as f64 / 1e9,
            args.size.0,
            args.size.1
        );
        let epoch_size = args.epoch_size.unwrap_or(data.samples.len() as u64);
        let setting = format!(
            "labels {:?}, size {:?}, cut {:?}, batch {}, precision {:?}, rate {}, decay {}, seed {}, epoch of {epoch_size}",
            args.labels, args.size, args.cut, args.batch_size, args.precision, args.rate, args.weight_decay, args.seed
        );
        Ok(Run {
            args,
            batches: Batches::start(
                Arc::new(data),
                recipe.clone(),
                [args.size, args.cut.unwrap_or(args.size)],
                args.batch_size,
            )?,
            recipe,
            config,
            steps_per_epoch: epoch_size.div_ceil(args.batch_size as u64).max(1),
            optimiser: AdamW::new(&variables, args.weight_decay)?,
            network,
            variables,
            average,
            averages: average_store.variables(),
            average_store,
            progress: Progress { epoch: 0, step: 0, optimiser_steps: 0, seconds: 0.0, score: None, setting },
        })
    }

    /// Everything that changes while training, by name.
    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.optimiser.state();
        for (name, variable) in &self.variables {
            state.push((format!("network.{name}"), variable.shallow_clone()));
            state.push((format!("average.{name}"), self.averages[name].shallow_clone()));
        }
        state
    }

    fn resume(&mut self) -> Result<()> {
        let saved = checkpoint::resume(&self.args.out, &self.state(), &self.progress.setting)?;
        self.optimiser.set_steps(saved.optimiser_steps);
        self.progress = saved;
        Ok(())
    }

    /// How much of the run lies behind at a step, 0 to 1.
    fn done(&self, step: u64) -> f64 {
        match self.args.time_limit {
            Some(minutes) => (self.progress.seconds / (minutes * 60.0)).min(1.0),
            None => (step as f64 / (self.args.epochs * self.steps_per_epoch) as f64).min(1.0),
        }
    }

    fn train(&mut self, val: &Dataset) -> Result<()> {
        let mut report = None;
        let last_epoch = self.args.stop_after.map_or(u64::MAX, |epochs| self.progress.epoch + epochs);
        while self.done(self.progress.step) < 1.0 && self.progress.epoch < last_epoch {
            let losses = self.epoch()?;
            self.progress.epoch += 1;
            let last = self.done(self.progress.step) >= 1.0;
            let mut line = format!("epoch {:4}  {losses}", self.progress.epoch);
            if !val.samples.is_empty() && (last || self.progress.epoch.is_multiple_of(self.args.val_every)) {
                let scored = self.score(val)?;
                self.progress.score = Some(scored.mean());
                line += &format!("  AP50 {:.4}", scored.mean());
                report = Some(scored);
            }
            println!("{line}  {:.1} min", self.progress.seconds / 60.0);
            self.progress.optimiser_steps = self.optimiser.steps();
            checkpoint::save(&self.args.out, &self.progress, &self.state())?;
        }
        if report.is_none() && !val.samples.is_empty() {
            report = Some(self.score(val)?);
        }
        // After the checkpoint: what is resumed is the network as it was trained.
        calibrate(&mut self.average, val, self.args.size, self.args.precision.kind(), self.args.labels.len())?;
        self.write(report)
    }

    fn score(&self, val: &Dataset) -> Result<Report> {
        score(&self.average, val, self.args.size, self.args.precision.kind(), self.args.labels.len())
    }

    fn epoch(&mut self) -> Result<String> {
        let bar = ProgressBar::new(self.steps_per_epoch);
        bar.set_style(ProgressStyle::with_template("epoch {prefix} {wide_bar} {pos}/{len} {msg} {eta}")?);
        bar.set_prefix((self.progress.epoch + 1).to_string());
        let (mut classes, mut boxes) = (0.0, 0.0);
        let mut rate = 0.0;
        for _ in 0..self.steps_per_epoch {
            let began = Instant::now();
            let step = self.progress.step;
            rate = self.args.rate * schedule(self.done(step));
            let request = |step| {
                let mosaics = self.done(step) < 1.0 - PLAIN_END;
                Request { seed: self.args.seed, step, mosaics }
            };
            let requests = self.batches.wanted(step).map(request).collect();
            let batch = self.batches.next(requests)?;
            let (class, location) = self.step(&batch, rate)?;
            classes += class;
            boxes += location;
            self.progress.step += 1;
            self.progress.seconds += began.elapsed().as_secs_f64();
            bar.set_message(format!("class {class:.3} box {location:.3}"));
            bar.inc(1);
        }
        bar.finish_and_clear();
        let steps = self.steps_per_epoch as f64;
        Ok(format!("class {:.4}  box {:.4}  rate {rate:.2e}", classes / steps, boxes / steps))
    }

    fn step(&mut self, batch: &Batch, rate: f64) -> Result<(f64, f64)> {
        let size @ (width, height) = self.args.cut.unwrap_or(self.args.size);
        let input = as_input(&batch.pixels, batch.truths.len(), size, self.args.precision.kind())?;
        let maps = self.network.forward_t(&input.f_to_device(self.network.device())?, true)?;
        let loss = loss(&maps, (width as u32, height as u32), &batch.truths)?;
        loss.total.f_backward()?;
        self.optimiser.step(rate, CLIP)?;
        if !(loss.classes.is_finite() && loss.boxes.is_finite()) {
            bail!("the loss is no number at step {}: try a lower --rate", self.progress.step);
        }
        follow(&self.variables, &self.averages, self.progress.step)?;
        Ok((loss.classes, loss.boxes))
    }

    fn write(&self, report: Option<Report>) -> Result<()> {
        card::write(&Trained {
            folder: &self.args.out,
            name: &self.args.name,
            labels: &self.args.labels,
            size: self.args.size,
            config: &self.config,
            weights: &self.average_store,
            recipe: &self.recipe,
            data: &self.args.data,
            val: &self.args.val,
            seed: self.args.seed,
            epochs: self.progress.epoch,
            pictures: self.progress.step * self.args.batch_size as u64,
            minutes: self.progress.seconds / 60.0,
            report: report.as_ref(),
        })
    }
}

/// Linear warm-up, then half a cosine down to a hundredth.
fn schedule(done: f64) -> f64 {
    if done < WARM_UP {
        return (done / WARM_UP).max(0.01);
    }
    let rest = (done - WARM_UP) / (1.0 - WARM_UP);
    0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * rest).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        assert_eq!(schedule(0.0), 0.01);
        assert!((schedule(WARM_UP) - 1.0).abs() < 1e-9);
        assert!((schedule(1.0) - 0.01).abs() < 1e-9);
        assert!((schedule((1.0 + WARM_UP) / 2.0) - 0.505).abs() < 1e-9);
    }

    /// Eight small pictures, each with a bright square.
    fn pictures(folder: &std::path::Path) {
        for index in 0..8u32 {
            let (x, y) = (4 + index * 6, 10 + index * 3);
            let picture = image::RgbImage::from_fn(96, 64, |px, py| {
                let inside = (x..x + 24).contains(&px) && (y..y + 24).contains(&py);
                image::Rgb(if inside { [250, 200, 90] } else { [20, 40, (py * 2) as u8] })
            });
            picture.save(folder.join(format!("{index}.png"))).unwrap();
            let centre = |v: u32, side: f64| f64::from(v + 12) / side;
            let label = format!("0 {} {} 0.25 0.375\n", centre(x, 96.0), centre(y, 64.0));
            std::fs::write(folder.join(format!("{index}.txt")), label).unwrap();
        }
    }

    fn run_with(data: &std::path::Path, out: &std::path::Path, extra: &str) {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: Args,
        }
        let line = format!(
            "train --data {0} --val {0} --labels square --out {1} --size 96x64 --batch-size 4 --threads 1 --seed 5 {extra}",
            data.display(),
            out.display()
        );
        run(<Cli as clap::Parser>::parse_from(line.split(' ')).args).unwrap();
    }

    #[test]
    fn a_resumed_run_ends_in_the_same_weights() {
        let _turn = super::super::GENERATOR.lock();
        let folder = tempfile::tempdir().unwrap();
        let [data, whole, parts] = ["data", "whole", "parts"].map(|name| folder.path().join(name));
        std::fs::create_dir(&data).unwrap();
        pictures(&data);
        run_with(&data, &whole, "--epochs 3");
        let read = |out: &std::path::Path| std::fs::read(out.join("checkpoint.safetensors")).unwrap();
        let finished = read(&whole);

        // The same run, cut after its first epoch: its checkpoint is all that the second half gets.
        run_with(&data, &parts, "--epochs 3 --stop-after 1");
        assert_ne!(read(&parts), finished);
        run_with(&data, &parts, "--epochs 3 --resume");
        assert!(read(&parts) == finished, "resuming changed the run");
        assert!(parts.join("detector.toml").exists() && parts.join("detector.safetensors").exists());
    }
}
