//! Pictures through few numbers and back: the VAE and the VQ-VAE.

use anyhow::{Result, anyhow};
use gst_torch_models::generate::vae::{self, Vae};
use gst_torch_models::generate::vqvae::{Vqvae, perplexity};
use gst_torch_models::generate::{Config, Net};
use gst_torch_models::metrics::features::Features;
use rand::Rng;
use rand::rngs::StdRng;
use tch::{Device, Kind, Tensor};
use toml::Table;

use super::super::card::in_parts;
use super::super::learner::{Learner, dice};
use super::gan::latents;
use super::pictures::Pictures;
use super::{Args, card, plan, read, sheet};

/// Weight of differences between neighbours against that of pixels: edges that are soft cost more.
const EDGES: f64 = 0.5;
/// Weight of what a detector sees differently (Johnson et al. 2016): textures that are gone cost, which pixels alone forgive.
const SIGHT: f64 = 0.03;
/// How far a pixel may be off, 0 to 1, for a nat: the scale of the Laplace distribution that a VAE's pixels are of.
const SPREAD: f64 = 0.05;
/// Weight of the distance of vectors from their codes (van den Oord et al. 2017), and of pixels, beside it.
const COMMITMENT: f64 = 0.25;
const PIXELS: f64 = 10.0;
/// Rows of the codebook begin anew in this first part of a run; then what is left settles.
const REVIVAL: f64 = 0.7;
/// Pictures that are scored at a time, and at most.
const CHUNK: i64 = 16;
const SCORED: usize = 128;
/// Columns of a sheet: a row of pictures, a row of what became of them, and so on; a VAE's has pictures of random latents below.
const COLUMNS: i64 = 6;

pub fn run(args: &Args, config: Config, device: Device) -> Result<()> {
    let [_, height, width] = config.picture().unwrap_or_default();
    let [data, val] = read(args, [width, height], device)?;
    // Without any, what was learnt from is looked at: better than nothing.
    let shown = if val.is_empty() { &data } else { &val };
    let sight = super::sight(args, device)?;
    let mut learner = Learner::new(
        plan(args, &format!("{config:?} seen by {}", args.features), args.rate.unwrap_or(1e-3), device),
        |store| Ok(config.build(&store.root())?),
    )?;
    let [encoder, decoder] = macs(&config);
    println!("{:.0} MMAC to encode a picture, {:.0} to decode", encoder / 1e6, decoder / 1e6);
    if args.resume {
        learner.resume(&args.out)?;
    }
    let kind = args.precision.kind();
    let mut results = Table::new();
    while learner.done() < 1.0 {
        let done = learner.done();
        let mut revived = 0;
        let mean = learner.round(|net, turn| {
            let mut rng = dice(args.seed, turn.step);
            let (pictures, _) = data.batch(&mut rng, args.batch_size, args.flip)?;
            match net {
                Net::Vae(net) => vae_loss(net, sight.as_ref(), &pictures, &mut rng, kind, args.beta),
                Net::Vqvae(net) => {
                    let (loss, count) = vqvae_loss(net, sight.as_ref(), &pictures, &mut rng, kind, done < REVIVAL)?;
                    revived += count;
                    Ok(loss)
                }
                _ => Err(anyhow!("{} is no autoencoder", config.network())),
            }
        })?;
        let (psnr, used) = score(&learner.average, shown)?;
        results = Table::from_iter([("psnr".to_string(), in_parts(psnr, 100.0))]);
        let mut line = format!("step {:6}  loss {mean:.4}  {psnr:.2} dB", learner.progress.step);
        if let Some(perplexity) = used {
            results.insert("perplexity".into(), in_parts(perplexity, 10.0));
            line += &format!("  perplexity {perplexity:.1}, {revived} codes begun anew");
        }
        println!("{line}  {:.1} min", learner.progress.seconds / 60.0);
        learner.save(&args.out, &args.name())?;
        let path = args.out.join("samples").join(format!("{:06}.png", learner.progress.step));
        sheet::write(&path, &samples(&learner.average, shown)?, COLUMNS as usize)?;
    }
    let weights = learner.save(&args.out, &args.name())?;
    card::write(args, &config, &weights, &learner.progress, results)
}

fn macs(config: &Config) -> [f64; 2] {
    let macs = match config {
        Config::Vae(config) => config.macs(),
        Config::Vqvae(config) => config.macs(),
        _ => [0, 0],
    };
    macs.map(|count| count as f64)
}

/// Of pixels, of the differences between neighbours, and of what is seen; means of absolute errors.
fn distance(made: &Tensor, pictures: &Tensor, sight: Option<&Features>, kind: Kind) -> Result<Tensor> {
    let error = made.f_sub(pictures)?;
    let (_, _, height, width) = error.size4()?;
    let across = error.f_narrow(3, 1, width - 1)?.f_sub(&error.f_narrow(3, 0, width - 1)?)?;
    let down = error.f_narrow(2, 1, height - 1)?.f_sub(&error.f_narrow(2, 0, height - 1)?)?;
    let mean = |x: &Tensor| x.f_abs()?.f_mean(Kind::Float);
    let mut sum = mean(&error)?.f_add(&mean(&across)?.f_add(&mean(&down)?)?.f_mul_scalar(EDGES)?)?;
    if let Some(sight) = sight {
        let real = tch::no_grad(|| sight.maps(pictures, kind))?;
        for (made, real) in sight.maps(made, kind)?.iter().zip(&real) {
            let real = real.f_to_kind(Kind::Float)?;
            let strength = real.f_square()?.f_mean(Kind::Float)?.f_add_scalar(1e-6)?.f_sqrt()?;
            let apart = mean(&made.f_to_kind(Kind::Float)?.f_sub(&real)?)?.f_div(&strength)?;
            sum = sum.f_add(&apart.f_mul_scalar(SIGHT)?)?;
        }
    }
    Ok(sum)
}

