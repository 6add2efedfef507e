//! `gst-torch train codec --coding vector`: one network for pictures of their own, at every rate at once.

use anyhow::{Context, Result, anyhow};
use gst_torch_models::codec::entropy::latents::Latents;
use gst_torch_models::codec::model::{self, PRIOR};
use gst_torch_models::codec::tensors;
use gst_torch_models::codec::vector::network::{Config, Network};
use indicatif::ProgressBar;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor};
use toml::{Table, Value};

use super::super::footage::{Cut, Footage, Shot};
use super::super::learner::{CLIP, Learner, Plan, dice};
use super::args::Args;
use super::bytes_of;
use super::objective::split;
use crate::train::card::{command, hand_written, sha256, strings};
use crate::train::checkpoint::Progress;

/// Squared error of a luma sample that is as good as none: keeps the logarithm of the loss from rewarding it.
const ERROR_FLOOR: f64 = 2.0;
/// Bits a luma sample that count as none.
const BITS_FLOOR: f64 = 0.02;
/// Weight of an error of a chroma sample against one of luma: chroma has half the samples.
const CHROMA: f64 = 2.0;
/// What an octave of bits is worth in octaves of error: about what good codecs gain between 25 and 40 dB.
const BITS_WORTH: f64 = 1.0;
/// Parts of the digits that are scored.
const SCORED: [f64; 4] = [0.1, 0.3, 0.6, 1.0];
/// Pictures of each shot that the prior learns from.
const PRIOR_PICTURES: usize = 3;

struct Run<'a> {
    args: &'a Args,
    config: Config,
    device: Device,
    data: Footage,
    val: Footage,
    learner: Learner<Network>,
    /// Bits a luma sample and PSNR of luma, as scored last.
    results: Vec<[f64; 2]>,
}

pub fn run(args: &Args, data: Footage, val: Footage, device: Device) -> Result<()> {
    tch::manual_seed(args.seed as i64);
    let config = Config::default();
    let plan = Plan {
        device,
        steps: args.steps,
        time_limit: args.time_limit,
        rate: args.rate,
        decay: 0.0,
        clip: CLIP,
        every: args.every,
        minutes: None,
        setting: format!(
            "vector, batch {}, cut {}, precision {:?}, rate {}, seed {}",
            args.batch_size, args.cut, args.precision, args.rate, args.seed
        ),
    };
    let learner = Learner::new(plan, |store| {
        let network = Network::new(&store.root(), &config)?;
        if let Some(name) = &args.from {
            model::fill(store, &bytes_of(name)?).map_err(|reason| anyhow!("{name}: {reason}"))?;
        }
        Ok(network)
    })?;
    let [encoder, decoder] = config.macs();
    println!("{:.1} kMAC a luma sample to encode, {:.1} to decode", encoder / 1e3, decoder / 1e3);
    let mut run = Run { args, config, device, data, val, learner, results: Vec::new() };
    if args.resume {
        run.learner.resume(&args.out)?;
    }
    run.train()
}

