//! `gst-torch train codec`: the autoencoder codec, from videos and pictures.

mod args;
mod card;
mod chroma;
mod objective;
mod prior;
mod still;
mod streams;
#[cfg(test)]
mod tests;
mod vector;

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::codec::network::{Config, Network, Stage as Half};
use gst_torch_models::codec::rate::RateModel;
use gst_torch_models::codec::tensors;
use gst_torch_models::codec::{grow, model};
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor, nn};

use super::adamw::AdamW;
use super::checkpoint::{self, Progress};
use super::footage::{Cut, Footage, Source};
use super::learner::follow;
use crate::media::Yuv;
pub use args::Args;
use args::{Coding, Part, Size, Stage};
use objective::{Batch, Outcome, evaluate};
use streams::Streams;

const MEMORY: usize = 12 << 30;
const CLIP: f64 = 1.0;
const WARM_UP: f64 = 0.02;
/// Part of a run in which filters need not compute in whole numbers.
const SOFT: f64 = 0.6;
/// Step indices that are trained: about 45 to 25 dB.
const INDICES: std::ops::RangeInclusive<i64> = 24..=118;
/// Step indices that are scored.
const SCORED: [i64; 4] = [48, 68, 86, 102];

pub fn run(mut args: Args) -> Result<()> {
    let adapts = args.adapt.is_some();
    if let Some(clip) = args.adapt.take() {
        args.data = vec![clip.unscaled()];
        args.from.get_or_insert_with(|| "codec-s".into());
        args.time_limit.get_or_insert(5.0);
        args.rate = args.rate.min(4e-4);
        args.shots = args.shots.min(60);
    }
    ensure!(
        args.batch_size > 0 && args.steps > 0 && args.every > 0,
        "--batch-size, --steps and --every must be above 0"
    );
    ensure!(args.cut >= 32 && args.cut.is_multiple_of(16), "--cut is {}; expected a multiple of 16 from 32", args.cut);
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let device = args.machine.ready()?;
    let data = Footage::read(&args.data, args.cut, MEMORY).context("--data")?;
    ensure!(!data.is_empty(), "--data has nothing that can be learnt from: {}", names(&args.data));
    let val = Footage::read(&args.val, args.cut, MEMORY).context("--val")?;
    let still = if adapts { still::find(&data) } else { None };
    if still.is_some() {
        // Key frames are predicted from it, which is the business of the other stage.
        args.stage.retain(|stage| *stage != Stage::Intra);
    }
    if args.coding == Coding::Vector {
        return vector::run(&args, data, val, device);
    }
    let config = match args.size {
        Size::Small => Config::SMALL,
        Size::Medium => Config::MEDIUM,
    };
    let weights = args.out.join(format!("{}.safetensors", args.name));
    let mut from = args.from.clone();
    let mut resume = if args.resume { Some(begun(&args)?) } else { None };
    if args.stage == [Stage::Prior]
        && let Some(from) = &from
    {
        let mut nets = Nets::new(config, device)?;
        nets.load(from).context("--from")?;
        nets.store.save(&weights).with_context(|| weights.display().to_string())?;
    }
    for &stage in &args.stage {
        if stage == Stage::Prior {
            if let &[intra, inter] = &args.finer_chroma[..] {
                chroma::refine(&weights, [intra, inter])?;
            }
            let mut rng = StdRng::seed_from_u64(args.seed);
            prior::train(&weights, config, &data, args.cut, args.shots, &mut rng)?;
            continue;
        }
        if resume.is_some_and(|begun| begun != stage) {
            // It is over; the checkpoint has what it learnt.
            continue;
        }
        let mut run = Run::new(&args, stage, (config, device), [&data, &val], from.as_deref(), still.clone())?;
        if resume.take().is_some() {
            run.resume()?;
        }
        run.train()?;
        from = Some(weights.display().to_string());
    }
    if let Some(still) = &still {
        still::add(&weights, still)?;
    }
    card::write(&args, config, &weights)
}

