//! `gst-torch train restore`: the networks of the restorer, from good pictures that are made bad on the way.

mod args;
mod card;
mod coded;
mod score;
mod streams;

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::builtin;
use gst_torch_models::restore::network::{self, RestoreNet};
use gst_torch_models::restore::{Config, SAMPLES, Task, UNIT};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tch::{Device, Kind, Tensor};

use super::footage::Footage;
use super::learner::{CLIP, Learner, Plan, dice};
pub use args::Args;
use streams::Streams;

const MEMORY: usize = 12 << 30;
/// Differences below this many levels count by their square, larger ones by their size.
const KNEE: f64 = 4.0;
/// A history within so many levels of the good picture is right.
const RIGHT: f64 = 6.0;
/// Weight of what low light's pictures are too bright or too dark as a whole.
const BRIGHTNESS: f64 = 1.0;
/// Weight of the mean error of chroma against that of luma.
const CHROMA: f64 = 0.25;

pub fn run(args: Args) -> Result<()> {
    ensure!(
        args.batch_size > 0 && args.steps > 0 && args.every > 0 && args.length > 0,
        "--batch-size, --steps, --every and --length must be above 0"
    );
    ensure!(args.cut >= 32 && args.cut.is_multiple_of(16), "--cut is {}; expected a multiple of 16 from 32", args.cut);
    let config = configuration(&args)?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let device = args.machine.ready()?;
    let data = Footage::read(&args.data, args.cut, MEMORY).context("--data")?;
    ensure!(!data.is_empty(), "--data has nothing that can be learnt from");
    let val = Footage::read(&args.val, args.cut, MEMORY).context("--val")?;

    tch::manual_seed(args.seed as i64);
    let weights = args.from.as_deref().map(builtin::weights).transpose().map_err(|e| anyhow!("--from: {e}"))?;
    let mut learner = Learner::new(plan(&args, &config, device), |store| {
        let net = RestoreNet::new(&store.root(), &config)?;
        if let Some(weights) = &weights {
            let taken = network::warm_start(store, weights).map_err(|e| anyhow!("--from: {e}"))?;
            println!("{taken} of {} tensors begin as in --from", store.len());
        }
        Ok(net)
    })?;
    println!("{:.1} kMAC a luma sample of the input", config.macs() / 1e3);
    if args.resume {
        learner.resume(&args.out)?;
    }

    let name = args.name.clone().unwrap_or_else(|| config.task.model(config.scale).to_string());
    let kind = args.precision.kind();
    let mut streams = Streams::new(config, args.cut, args.length);
    if config.task == Task::Deblock {
        gst::init()?;
        streams.coded = coded::pairs(&data, args.cut, &mut StdRng::seed_from_u64(args.seed))?;
        println!("{} times a shot or a still was coded by x264", streams.coded.len());
    }
    let mut results = Vec::new();
    while learner.done() < 1.0 {
        let mean = learner.round(|net, turn| {
            let batch = streams.next(&mut dice(args.seed, turn.step), &data, args.batch_size, kind)?.on(device)?;
            let output = net.forward(&batch.input)?.f_to_kind(Kind::Float)?;
            streams.restored(&output)?;
            let steady = if config.history { args.steady } else { 0.0 };
            let loss = loss(&output, &batch, steady)?;
            if config.task != Task::LowLight {
                return Ok(loss);
            }
            Ok(loss.f_add(&brightness(&output, &batch.target)?.f_mul_scalar(BRIGHTNESS)?)?)
        })?;
        let mut line = format!("step {:6}  loss {mean:.4}", learner.progress.step);
        results.clear();
        for (name, example) in score::examples(config.task, config.scale as usize) {
            if let Some(score) = score::score(&learner.average, &config, &val, &example, (kind, device))? {
                let before = score.before.map(|b| format!("{b:.2} -> ")).unwrap_or_default();
                line += &format!("  {name}: {before}{:.2} dB {:.4}", score.psnr, score.ssim);
                results.push((name, score));
            }
        }
        println!("{line}  {:.1} min", learner.progress.seconds / 60.0);
        learner.save(&args.out, &name)?;
    }
    let weights = learner.save(&args.out, &name)?;
    card::write(&args, config, &weights, &learner.progress, &results)
}

fn configuration(args: &Args) -> Result<Config> {
    let mut config = Config::of(args.task, args.scale);
    config.channels = args.channels.unwrap_or(config.channels);
    config.blocks = args.blocks.unwrap_or(config.blocks);
    config.checked().map_err(|e| anyhow!(e))
}

fn plan(args: &Args, config: &Config, device: Device) -> Plan {
    Plan {
        device,
        steps: args.steps,
        time_limit: args.time_limit,
        rate: args.rate,
        decay: 0.0,
        clip: CLIP,
        every: args.every,
        minutes: None,
        setting: format!(
            "restore {config:?}, batch {}, cut {}, length {}, precision {:?}, rate {}, steady {}, seed {}",
            args.batch_size, args.cut, args.length, args.precision, args.rate, args.steady, args.seed
        ),
    }
}

/// The loss of Charbonnier et al. 1994 in levels of 8 bits, with a knee high enough that PSNR is what it rewards.
/// `steady` weighs what moves away from a history that is right to within [`RIGHT`].
fn loss(output: &Tensor, batch: &streams::Batch, steady: f64) -> Result<Tensor> {
    let charbonnier = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
        let squares = a.f_sub(b)?.f_mul_scalar(UNIT)?.f_square()?;
        Ok(squares.f_add_scalar(KNEE * KNEE)?.f_sqrt()?.f_add_scalar(-KNEE)?)
    };
    let mut errors = charbonnier(output, &batch.target)?;
    if steady > 0.0 {
        let history = batch.input.f_narrow(1, SAMPLES, SAMPLES)?.f_to_kind(Kind::Float)?;
        let right = history.f_sub(&batch.target)?.f_abs()?.f_lt(RIGHT / UNIT)?.f_to_kind(Kind::Float)?;
        let changes = charbonnier(output, &history)?.f_mul(&right)?.f_mul_scalar(steady)?;
        errors = errors.f_add(&changes)?;
    }
    let errors = errors.f_mul(&batch.weight)?;
    let mean = |from: i64, count: i64| errors.f_narrow(1, from, count)?.f_mean(Kind::Float);
    Ok(mean(0, 4)?.f_add(&mean(4, SAMPLES - 4)?.f_mul_scalar(CHROMA)?)?)
}

/// How far the mean luma of pictures is from what it should be, in levels of 8 bits.
fn brightness(output: &Tensor, target: &Tensor) -> Result<Tensor> {
    let luma = |samples: &Tensor| samples.f_narrow(1, 0, 4)?.f_mean_dim(&[1i64, 2, 3][..], false, Kind::Float);
    Ok(luma(output)?.f_sub(&luma(target)?)?.f_abs()?.f_mean(Kind::Float)?.f_mul_scalar(UNIT)?)
}