impl Run<'_> {
    fn train(&mut self) -> Result<()> {
        while self.learner.done() < 1.0 {
            let loss = self.round()?;
            let score = self.score()?;
            let Progress { step, seconds, .. } = self.learner.progress;
            println!("step {step:6}  loss {loss:.4}{score}  {:.1} min", seconds / 60.0);
            self.learner.save(&self.args.out, &self.args.name)?;
        }
        if self.results.is_empty() {
            self.score()?; // resumed after the last step: the card wants the results
        }
        self.write()
    }

    /// The steps between two checkpoints.
    fn round(&mut self) -> Result<f64> {
        let Run { args, config, device, data, learner, .. } = self;
        let most = config.digits();
        learner.round(|network, turn| {
            let mut rng = dice(args.seed, turn.step);
            let mut pictures = Vec::new();
            for _ in 0..args.batch_size {
                let shot = data.pick(&mut rng, 1).context("no frames")?;
                let frame = &shot[rng.random_range(0..shot.len())];
                pictures.push(Cut::random(&mut rng, frame, args.cut).of(frame));
            }
            let samples = tensors::of_pictures(&pictures.iter().collect::<Vec<_>>())?.f_to_device(*device)?;
            let kept: Vec<f32> = pictures.iter().map(|_| rng.random_range(1..=most) as f32).collect();
            let kept = Tensor::f_from_slice(&kept)?.f_view([-1, 1, 1, 1])?.f_to_device(*device)?;
            loss(network, &samples, &kept, args.precision.kind())
        })
    }

    /// Whole digits of the averaged network, in the order in which they are coded.
    fn digits(&self, samples: &Tensor) -> Result<(Tensor, Vec<i32>)> {
        let soft = self.learner.average.encode(samples, self.args.precision.kind())?;
        let digits = self.learner.average.round(&soft)?;
        let numbers = digits.f_to_kind(Kind::Int)?.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1])?;
        Ok((digits, Vec::<i32>::try_from(numbers)?))
    }

    fn latents(&self, side: usize) -> Result<Latents> {
        let reach = self.config.reach().into_iter().max().unwrap_or(1);
        let cells = side / 8;
        Ok(Latents::new(self.config.digits(), cells, cells, -reach, reach).map_err(anyhow::Error::msg)?.lively())
    }

    /// Bits, as really coded without a prior, and PSNR of luma, of the averaged weights, on the middle of the first picture
    /// of each validation shot.
    fn score(&mut self) -> Result<String> {
        let _guard = tch::no_grad_guard();
        let kind = self.args.precision.kind();
        let mut line = String::new();
        self.results.clear();
        for part in SCORED {
            let first = (part * self.config.digits() as f64).round() as usize;
            let (mut bits, mut psnr, mut count) = (0.0, 0.0, 0.0);
            for shot in self.val.shots() {
                let cut = Cut::middle(&shot[0], self.args.cut);
                let samples = tensors::of_pictures(&[&cut.of(&shot[0])])?.f_to_device(self.device)?;
                let (digits, numbers) = self.digits(&samples)?;
                let area = numbers.len() / self.config.digits();
                let coded = self.latents(self.args.cut)?.encode_first(&numbers[..first * area]);
                bits += coded.map_err(anyhow::Error::msg)?.len() as f64 * 8.0 / (area * 64) as f64;
                let kept = Tensor::f_from_slice(&[first as f32])?.f_view([1, 1, 1, 1])?.f_to_device(digits.device())?;
                let digits = digits.f_mul(&self.learner.average.mask(&kept)?)?;
                let decoded = self.learner.average.decode(&digits, &kept, kind)?;
                let [luma, _] = split(&decoded, &samples)?;
                psnr += 10.0 * (65025.0 / f64::try_from(&luma)?.max(1e-3)).log10();
                count += 1.0;
            }
            if count > 0.0 {
                line += &format!("  {:.4} bit/px {:.2} dB", bits / count, psnr / count);
                self.results.push([bits / count, psnr / count]);
            }
        }
        Ok(line)
    }

    /// What the entropy coder should know before it has seen anything.
    fn prior(&self) -> Result<Vec<u8>> {
        let _guard = tch::no_grad_guard();
        let mut latents = self.latents(self.args.cut)?;
        let mut rng = StdRng::seed_from_u64(self.args.seed);
        let bar = ProgressBar::new(self.args.shots);
        for _ in 0..self.args.shots {
            let shot: Shot = self.data.pick(&mut rng, 1).context("no frames")?;
            let cut = Cut::random(&mut rng, &shot[0], self.args.cut);
            for frame in shot.iter().take(PRIOR_PICTURES) {
                let samples = tensors::of_pictures(&[&cut.of(frame)])?.f_to_device(self.device)?;
                latents.encode(&self.digits(&samples)?.1).map_err(anyhow::Error::msg)?;
            }
            latents.forget();
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(latents.prior().to_bytes())
    }

    /// Weights with the prior, and the card.
    fn write(&self) -> Result<()> {
        let Args { name, out, .. } = self.args;
        let file = format!("{name}.safetensors");
        let path = out.join(&file);
        let mut tensors: Vec<_> = self.learner.weights.variables().into_iter().collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        tensors.push((PRIOR.into(), Tensor::f_from_slice(&self.prior()?)?));
        Tensor::write_safetensors(&tensors, &path).with_context(|| path.display().to_string())?;

        let place = out.join(format!("{name}.toml"));
        let mut table = hand_written(&place)?;
        table.insert("task".into(), "codec".into());
        table.insert("network".into(), "codec-vector".into());
        table.insert("weights".into(), file.into());
        table.insert("sha256".into(), sha256(&path)?.into());
        table.insert("config".into(), Value::try_from(&self.config)?);
        table.insert("training".into(), self.training().into());
        std::fs::write(&place, toml::to_string(&table)?).with_context(|| place.display().to_string())?;
        println!("wrote {} and {}", place.display(), path.display());
        Ok(())
    }

    fn training(&self) -> Table {
        let rounded = |x: f64| (x * 1e4).round() / 1e4;
        let mut table = Table::from_iter([
            ("command".to_string(), Value::from(command())),
            ("seed".to_string(), (self.args.seed as i64).into()),
            ("steps".to_string(), (self.learner.progress.step as i64).into()),
            ("minutes".to_string(), ((self.learner.progress.seconds / 6.0).round() / 10.0).into()),
            ("data".to_string(), strings(&self.args.data)),
            ("validation".to_string(), strings(&self.args.val)),
        ]);
        if !self.results.is_empty() {
            let pairs = self.results.iter().map(|[bits, psnr]| {
                Table::from_iter([
                    ("bits-a-pixel".to_string(), Value::from(rounded(*bits))),
                    ("psnr-y".to_string(), rounded(*psnr).into()),
                ])
            });
            table.insert("results".into(), pairs.map(Value::from).collect::<Vec<_>>().into());
        }
        table
    }
}

