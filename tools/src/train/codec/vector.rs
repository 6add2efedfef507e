//! `gst-torch train codec --coding vector`: one network for pictures of their own, at every rate at once.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::codec::entropy::latents::Latents;
use gst_torch_models::codec::model::{self, PRIOR};
use gst_torch_models::codec::tensors;
use gst_torch_models::codec::vector::network::{Config, Network};
use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor, nn};
use toml::{Table, Value};

use super::super::footage::{Cut, Footage, Shot};
use super::super::learner::follow;
use super::args::Args;
use super::objective::split;
use super::{CLIP, schedule};
use crate::train::adamw::AdamW;
use crate::train::card::{command, hand_written, sha256, strings};
use crate::train::checkpoint::{self, Progress};

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
struct Nets {
    store: nn::VarStore,
    network: Network,
}

impl Nets {
    fn new(config: &Config, device: Device) -> Result<Self> {
        let store = nn::VarStore::new(device);
        let network = Network::new(&store.root(), config)?;
        Ok(Nets { store, network })
    }
}

struct Run<'a> {
    args: &'a Args,
    config: Config,
    data: Footage,
    val: Footage,
    nets: Nets,
    average: Nets,
    averages: HashMap<String, Tensor>,
    /// In order of names.
    variables: Vec<(String, Tensor)>,
    optimiser: AdamW,
    progress: Progress,
    /// Bits a luma sample and PSNR of luma, as scored last.
    results: Vec<[f64; 2]>,
}

pub fn run(args: &Args, data: Footage, val: Footage, device: Device) -> Result<()> {
    tch::manual_seed(args.seed as i64);
    let config = Config::default();
    let mut nets = Nets::new(&config, device)?;
    if let Some(name) = &args.from {
        let bytes = match name.strip_suffix(".safetensors") {
            Some(_) => std::fs::read(name).with_context(|| name.to_string())?,
            None => model::find(name)?.1,
        };
        model::fill(&mut nets.store, &bytes).map_err(|reason| anyhow!("{name}: {reason}"))?;
    }
    let mut average = Nets::new(&config, device)?;
    average.store.copy(&nets.store)?;
    average.store.freeze();
    let mut variables: Vec<_> = nets.store.variables().into_iter().collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    let weights: usize = variables.iter().map(|(_, v)| v.numel()).sum();
    let [encoder, decoder] = config.macs();
    println!(
        "{:.2} M weights learn; {:.1} kMAC a luma sample to encode, {:.1} to decode",
        weights as f64 / 1e6,
        encoder / 1e3,
        decoder / 1e3
    );
    let setting = format!(
        "vector, batch {}, cut {}, precision {:?}, rate {}, seed {}",
        args.batch_size, args.cut, args.precision, args.rate, args.seed
    );
    let mut run = Run {
        args,
        config,
        data,
        val,
        averages: average.store.variables(),
        average,
        nets,
        optimiser: AdamW::new(&variables, 0.0)?,
        variables,
        progress: Progress { epoch: 0, step: 0, optimiser_steps: 0, seconds: 0.0, score: None, setting },
        results: Vec::new(),
    };
    if args.resume {
        run.resume()?;
    }
    run.train()
}

impl Run<'_> {
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
            let losses = self.round()?;
            self.progress.epoch += 1;
            let score = self.score()?;
            println!("step {:6}  {losses}{score}  {:.1} min", self.progress.step, self.progress.seconds / 60.0);
            self.progress.optimiser_steps = self.optimiser.steps();
            checkpoint::save(&self.args.out, &self.progress, &self.state())?;
        }
        if self.results.is_empty() {
            self.score()?; // resumed after the last step: the card wants the results
        }
        self.write()
    }

    /// The steps between two checkpoints.
    fn round(&mut self) -> Result<String> {
        let bar = ProgressBar::new(self.args.every);
        bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {eta}")?);
        let (mut loss, mut steps) = (0.0, 0.0);
        while steps < self.args.every as f64 && self.done() < 1.0 {
            let began = Instant::now();
            loss += self.step(self.args.rate * schedule(self.done()))?;
            steps += 1.0;
            self.progress.step += 1;
            self.progress.seconds += began.elapsed().as_secs_f64();
            bar.set_message(format!("loss {:.4}", loss / steps));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(format!("loss {:.4}", loss / steps))
    }

    fn step(&mut self, rate: f64) -> Result<f64> {
        // Steps and seeds decide what is drawn, so that a resumed run goes on as it would have.
        let seed = self.args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.progress.step;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pictures = Vec::new();
        for _ in 0..self.args.batch_size {
            let shot = self.data.pick(&mut rng, 1).context("no frames")?;
            let frame = &shot[rng.random_range(0..shot.len())];
            pictures.push(Cut::random(&mut rng, frame, self.args.cut).of(frame));
        }
        let device = self.nets.store.device();
        let samples = tensors::of_pictures(&pictures.iter().collect::<Vec<_>>())?.f_to_device(device)?;
        let most = self.config.digits();
        let kept: Vec<f32> = pictures.iter().map(|_| rng.random_range(1..=most) as f32).collect();
        let kept = Tensor::f_from_slice(&kept)?.f_view([-1, 1, 1, 1])?.f_to_device(device)?;
        let loss = loss(&self.nets.network, &samples, &kept, self.args.precision.kind())?;
        loss.f_backward()?;
        self.optimiser.step(rate, CLIP)?;
        follow(&self.variables, &self.averages, self.progress.step)?;
        let number = f64::try_from(loss.f_detach()?)?;
        ensure!(number.is_finite(), "the loss is no number: try a lower --rate");
        Ok(number)
    }

    /// Whole digits of the averaged network, in the order in which they are coded.
    fn digits(&self, samples: &Tensor) -> Result<(Tensor, Vec<i32>)> {
        let soft = self.average.network.encode(samples, self.args.precision.kind())?;
        let digits = self.average.network.round(&soft)?;
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
                let samples = tensors::of_pictures(&[&cut.of(&shot[0])])?.f_to_device(self.nets.store.device())?;
                let (digits, numbers) = self.digits(&samples)?;
                let area = numbers.len() / self.config.digits();
                let coded = self.latents(self.args.cut)?.encode_first(&numbers[..first * area]);
                bits += coded.map_err(anyhow::Error::msg)?.len() as f64 * 8.0 / (area * 64) as f64;
                let kept = Tensor::f_from_slice(&[first as f32])?.f_view([1, 1, 1, 1])?.f_to_device(digits.device())?;
                let digits = digits.f_mul(&self.average.network.mask(&kept)?)?;
                let decoded = self.average.network.decode(&digits, &kept, kind)?;
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
                let samples = tensors::of_pictures(&[&cut.of(frame)])?.f_to_device(self.nets.store.device())?;
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
        let mut tensors: Vec<_> = self.variables.iter().map(|(n, _)| (n.clone(), self.averages[n].copy())).collect();
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
            ("steps".to_string(), (self.progress.step as i64).into()),
            ("minutes".to_string(), ((self.progress.seconds / 6.0).round() / 10.0).into()),
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
