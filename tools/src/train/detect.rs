//! `gst-torch train detect`: the built-in detector, from boxes on pictures and videos.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use gst_torch_models::data::augment::Recipe;
use gst_torch_models::detect::loss::loss;
use gst_torch_models::detect::network::{Config, DetectNet};
use gst_torch_models::metrics::ap::Report;
use tch::Device;

pub use super::args::Args;
use super::batches::{Batches, Request};
use super::card::{self, Trained};
use super::dataset::Dataset;
use super::learner::{Learner, Plan};
use super::score::{as_input, calibrate, score};

/// Pictures in memory at most: frames are kept as they were decoded, so that every epoch cuts them anew.
const MEMORY: usize = 5 << 30;
const CLIP: f64 = 10.0;
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
        run.learner.resume(&args.out)?;
    }
    run.train(&val)
}

/// A training run: the network, and what it learns from.
struct Run<'a> {
    args: &'a Args,
    config: Config,
    recipe: Recipe,
    batches: Batches,
    learner: Learner<DetectNet>,
}

impl<'a> Run<'a> {
    fn new(args: &'a Args, recipe: Recipe, data: Dataset, device: Device) -> Result<Self> {
        tch::manual_seed(args.seed as i64);
        let config = Config::new(args.labels.len() as i64);
        let epoch_size = args.epoch_size.unwrap_or(data.samples.len() as u64);
        let every = epoch_size.div_ceil(args.batch_size as u64).max(1);
        let plan = Plan {
            device,
            steps: args.epochs * every,
            time_limit: args.time_limit,
            rate: args.rate,
            decay: args.weight_decay,
            clip: CLIP,
            every,
            minutes: None,
            setting: format!(
                "labels {:?}, size {:?}, cut {:?}, batch {}, precision {:?}, rate {}, decay {}, seed {}, epoch of {epoch_size}",
                args.labels,
                args.size,
                args.cut,
                args.batch_size,
                args.precision,
                args.rate,
                args.weight_decay,
                args.seed
            ),
        };
        let learner = Learner::new(plan, |store| Ok(DetectNet::new(&store.root(), &config)?))?;
        let (width, height) = args.size;
        println!("{:.3} GMAC at {width}x{height}", config.macs(width as i64, height as i64) as f64 / 1e9);
        let sizes = [args.size, args.cut.unwrap_or(args.size)];
        let batches = Batches::start(Arc::new(data), recipe.clone(), sizes, args.batch_size)?;
        Ok(Run { args, config, recipe, batches, learner })
    }

    fn train(&mut self, val: &Dataset) -> Result<()> {
        let Args { out, name, val_every, .. } = self.args;
        let mut report = None;
        let last_epoch = self.args.stop_after.map_or(u64::MAX, |epochs| self.learner.progress.epoch + epochs);
        while self.learner.done() < 1.0 && self.learner.progress.epoch < last_epoch {
            let losses = self.epoch()?;
            let epoch = self.learner.progress.epoch;
            let mut line = format!("epoch {epoch:4}  {losses}");
            if !val.samples.is_empty() && (self.learner.done() >= 1.0 || epoch.is_multiple_of(*val_every)) {
                let scored = self.score(val)?;
                self.learner.progress.score = Some(scored.mean());
                line += &format!("  AP50 {:.4}", scored.mean());
                report = Some(scored);
            }
            println!("{line}  {:.1} min", self.learner.progress.seconds / 60.0);
            self.learner.save(out, name)?;
        }
        if report.is_none() && !val.samples.is_empty() {
            report = Some(self.score(val)?);
        }
        // After the checkpoint: what is resumed is the network as it was trained.
        let Args { size, precision, labels, .. } = self.args;
        calibrate(&mut self.learner.average, val, *size, precision.kind(), labels.len())?;
        self.write(report)
    }

    fn score(&self, val: &Dataset) -> Result<Report> {
        score(&self.learner.average, val, self.args.size, self.args.precision.kind(), self.args.labels.len())
    }

    fn epoch(&mut self) -> Result<String> {
        let Run { args, batches, learner, .. } = self;
        let (mut classes, mut boxes, mut steps) = (0.0, 0.0, 0.0);
        learner.round(|network, turn| {
            let request = |step| Request { seed: args.seed, step, mosaics: turn.done_at(step) < 1.0 - PLAIN_END };
            let requests = batches.wanted(turn.step).map(request).collect();
            let batch = batches.next(requests)?;
            let size @ (width, height) = args.cut.unwrap_or(args.size);
            let input = as_input(&batch.pixels, batch.truths.len(), size, args.precision.kind())?;
            let maps = network.forward_t(&input.f_to_device(network.device())?, true)?;
            let loss = loss(&maps, (width as u32, height as u32), &batch.truths)?;
            classes += loss.classes;
            boxes += loss.boxes;
            steps += 1.0;
            Ok(loss.total)
        })?;
        Ok(format!("class {:.4}  box {:.4}", classes / steps, boxes / steps))
    }

    fn write(&self, report: Option<Report>) -> Result<()> {
        let progress = &self.learner.progress;
        card::write(&Trained {
            folder: &self.args.out,
            name: &self.args.name,
            labels: &self.args.labels,
            size: self.args.size,
            config: &self.config,
            weights: &self.learner.weights,
            recipe: &self.recipe,
            data: &self.args.data,
            val: &self.args.val,
            seed: self.args.seed,
            epochs: progress.epoch,
            pictures: progress.step * self.args.batch_size as u64,
            minutes: progress.seconds / 60.0,
            report: report.as_ref(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