/// Logarithm of the error plus that of the bits, each picture with its own number of digits: no rate is worth more than
/// another, and the balance between both is the same at all of them.
fn loss(network: &Network, samples: &Tensor, kept: &Tensor, kind: Kind) -> Result<Tensor> {
    let mask = network.mask(kept)?;
    let soft = network.encode(samples, kind)?.f_mul(&mask)?;
    let decoded = network.decode(&network.round(&soft)?, kept, kind)?;
    let [luma, chroma] = split(&decoded, samples)?;
    let error = luma.f_add(&chroma.f_mul_scalar(CHROMA)?)?.f_add_scalar(ERROR_FLOOR)?.f_log()?;
    let bits = bits(&soft)?.f_add_scalar(BITS_FLOOR)?.f_log()?.f_mul_scalar(BITS_WORTH)?;
    Ok(error.f_add(&bits)?.f_mean(Kind::Float)?)
}

/// About what digits will cost, a luma sample. The first three digits, mostly the means of Y, U and V, cost by their
/// difference from the cell to the left; the others by themselves.
fn bits(soft: &Tensor) -> Result<Tensor> {
    let size = soft.size();
    let parts = soft.f_split_with_sizes([3, size[1] - 3], 1)?;
    let left = parts[0].f_narrow(3, 0, size[3] - 1)?;
    let step = parts[0].f_narrow(3, 1, size[3] - 1)?.f_sub(&left)?;
    let cost = |x: &Tensor| -> Result<Tensor> {
        let bits = x.f_abs()?.f_mul_scalar(2.0)?.f_log1p()?.f_mul_scalar(std::f64::consts::LOG2_E)?;
        Ok(bits.f_sum_dim_intlist(&[1i64, 2, 3][..], false, Kind::Float)?)
    };
    let samples = (size[2] * size[3] * 64) as f64;
    Ok(cost(&step)?.f_add(&cost(&parts[1])?)?.f_mul_scalar(1.0 / samples)?)
}