/// What a stage is run with: it is resumed with nothing else.
fn setting(args: &Args, stage: Stage) -> String {
    format!(
        "{:?} {:?} {:?}, batch {}, cut {}, length {}, precision {:?}, rate {}, seed {}",
        stage, args.size, args.part, args.batch_size, args.cut, args.length, args.precision, args.rate, args.seed
    )
}

/// The stage that the checkpoint is of; the first one where it is of none, so that resuming it says what is wrong.
fn begun(args: &Args) -> Result<Stage> {
    let saved = checkpoint::progress(&args.out)?.map(|saved| saved.setting).unwrap_or_default();
    let of_it = args.stage.iter().find(|&&stage| setting(args, stage) == saved);
    of_it.or(args.stage.first()).copied().context("--stage is empty")
}

fn names(sources: &[Source]) -> String {
    sources.iter().map(Source::to_string).collect::<Vec<_>>().join(" ")
}

/// The networks of a run: those that learn, or their running average.
struct Nets {
    store: nn::VarStore,
    network: Network,
    rates: [RateModel; 2],
}

impl Nets {
    fn new(config: Config, device: Device) -> Result<Self> {
        let store = nn::VarStore::new(device);
        let root = store.root();
        let network = Network::new(&root, config)?;
        let rates = [RateModel::new(&(&root / "rate" / "intra"))?, RateModel::new(&(&root / "rate" / "inter"))?];
        Ok(Nets { store, network, rates })
    }

    /// Takes the weights of a model, which may be a smaller one; what serves training alone may be missing, and a prior is not
    /// asked for.
    fn load(&mut self, name: &str) -> Result<()> {
        let bytes = match name.strip_suffix(".safetensors") {
            Some(_) => std::fs::read(name).with_context(|| name.to_string())?,
            None => model::find(name)?.1,
        };
        grow::fill(&mut self.store, &bytes).map_err(|reason| anyhow!("{name}: {reason}"))
    }

    fn stage(&self, stage: Stage) -> (&Half, &RateModel) {
        match stage {
            Stage::Intra => (&self.network.intra, &self.rates[0]),
            Stage::Inter | Stage::Prior => (&self.network.inter, &self.rates[1]),
        }
    }
}

struct Run<'a> {
    args: &'a Args,
    stage: Stage,
    data: &'a Footage,
    val: &'a Footage,
    nets: Nets,
    average: Nets,
    averages: HashMap<String, Tensor>,
    /// Those of the stage that learns, in order of names.
    variables: Vec<(String, Tensor)>,
    optimiser: AdamW,
    streams: Streams,
    progress: Progress,
}

impl<'a> Run<'a> {
    fn new(
        args: &'a Args,
        stage: Stage,
        (config, device): (Config, Device),
        [data, val]: [&'a Footage; 2],
        from: Option<&str>,
        still: Option<Yuv>,
    ) -> Result<Self> {
        tch::manual_seed(args.seed as i64);
        let mut nets = Nets::new(config, device)?;
        if let Some(name) = from {
            nets.load(name).context("--from")?;
        }
        let mut average = Nets::new(config, device)?;
        average.store.copy(&nets.store)?;
        average.store.freeze();
        let mine = if stage == Stage::Intra { ["intra.", "rate.intra."] } else { ["inter.", "rate.inter."] };
        let all = nets.store.variables().into_iter();
        let mine = |name: &str| match args.part {
            Part::All => mine.iter().any(|m| name.starts_with(m)),
            Part::Filter => name.starts_with(&format!("{}filter.", mine[0])),
        };
        let (mut variables, others): (Vec<_>, Vec<_>) = all.partition(|(name, _)| mine(name));
        for (_, other) in &others {
            let _ = other.set_requires_grad(false);
        }
        ensure!(!variables.is_empty(), "a codec of this --size has no filter of {stage:?} pictures");
        variables.sort_by(|a, b| a.0.cmp(&b.0));
        let weights: usize = variables.iter().map(|(_, v)| v.numel()).sum();
        let [analysis, synthesis, filter] = config.macs(stage == Stage::Inter).map(|macs| macs / 1e3);
        println!(
            "{:.2} M weights learn; {analysis:.1} kMAC a luma sample for analysis, {synthesis:.1} for synthesis, {filter:.1} \
             for the filter",
            weights as f64 / 1e6,
        );
        Ok(Run {
            args,
            stage,
            data,
            val,
            averages: average.store.variables(),
            average,
            nets,
            optimiser: AdamW::new(&variables, 0.0)?,
            variables,
            streams: Streams::new(args, still),
            progress: Progress {
                epoch: 0,
                step: 0,
                optimiser_steps: 0,
                seconds: 0.0,
                score: None,
                setting: setting(args, stage),
            },
        })
    }

    /// Everything that changes while training, by name.
    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.optimiser.state();
        for (name, variable) in self.nets.store.variables() {
            state.push((format!("average.{name}"), self.averages[&name].shallow_clone()));
            state.push((format!("network.{name}"), variable));
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
            Some(minutes) => {
                // Inter pictures are most of a stream.
                let share = match (self.args.stage.contains(&Stage::Intra), self.args.stage.contains(&Stage::Inter)) {
                    (true, true) if self.stage == Stage::Intra => 0.4,
                    (true, true) => 0.6,
                    _ => 1.0,
                };
                (self.progress.seconds / (minutes * share * 60.0)).min(1.0)
            }
            None => (self.progress.step as f64 / self.args.steps as f64).min(1.0),
        }
    }

