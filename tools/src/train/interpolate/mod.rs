//! `gst-torch train interpolate`: the network that fuses two pictures into one between them, from videos.

mod args;
mod card;
mod samples;

use std::f64::consts::LN_10;

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::interpolate::network::{Config, Fusion};
use tch::{Device, Kind, Tensor};

use super::footage::{Cut, Footage};
use super::learner::{CLIP, Learner, Plan, dice};
pub use args::Args;
use samples::Sample;

const MEMORY: usize = 12 << 30;
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
    let device = args.machine.ready()?;
    let data = Footage::read(&args.data, args.cut, MEMORY).context("--data")?;
    ensure!(data.shots().any(|shot| shot.len() >= samples::FRAMES), "--data has no video of three frames");
    let val = Footage::read(&args.val, args.cut, MEMORY).context("--val")?;

    tch::manual_seed(args.seed as i64);
    println!("{:.1} kMAC a luma sample", config.macs() / 1e3);
    let setting = format!(
        "{config:?}, batch {}, cut {}, beyond {}, precision {:?}, rate {}, seed {}",
        args.batch_size, args.cut, args.beyond, args.precision, args.rate, args.seed
    );
    let Args { steps, time_limit, rate, every, .. } = args;
    let plan = Plan { device, steps, time_limit, rate, decay: 0.0, clip: CLIP, every, minutes: None, setting };
    let mut learner = Learner::new(plan, |store| {
        let network = Fusion::new(&store.root(), config)?;
        if let Some(path) = &args.from {
            store.load(path).with_context(|| format!("--from {}", path.display()))?;
        }
        Ok(network)
    })?;
    if args.resume {
        learner.resume(&args.out)?;
    }
    let mut scores = Vec::new();
    while learner.done() < 1.0 {
        let loss = learner.round(|network, turn| loss(network, turn.step, &args, &data, device))?;
        scores = score(&learner.average, &args, &val, device)?;
        let total: f64 = scores.iter().map(|score| score.made).sum();
        learner.progress.score = (!scores.is_empty()).then(|| total / scores.len() as f64);
        let words: String = scores.iter().map(Score::to_string).collect();
        let (step, minutes) = (learner.progress.step, learner.progress.seconds / 60.0);
        println!("step {step:6}  loss {loss:.3} dB{words}  {minutes:.1} min");
        learner.save(&args.out, &args.name)?;
    }
    let weights = learner.save(&args.out, &args.name)?;
    card::write(&args, config, &weights, &learner.progress, &scores)
}

/// Mean squared error in dB, of a batch that seed and step decide.
fn loss(network: &Fusion, step: u64, args: &Args, data: &Footage, device: Device) -> Result<Tensor> {
    let mut rng = dice(args.seed, step);
    let (mut inputs, mut wanted) = (Vec::new(), Vec::new());
    for _ in 0..args.batch_size {
        let sample = Sample::random(&mut rng, data, args.cut, args.beyond, args.precision.kind())?;
        inputs.push(sample.input);
        wanted.push(sample.wanted);
    }
    let made = network.forward(&Tensor::f_cat(&inputs, 0)?.f_to_device(device)?)?;
    let error = made.f_sub(&Tensor::f_cat(&wanted, 0)?.f_to_device(device)?)?;
    // The logarithm is what PSNR has: a still scene counts as much as a lively one (as NAFNet, Chen et al. 2022).
    let squares = error.f_square()?.f_mean_dim(&[1i64, 2, 3][..], false, Kind::Float)?;
    Ok(squares.f_add_scalar(ROUNDED)?.f_log()?.f_mean(Kind::Float)?.f_mul_scalar(10.0 / LN_10)?)
}

/// Mean PSNR of luma in dB.
pub struct Score {
    /// Which picture is made: the middle one of three from both others, or the last.
    pub word: &'static str,
    pub made: f64,
    /// The mean of the moved pictures, and of both as they are: what is to be surpassed.
    pub moved: f64,
    pub blend: f64,
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "  {} {:.2} dB (moved {:.2}, blend {:.2})", self.word, self.made, self.moved, self.blend)
    }
}

/// On the middle of the validation shots.
fn score(network: &Fusion, args: &Args, val: &Footage, device: Device) -> Result<Vec<Score>> {
    let _guard = tch::no_grad_guard();
    let mut scores = Vec::new();
    for (word, [before, after, wanted]) in [("between", [0, 2, 1]), ("beyond", [0, 1, 2])] {
        let (mut sums, mut count) = ([0.0; 3], 0.0);
        for shot in val.shots() {
            let cut = Cut::middle(&shot[0], args.cut);
            for frames in shot.chunks_exact(samples::FRAMES).take(SCORED) {
                let time = wanted as f32 / after as f32;
                let [before, after, wanted] = [before, after, wanted].map(|index| cut.of(&frames[index]));
                let sample = Sample::new(before, after, &wanted, time, args.precision.kind())?;
                let made = network.forward(&sample.input.f_to_device(device)?)?.f_to_device(Device::Cpu)?;
                for (sum, picture) in sums.iter_mut().zip([&made, &sample.moved, &sample.blend]) {
                    *sum += luma_psnr(picture, &sample.wanted)?;
                }
                count += 1.0;
            }
        }
        if count > 0.0 {
            let [made, moved, blend] = sums.map(|sum| sum / count);
            scores.push(Score { word, made, moved, blend });
        }
    }
    Ok(scores)
}

fn luma_psnr(made: &Tensor, wanted: &Tensor) -> Result<f64> {
    const WHITE: f64 = 255.0 / 256.0;
    let luma = |cells: &Tensor| cells.f_narrow(1, 0, 16);
    let error = luma(&made.f_clamp(0.0, WHITE)?)?.f_sub(&luma(wanted)?)?.f_square()?.f_mean(Kind::Double)?;
    let error: f64 = error.try_into()?;
    Ok(10.0 * (WHITE.powi(2) / error.max(1e-10)).log10())
}
