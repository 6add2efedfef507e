//! What follows what, in the codes of a VQ-VAE.

use anyhow::{Context, Result, anyhow, bail, ensure};
use gst_torch_models::builtin;
use gst_torch_models::generate::Config;
use gst_torch_models::generate::sequence::{self, GROUPS, Player, Sequence, State, group};
use gst_torch_models::generate::vqvae::{self, Vqvae};
use rand::Rng;
use rand::rngs::StdRng;
use tch::{Device, Kind, Tensor, nn};
use toml::Table;

use super::super::card::in_parts;
use super::super::learner::{Learner, dice};
use super::args::Flip;
use super::pictures::{Clip, Pictures, View};
use super::{Args, card, plan, read, sheet};

/// Part of the codes looked back on that are replaced by others, at most: what was drawn is never quite what was learnt.
const DAMAGE: f64 = 0.15;
/// Ways in which each clip is seen: cut out at other places, turned over.
const VIEWS: usize = 6;
/// Pictures of validation clips that are scored, at most.
const SCORED: usize = 64;
/// Of a sample sheet: beginnings, pictures of each, and pictures from one to the next.
const ROWS: usize = 5;
const COLUMNS: usize = 6;
const STRIDE: usize = 6;

/// Codes of a clip, seen one way: `(pictures, h, w)`.
struct Coded {
    codes: Tensor,
    weight: f64,
}

pub fn run(args: &Args, device: Device) -> Result<()> {
    let name = args.pictures.as_deref().context("--network sequence wants --pictures")?;
    let (pictures, net) = open(name, device)?;
    let mut config = sequence::Config::new(&from_here(name, args)?, pictures.grid(), pictures.codes, args.kind.into());
    config.frames = args.frames.unwrap_or(config.frames);
    config.channels = args.channels.unwrap_or(config.channels);
    let config = config.checked().map_err(|e| anyhow!(e))?;
    ensure!(args.size.is_none_or(|_| args.size() == pictures.size), "--size is that of {name}");
    let [data, val] = read(args, pictures.size, device)?;
    let window = config.frames as usize + 1;
    let coded = code(&net, &data, window, args)?;
    ensure!(!coded.is_empty(), "--data has no clip of {window} frames");
    let unseen = code(&net, &val, window, &Args { flip: Flip::None, ..args.clone() })?;
    let starts = starts(&coded, &config)?;

    let rate = args.rate.unwrap_or(1e-3);
    let mut learner = Learner::new(plan(args, &format!("{config:?}"), rate, device), |store| {
        let net = Sequence::new(&store.root(), &config)?;
        tch::no_grad(|| net.starts.shallow_clone().f_copy_(&starts))?;
        Ok(net)
    })?;
    if args.resume {
        learner.resume(&args.out)?;
    }
    let kind = args.precision.kind();
    let mut results = Table::new();
    while learner.done() < 1.0 {
        let mean = learner.round(|net, turn| {
            let mut rng = dice(args.seed, turn.step);
            let windows = draw(&coded, window, args.batch_size, &mut rng)?;
            loss(net, &windows, &config, &mut rng, kind)
        })?;
        let mut line = format!("step {:6}  {mean:.3} nats a code", learner.progress.step);
        if let Some(unseen) = score(&learner.average, &unseen, &config)? {
            line += &format!(", {unseen:.3} of unseen clips");
            results = Table::from_iter([("nats".to_string(), in_parts(unseen, 1e3))]);
        }
        println!("{line}  {:.1} min", learner.progress.seconds / 60.0);
        let weights = learner.save(&args.out, &args.name())?;
        let player = Player::read(&config, &std::fs::read(&weights)?).map_err(|e| anyhow!(e))?;
        let path = args.out.join("samples").join(format!("{:06}.png", learner.progress.step));
        sheet::write(&path, &samples(&learner.average, &player, &net)?, COLUMNS)?;
    }
    let weights = learner.save(&args.out, &args.name())?;
    card::write(args, &Config::Sequence(config), &weights, &learner.progress, results)
}

/// A VQ-VAE by name, to run here.
pub fn open(name: &str, device: Device) -> Result<(vqvae::Config, Vqvae)> {
    let file = builtin::open(name)?;
    let Some(Config::Vqvae(config)) = Config::of(&file.info).transpose().map_err(|e| anyhow!("{name}: {e}"))? else {
        bail!("{name} is no vqvae");
    };
    let mut store = nn::VarStore::new(device);
    let net = Vqvae::new(&store.root(), &config)?;
    let weights = builtin::weights(name).map_err(|e| anyhow!(e))?;
    builtin::load_weights(&mut store, &weights, |_| false).map_err(|e| anyhow!("{name}: {e}"))?;
    store.freeze();
    Ok((config, net))
}