    fn train(&mut self) -> Result<()> {
        while self.done() < 1.0 {
            let losses = self.round()?;
            self.progress.epoch += 1;
            let score = if self.val.is_empty() { String::new() } else { self.score()? };
            println!("step {:6}  {losses}{score}  {:.1} min", self.progress.step, self.progress.seconds / 60.0);
            self.progress.optimiser_steps = self.optimiser.steps();
            checkpoint::save(&self.args.out, &self.progress, &self.state())?;
            let weights = self.args.out.join(format!("{}.safetensors", self.args.name));
            self.average.store.save(&weights).with_context(|| weights.display().to_string())?;
        }
        Ok(())
    }

    /// The steps between two checkpoints.
    fn round(&mut self) -> Result<String> {
        let bar = ProgressBar::new(self.args.every);
        bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}")?);
        let (mut loss, mut bits, mut error) = (0.0, 0.0, 0.0);
        let mut steps = 0.0;
        while steps < self.args.every as f64 && self.done() < 1.0 {
            let began = Instant::now();
            let rate = self.args.rate * schedule(self.done());
            let outcome = self.step(rate)?;
            steps += 1.0;
            loss += outcome[0];
            bits += outcome[1];
            error += outcome[2];
            self.progress.step += 1;
            self.progress.seconds += began.elapsed().as_secs_f64();
            bar.set_message(format!("loss {:.4}", loss / steps));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(format!("loss {:.4}  {:.4} bit/px  error {:.2}", loss / steps, bits / steps, error / steps))
    }

    fn step(&mut self, rate: f64) -> Result<[f64; 3]> {
        let soft = self.done() < SOFT;
        let Network { intra, inter } = &mut self.nets.network;
        [intra, inter].into_iter().for_each(|stage| stage.soften_filter(soft));
        // Steps and seeds decide what is drawn, so that a resumed run goes on as it would have.
        let seed = self.args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.progress.step;
        let mut rng = StdRng::seed_from_u64(seed);
        let kind = self.args.precision.kind();
        let batch = match self.stage {
            Stage::Intra => self.intra_batch(&mut rng)?,
            _ => self.streams.next(&mut rng, self.data, &self.nets.network.intra, kind)?,
        };
        let (stage, rates) = self.nets.stage(self.stage);
        let outcome = evaluate(stage, rates, &batch, self.args.part, kind)?;
        let loss = outcome.loss.f_mean(Kind::Float)?;
        loss.f_backward()?;
        self.optimiser.step(rate, CLIP)?;
        if self.stage == Stage::Inter {
            self.streams.decoded(&outcome.decoded)?;
        }
        follow(&self.variables, &self.averages, self.progress.step)?;
        let mean = |x: &Tensor| -> Result<f64> { Ok(x.f_detach()?.f_mean(Kind::Float)?.try_into()?) };
        let numbers = [loss.f_detach()?.try_into()?, mean(&outcome.bits)?, mean(&outcome.error)?];
        ensure!(numbers.iter().all(|n| n.is_finite()), "the loss is no number: try a lower --rate");
        Ok(numbers)
    }

