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

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::codec::network::{Config, Network, Stage as Half};
use gst_torch_models::codec::rate::RateModel;
use gst_torch_models::codec::tensors;
use gst_torch_models::codec::{grow, model};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor, nn};

use super::checkpoint::{self, Progress};
use super::footage::{Cut, Footage, Source};
use super::learner::{CLIP, Learner, Plan, dice};
use crate::media::Yuv;
pub use args::Args;
use args::{Coding, Part, Size, Stage};
use objective::{Batch, Outcome, evaluate};
use streams::Streams;

const MEMORY: usize = 12 << 30;
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
        let mut store = nn::VarStore::new(device);
        let _nets = Nets::new(&store.root(), config)?;
        load(&mut store, from).context("--from")?;
        store.save(&weights).with_context(|| weights.display().to_string())?;
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
            run.learner.resume(&args.out)?;
        }
        run.train()?;
        from = Some(weights.display().to_string());
    }
    if let Some(still) = &still {
        still::add(&weights, still)?;
    }
    card::write(&args, config, &weights)
}

/// Whether a variable learns.
fn is_learnt(name: &str, stage: Stage, part: Part) -> bool {
    let networks = if stage == Stage::Intra { "intra." } else { "inter." };
    match part {
        Part::All => name.strip_prefix("rate.").unwrap_or(name).starts_with(networks),
        Part::Filter => name.starts_with(&format!("{networks}filter.")),
    }
}

fn plan(args: &Args, stage: Stage, device: Device) -> Plan {
    // Inter pictures are most of a stream.
    let share = match (args.stage.contains(&Stage::Intra), args.stage.contains(&Stage::Inter)) {
        (true, true) if stage == Stage::Intra => 0.4,
        (true, true) => 0.6,
        _ => 1.0,
    };
    Plan {
        device,
        steps: args.steps,
        time_limit: args.time_limit.map(|minutes| minutes * share),
        rate: args.rate,
        decay: 0.0,
        clip: CLIP,
        every: args.every,
        minutes: None,
        setting: setting(args, stage),
    }
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
    network: Network,
    rates: [RateModel; 2],
}

impl Nets {
    fn new(root: &nn::Path, config: Config) -> Result<Self> {
        let network = Network::new(root, config)?;
        let rates = [RateModel::new(&(root / "rate" / "intra"))?, RateModel::new(&(root / "rate" / "inter"))?];
        Ok(Nets { network, rates })
    }

    fn stage(&self, stage: Stage) -> (&Half, &RateModel) {
        match stage {
            Stage::Intra => (&self.network.intra, &self.rates[0]),
            Stage::Inter | Stage::Prior => (&self.network.inter, &self.rates[1]),
        }
    }
}

/// Takes the weights of a model, which may be a smaller one; what serves training alone may be missing, and a prior is not
/// asked for.
fn load(store: &mut nn::VarStore, name: &str) -> Result<()> {
    grow::fill(store, &bytes_of(name)?).map_err(|reason| anyhow!("{name}: {reason}"))
}

/// The weights of a model: of a built-in one, of a card, or a safetensors file.
fn bytes_of(name: &str) -> Result<Vec<u8>> {
    match name.strip_suffix(".safetensors") {
        Some(_) => std::fs::read(name).with_context(|| name.to_string()),
        None => Ok(model::find(name)?.1),
    }
}