/// A model's name as the card in --out will say it: built-in names as they are, cards by their whole path, or by their name
/// where they lie beside it.
fn from_here(name: &str, args: &Args) -> Result<String> {
    if builtin::MODELS.iter().any(|model| model.name == name) {
        return Ok(name.into());
    }
    let (card, out) = (std::fs::canonicalize(name).context(name.to_string())?, std::fs::canonicalize(&args.out)?);
    let relative = card.strip_prefix(&out).unwrap_or(&card);
    Ok(relative.display().to_string())
}

/// Codes of all clips that are long enough, each seen in several ways.
fn code(net: &Vqvae, pictures: &Pictures, window: usize, args: &Args) -> Result<Vec<Coded>> {
    let _guard = tch::no_grad_guard();
    let mut rng = dice(args.seed, u64::MAX);
    let mut coded = Vec::new();
    for clip in pictures.clips().iter().filter(|clip| clip.frames.len() >= window) {
        for index in 0..VIEWS {
            let view = if index == 0 { View::MIDDLE } else { View::random(&mut rng, args.flip, false) };
            let codes = clip.frames.chunks(32).map(|frames| {
                let vectors = net.encode(&pictures.tensor(frames.iter().map(|frame| (frame, view)))?)?;
                Ok(net.codes(&vectors)?)
            });
            let codes = Tensor::f_cat(&codes.collect::<Result<Vec<_>>>()?, 0)?;
            coded.push(Coded { codes, weight: clip.weight() * places(clip, window) });
        }
    }
    Ok(coded)
}

fn places(clip: &Clip, window: usize) -> f64 {
    (clip.frames.len() + 1 - window) as f64
}

/// Beginnings, spread evenly over what was coded as it is.
fn starts(coded: &[Coded], config: &sequence::Config) -> Result<Tensor> {
    let plain: Vec<&Coded> = coded.iter().step_by(VIEWS).collect();
    let spread = |index: i64| -> Result<Tensor> {
        let clip = &plain[index as usize % plain.len()].codes;
        let (rank, of) = (index as usize / plain.len(), (config.starts as usize).div_ceil(plain.len()));
        let first = (clip.size()[0] - config.frames) * rank as i64 / of.max(1) as i64;
        Ok(clip.f_narrow(0, first, config.frames)?)
    };
    let starts = (0..config.starts).map(spread).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::f_stack(&starts, 0)?.f_to_kind(Kind::Float)?)
}

/// `(count, window, h, w)`.
fn draw(coded: &[Coded], window: usize, count: usize, rng: &mut StdRng) -> Result<Tensor> {
    let total: f64 = coded.iter().map(|clip| clip.weight).sum();
    let mut windows = Vec::new();
    for _ in 0..count {
        let mut draw = rng.random::<f64>() * total;
        let clip = coded.iter().find(|clip| {
            draw -= clip.weight;
            draw < 0.0
        });
        let clip = clip.or(coded.last()).context("no clip was coded")?;
        let first = rng.random_range(0..=clip.codes.size()[0] - window as i64);
        windows.push(clip.codes.f_narrow(0, first, window as i64)?);
    }
    Ok(Tensor::f_stack(&windows, 0)?)
}

/// 1 at the places of the groups from `turn` on, `(1, h, w)`.
fn undecided(config: &sequence::Config, turn: usize, device: Device) -> Result<Tensor> {
    let width = config.grid[0] as usize;
    let places: Vec<f32> =
        (0..config.places()).map(|p| f32::from(u8::from(group(p % width, p / width) >= turn))).collect();
    Ok(Tensor::f_from_slice(&places)?.f_view([1, config.grid[1], config.grid[0]])?.f_to_device(device)?)
}

/// Nats a code of what is not decided yet, at a random turn for each window.
fn loss(net: &Sequence, windows: &Tensor, config: &sequence::Config, rng: &mut StdRng, kind: Kind) -> Result<Tensor> {
    let (count, device) = (windows.size()[0], windows.device());
    let masks =
        (0..count).map(|_| undecided(config, rng.random_range(0..GROUPS), device)).collect::<Result<Vec<_>>>()?;
    let mask = Tensor::f_cat(&masks, 0)?;
    let damage: Vec<f64> = (0..count).map(|_| rng.random_range(0.0..DAMAGE)).collect();
    let past = windows.f_narrow(1, 0, config.frames)?;
    let chances = Tensor::f_rand(past.size(), (Kind::Float, device))?;
    let limits = Tensor::f_from_slice(&damage)?.f_to_kind(Kind::Float)?.f_view([-1, 1, 1, 1])?.f_to_device(device)?;
    let others = Tensor::f_randint(config.codes, past.size(), (Kind::Int64, device))?;
    let past = others.f_where_self(&chances.f_lt_tensor(&limits)?, &past)?;
    nats(net, &past, &windows.f_select(1, config.frames)?, &mask, config, kind)
}