    fn intra_batch(&self, rng: &mut StdRng) -> Result<Batch> {
        let mut pictures = Vec::new();
        for _ in 0..self.args.batch_size {
            let shot = self.data.pick(rng, 1).context("no frames")?;
            let frame = &shot[rng.random_range(0..shot.len())];
            pictures.push(Cut::random(rng, frame, self.args.cut).of(frame));
        }
        let samples =
            tensors::of_pictures(&pictures.iter().collect::<Vec<_>>())?.f_to_device(self.nets.store.device())?;
        let indices: Vec<i64> = pictures.iter().map(|_| rng.random_range(INDICES)).collect();
        Ok(Batch {
            prediction: samples.f_zeros_like()?,
            index: index_planes(&indices, &samples)?,
            samples,
            coded: None,
            corrected: None,
        })
    }

    /// Bits and PSNR of luma at some qualities, of the averaged weights, on the middle of each validation shot.
    fn score(&mut self) -> Result<String> {
        let _guard = tch::no_grad_guard();
        let kind = self.args.precision.kind();
        let mut line = String::from("  val");
        let mut total = 0.0;
        for index in SCORED {
            let (mut loss, mut bits, mut psnr, mut count) = (0.0, 0.0, 0.0, 0.0);
            for shot in self.val.shots() {
                let cut = Cut::middle(&shot[0], self.args.cut);
                let outcomes = match self.stage {
                    Stage::Intra => vec![self.score_intra(&cut, &shot[0], index, kind)?],
                    _ => Streams::score(&cut, shot, index, self.args.part, &self.average, kind)?,
                };
                for outcome in outcomes {
                    loss += f64::try_from(&outcome.loss)?;
                    bits += f64::try_from(&outcome.bits)?;
                    psnr += 10.0 * (65025.0 / f64::try_from(&outcome.error)?.max(1e-3)).log10();
                    count += 1.0;
                }
            }
            line += &format!("  {:.4} bit/px {:.2} dB", bits / count, psnr / count);
            total += loss / count;
        }
        self.progress.score = Some(total / SCORED.len() as f64);
        Ok(format!("{line}  loss {:.4}", total / SCORED.len() as f64))
    }

    fn score_intra(&self, cut: &Cut, frame: &Yuv, index: i64, kind: Kind) -> Result<Outcome> {
        let samples = tensors::of_pictures(&[&cut.of(frame)])?.f_to_device(self.nets.store.device())?;
        let batch = Batch {
            prediction: samples.f_zeros_like()?,
            index: index_planes(&[index], &samples)?,
            samples,
            coded: None,
            corrected: None,
        };
        let (stage, rates) = self.average.stage(Stage::Intra);
        evaluate(stage, rates, &batch, self.args.part, kind)
    }
}

/// One step index a picture, for every cell of `samples`.
fn index_planes(indices: &[i64], samples: &Tensor) -> Result<Tensor> {
    let size = samples.size();
    let indices = Tensor::f_from_slice(indices)?.f_to_device(samples.device())?.f_to_kind(Kind::Float)?;
    Ok(indices.f_view([-1, 1, 1, 1])?.f_expand([size[0], 1, size[2], size[3]], false)?.f_contiguous()?)
}

/// Linear warm-up, then half a cosine down to a fiftieth.
fn schedule(done: f64) -> f64 {
    if done < WARM_UP {
        return (done / WARM_UP).max(0.02);
    }
    let rest = (done - WARM_UP) / (1.0 - WARM_UP);
    0.02 + 0.98 * 0.5 * (1.0 + (std::f64::consts::PI * rest).cos())
}