struct Run<'a> {
    args: &'a Args,
    stage: Stage,
    device: Device,
    data: &'a Footage,
    val: &'a Footage,
    learner: Learner<Nets>,
    streams: Streams,
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
        let learner = Learner::new(plan(args, stage, device), |store| {
            let nets = Nets::new(&store.root(), config)?;
            if let Some(name) = from {
                load(store, name).context("--from")?;
            }
            let mut learns = false;
            for (name, variable) in store.variables() {
                let mine = is_learnt(&name, stage, args.part);
                let _ = variable.set_requires_grad(mine);
                learns |= mine;
            }
            ensure!(learns, "a codec of this --size has no filter of {stage:?} pictures");
            Ok(nets)
        })?;
        let [analysis, synthesis, filter] = config.macs(stage == Stage::Inter).map(|macs| macs / 1e3);
        println!(
            "{analysis:.1} kMAC a luma sample for analysis, {synthesis:.1} for synthesis, {filter:.1} for the filter"
        );
        Ok(Run { args, stage, device, data, val, learner, streams: Streams::new(args, still) })
    }

    fn train(&mut self) -> Result<()> {
        while self.learner.done() < 1.0 {
            let losses = self.round()?;
            let score = if self.val.is_empty() { String::new() } else { self.score()? };
            let Progress { step, seconds, .. } = self.learner.progress;
            println!("step {step:6}  {losses}{score}  {:.1} min", seconds / 60.0);
            self.learner.save(&self.args.out, &self.args.name)?;
        }
        Ok(())
    }

    /// The steps between two checkpoints.
    fn round(&mut self) -> Result<String> {
        let Run { args, stage, device, data, learner, streams, .. } = self;
        let kind = args.precision.kind();
        let (mut bits, mut error, mut steps) = (0.0, 0.0, 0.0);
        let loss = learner.round(|nets, turn| {
            let soft = turn.done() < SOFT;
            let Network { intra, inter } = &mut nets.network;
            [intra, inter].into_iter().for_each(|stage| stage.soften_filter(soft));
            let mut rng = dice(args.seed, turn.step);
            let batch = match stage {
                Stage::Intra => intra_batch(&mut rng, args, data, *device)?,
                _ => streams.next(&mut rng, data, &nets.network.intra, kind)?,
            };
            let (half, rates) = nets.stage(*stage);
            let outcome = evaluate(half, rates, &batch, args.part, kind)?;
            if *stage == Stage::Inter {
                streams.decoded(&outcome.decoded)?;
            }
            let mean = |x: &Tensor| -> Result<f64> { Ok(x.f_detach()?.f_mean(Kind::Float)?.try_into()?) };
            bits += mean(&outcome.bits)?;
            error += mean(&outcome.error)?;
            steps += 1.0;
            Ok(outcome.loss.f_mean(Kind::Float)?)
        })?;
        Ok(format!("loss {loss:.4}  {:.4} bit/px  error {:.2}", bits / steps, error / steps))
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
                    _ => Streams::score(&cut, shot, index, self.args.part, &self.learner.average, kind)?,
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
        self.learner.progress.score = Some(total / SCORED.len() as f64);
        Ok(format!("{line}  loss {:.4}", total / SCORED.len() as f64))
    }

    fn score_intra(&self, cut: &Cut, frame: &Yuv, index: i64, kind: Kind) -> Result<Outcome> {
        let samples = tensors::of_pictures(&[&cut.of(frame)])?.f_to_device(self.device)?;
        let batch = intra(samples, &[index])?;
        let (stage, rates) = self.learner.average.stage(Stage::Intra);
        evaluate(stage, rates, &batch, self.args.part, kind)
    }
}

/// Frames of their own, each at a quality of its own.
fn intra_batch(rng: &mut StdRng, args: &Args, data: &Footage, device: Device) -> Result<Batch> {
    let mut pictures = Vec::new();
    for _ in 0..args.batch_size {
        let shot = data.pick(rng, 1).context("no frames")?;
        let frame = &shot[rng.random_range(0..shot.len())];
        pictures.push(Cut::random(rng, frame, args.cut).of(frame));
    }
    let samples = tensors::of_pictures(&pictures.iter().collect::<Vec<_>>())?.f_to_device(device)?;
    let indices: Vec<i64> = pictures.iter().map(|_| rng.random_range(INDICES)).collect();
    intra(samples, &indices)
}

/// Key frames, at a step index each.
fn intra(samples: Tensor, indices: &[i64]) -> Result<Batch> {
    Ok(Batch {
        prediction: samples.f_zeros_like()?,
        index: index_planes(indices, &samples)?,
        samples,
        coded: None,
        corrected: None,
    })
}

/// One step index a picture, for every cell of `samples`.
fn index_planes(indices: &[i64], samples: &Tensor) -> Result<Tensor> {
    let size = samples.size();
    let indices = Tensor::f_from_slice(indices)?.f_to_device(samples.device())?.f_to_kind(Kind::Float)?;
    Ok(indices.f_view([-1, 1, 1, 1])?.f_expand([size[0], 1, size[2], size[3]], false)?.f_contiguous()?)
}