/// Of codes `next`, `(N, h, w)`, where `mask` is 1, with the others given.
fn nats(
    net: &Sequence,
    past: &Tensor,
    next: &Tensor,
    mask: &Tensor,
    config: &sequence::Config,
    kind: Kind,
) -> Result<Tensor> {
    let hidden = Tensor::f_full(next.size(), config.codes, (Kind::Int64, next.device()))?;
    let shown = hidden.f_where_self(&mask.f_gt(0.5)?, next)?;
    let input = net.embed(&Tensor::f_cat(&[past, &shown.f_unsqueeze(1)?], 1)?)?.f_to_kind(kind)?;
    let chances = net.forward(&input)?.f_log_softmax(1, Kind::Float)?;
    let chosen = chances.f_gather(1, &next.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?;
    Ok(chosen.f_mul(mask)?.f_sum(Kind::Float)?.f_neg()?.f_div(&mask.f_sum(Kind::Float)?)?)
}

/// Nats a code of clips as they are, all turns together: what a code costs when each group is drawn after the others.
fn score(net: &Sequence, coded: &[Coded], config: &sequence::Config) -> Result<Option<f64>> {
    let _guard = tch::no_grad_guard();
    let (mut sum, mut count) = (0.0, 0.0);
    for clip in coded.iter().step_by(VIEWS) {
        let windows = clip.codes.size()[0] - config.frames;
        for first in (0..windows).step_by((windows as usize).div_ceil(SCORED).max(1)) {
            let past = clip.codes.f_narrow(0, first, config.frames)?.f_unsqueeze(0)?;
            let next = clip.codes.f_narrow(0, first + config.frames, 1)?;
            for turn in 0..GROUPS {
                let [from, later] = [turn, turn + 1].map(|turn| undecided(config, turn, next.device()));
                let (from, later) = (from?, later?);
                let now = from.f_sub(&later)?;
                // All from this turn on are hidden, but only those of this turn are counted.
                let hidden = Tensor::f_full(next.size(), config.codes, (Kind::Int64, next.device()))?;
                let shown = hidden.f_where_self(&from.f_gt(0.5)?, &next)?;
                let input = net.embed(&Tensor::f_cat(&[&past, &shown.f_unsqueeze(0)?], 1)?)?;
                let chances = net.forward(&input)?.f_log_softmax(1, Kind::Float)?;
                let chosen = chances.f_gather(1, &next.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?;
                sum -= f64::try_from(chosen.f_mul(&now)?.f_sum(Kind::Float)?)?;
                count += f64::try_from(now.f_sum(Kind::Float)?)?;
            }
        }
    }
    Ok((count > 0.0).then(|| sum / count))
}

/// What `player` goes on with from `state`: so many pictures, every `stride`-th of them.
pub fn roll(
    net: &Sequence,
    player: &Player,
    pictures: &Vqvae,
    state: &mut State,
    seed: u64,
    count: usize,
    stride: usize,
) -> Result<Vec<Tensor>> {
    let _guard = tch::no_grad_guard();
    let [width, height] = player.config().grid;
    let device = net.starts.device();
    let mut made = Vec::new();
    for number in 0..count * stride {
        let run = |input: Tensor| net.forward(&input.f_to_device(device)?)?.f_to_device(Device::Cpu);
        player.next(state, seed, 1.0, |input| run(input).map_err(|e| e.to_string())).map_err(|e: String| anyhow!(e))?;
        if number % stride == stride - 1 {
            let codes: Vec<i64> = state.codes().iter().map(|&code| code.into()).collect();
            let codes = Tensor::f_from_slice(&codes)?.f_view([1, height, width])?.f_to_device(device)?;
            made.push(pictures.decode(&pictures.vectors(&codes)?)?);
        }
    }
    Ok(made)
}

fn samples(net: &Sequence, player: &Player, pictures: &Vqvae) -> Result<Tensor> {
    let mut made = Vec::new();
    for seed in 0..ROWS as u64 {
        made.extend(roll(net, player, pictures, &mut player.start(seed), seed, COLUMNS, STRIDE)?);
    }
    Ok(Tensor::f_cat(&made, 0)?)
}