/// The bound on the likelihood, in nats a number of a picture.
fn vae_loss(
    net: &Vae,
    sight: Option<&Features>,
    pictures: &Tensor,
    rng: &mut StdRng,
    kind: Kind,
    beta: f64,
) -> Result<Tensor> {
    let [mean, log_variance] = net.encode(&pictures.f_to_kind(kind)?)?;
    let (mean, log_variance) = (mean.f_to_kind(Kind::Float)?, log_variance.f_to_kind(Kind::Float)?);
    let (count, latent, ..) = mean.size4()?;
    let drawn = vae::draw(&mean, &log_variance, &latents(rng, count as usize, latent)?.f_to_device(mean.device())?)?;
    let made = net.decode(&drawn.f_to_kind(kind)?)?;
    let numbers = (pictures.numel() as f64 / count as f64).max(1.0);
    let divergence = vae::divergence(&mean, &log_variance)?.f_mul_scalar(beta / numbers)?;
    Ok(distance(&made, pictures, sight, kind)?.f_mul_scalar(1.0 / SPREAD)?.f_add(&divergence)?)
}

/// Also moves the codebook, and says how many of its rows began anew.
fn vqvae_loss(
    net: &Vqvae,
    sight: Option<&Features>,
    pictures: &Tensor,
    rng: &mut StdRng,
    kind: Kind,
    revive: bool,
) -> Result<(Tensor, i64)> {
    let vectors = net.encode(&pictures.f_to_kind(kind)?)?;
    let codes = tch::no_grad(|| net.codes(&vectors))?;
    let rows = net.vectors(&codes)?;
    // The gradient passes by the choice as if it were none.
    let through = vectors.f_add(&rows.f_sub(&vectors)?.f_detach()?)?;
    let made = net.decode(&through.f_to_kind(kind)?)?;
    let apart = vectors.f_sub(&rows.f_detach()?)?.f_square()?.f_mean(Kind::Float)?;
    let loss = distance(&made, pictures, sight, kind)?.f_mul_scalar(PIXELS)?.f_add(&apart.f_mul_scalar(COMMITMENT)?)?;
    let chances: Vec<f64> =
        if revive { (0..net.codebook.size()[0]).map(|_| rng.random()).collect() } else { Vec::new() };
    let revived = net.learn(&vectors, &codes, &chances)?;
    Ok((loss, revived))
}

/// What an autoencoder makes of `pictures`, and the codes in between where there are some.
pub fn reconstruct(net: &Net, pictures: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
    let _guard = tch::no_grad_guard();
    Ok(match net {
        Net::Vae(net) => (net.decode(&net.encode(pictures)?[0])?, None),
        Net::Vqvae(net) => {
            let codes = net.codes(&net.encode(pictures)?)?;
            (net.decode(&net.vectors(&codes)?)?, Some(codes))
        }
        _ => return Err(anyhow!("this network encodes no pictures")),
    })
}

/// The mean PSNR of reconstructions, in dB, and the perplexity of the codes where there are some.
pub fn score(net: &Net, pictures: &Pictures) -> Result<(f64, Option<f64>)> {
    let (mut psnrs, mut codes) = (Vec::new(), Vec::new());
    let all = pictures.middles(SCORED)?;
    for chunk in all.f_split(CHUNK, 0)? {
        let (made, chosen) = reconstruct(net, &chunk)?;
        let errors = made.f_sub(&chunk)?.f_square()?.f_mean_dim(&[1i64, 2, 3][..], false, Kind::Float)?;
        let errors: Vec<f32> = Vec::try_from(errors)?;
        psnrs.extend(errors.into_iter().map(|error| -10.0 * f64::from(error).max(1e-10).log10()));
        codes.extend(chosen);
    }
    let used = match net {
        Net::Vqvae(net) => Some(perplexity(&Tensor::f_cat(&codes, 0)?, net.codebook.size()[0])?),
        _ => None,
    };
    Ok((psnrs.iter().sum::<f64>() / psnrs.len().max(1) as f64, used))
}

fn samples(net: &Net, pictures: &Pictures) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let real = pictures.middles(2 * COLUMNS as usize)?;
    let mut rows = Vec::new();
    for row in real.f_split(COLUMNS, 0)? {
        let made = reconstruct(net, &row)?.0;
        rows.extend([row, made]);
    }
    if let Net::Vae(net) = net {
        let [mean, _] = net.encode(&real.f_narrow(0, 0, 1)?)?;
        let latents = latents(&mut dice(0, 0), 2 * COLUMNS as usize, mean.size()[1])?;
        rows.push(net.decode(&latents.f_to_device(mean.device())?)?);
    }
    Ok(Tensor::f_cat(&rows, 0)?)
}
