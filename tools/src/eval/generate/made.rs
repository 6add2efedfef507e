//! What a model makes, as torchsrc runs it: through the runtime's engine.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use gst_torch_models::builtin;
use gst_torch_models::generate::gan;
use gst_torch_models::generate::sequence::Player;
use gst_torch_models::generate::vqvae::{Codebook, perplexity};
use gst_torch_models::generate::{Config, beside};
use gst_torch_runtime::{Batching, DeviceSpec, Engine, EngineSpec, ModelFile, PrecisionSpec, Sample};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tch::{Kind, Tensor};

use crate::train::generate::gan::latents;
use crate::train::generate::pictures::Pictures;

/// Pictures of a sequence from one that is looked at to the next: neighbours are much alike.
const STRIDE: usize = 10;
/// Pictures of a sequence, counting those that are passed over.
const LENGTH: usize = 200;
/// Real pictures that are reconstructed, at most.
const SCORED: usize = 256;

pub struct Maker {
    config: Config,
    engine: Arc<Engine>,
    encoder: Option<Arc<Engine>>,
    codebook: Option<Codebook>,
    /// Of a sequence model: what draws codes, and the model of their pictures.
    sequence: Option<(Player, Box<Maker>)>,
}

impl Maker {
    pub fn open(
        name: &str,
        file: ModelFile,
        config: &Config,
        device: DeviceSpec,
        precision: PrecisionSpec,
    ) -> Result<Self> {
        let weights = || builtin::weights(name).map_err(|e| anyhow!(e));
        let model = file.load(device, precision)?;
        let engine = |[channels, height, width]: [i64; 3]| {
            let shape = [1, channels, height, width].into();
            model.engine_for(EngineSpec { shape, sample: Sample::Normal, repeatable: false, like: None })
        };
        let mut maker = Maker {
            engine: engine(config.input())?,
            encoder: config.picture().filter(|_| config.encodes()).map(engine).transpose()?,
            codebook: None,
            sequence: None,
            config: config.clone(),
        };
        match config {
            Config::Vqvae(config) => {
                maker.codebook = Some(Codebook::read(config, &weights()?).map_err(|e| anyhow!("{name}: {e}"))?)
            }
            Config::Sequence(config) => {
                let player = Player::read(config, &weights()?).map_err(|e| anyhow!("{name}: {e}"))?;
                let of = beside(name, &config.pictures);
                let file = builtin::open(&of)?;
                let pictures = Config::of(&file.info).with_context(|| format!("{of} is no generator of ours"))?;
                let pictures = pictures.map_err(|e| anyhow!("{of}: {e}"))?;
                let Config::Vqvae(_) = &pictures else { bail!("{of} is no vqvae") };
                let pictures = Maker::open(&of, file, &pictures, device, precision)?;
                maker.sequence = Some((player, Box::new(pictures)));
            }
            _ => {}
        }
        Ok(maker)
    }

    /// Channels, height and width of what comes out.
    pub fn picture(&self) -> [i64; 3] {
        match &self.sequence {
            Some((_, pictures)) => pictures.picture(),
            None => self.config.picture().unwrap_or_default(),
        }
    }

    /// Whether it makes pictures of nothing: a VQ-VAE alone does not.
    pub fn makes(&self) -> bool {
        self.codebook.is_none()
    }

    pub fn describe(&self) -> String {
        self.engine.describe()
    }

    /// `count` pictures, `(count, C, H, W)` of 0 to 1.
    pub fn make(&self, count: usize, truncation: f64, seed: u64) -> Result<Tensor> {
        if let Some((player, pictures)) = &self.sequence {
            return self.play(player, pictures, count, truncation, seed);
        }
        let mut rng = StdRng::seed_from_u64(seed);
        let (latent, classes) = match &self.config {
            Config::Gan(config) => (config.latent, config.classes),
            Config::Vae(config) => (config.latent, 0),
            _ => bail!("a {} makes no pictures of nothing", self.config.network()),
        };
        let mut input = latents(&mut rng, count, latent)?.f_mul_scalar(truncation)?;
        if classes > 0 {
            let each: Vec<i64> = (0..count as i64).map(|index| index % classes).collect();
            let weights = Tensor::f_from_slice(&each)?.f_one_hot(classes)?.f_to_kind(Kind::Float)?;
            input = gan::with_classes(&input, &weights)?;
        }
        run(&self.engine, &input)
    }

    fn play(&self, player: &Player, pictures: &Maker, count: usize, temperature: f64, seed: u64) -> Result<Tensor> {
        let codebook = pictures.codebook.as_ref().context("a sequence without a codebook")?;
        let mut made = Vec::new();
        for seed in seed.. {
            let mut state = player.start(seed);
            for number in 0..LENGTH {
                player
                    .next(&mut state, seed, temperature, |input| run(&self.engine, &input).map_err(|e| e.to_string()))
                    .map_err(|e: String| anyhow!(e))?;
                if number % STRIDE == STRIDE - 1 {
                    let vectors = codebook.vectors(state.codes(), player.config().grid).map_err(|e| anyhow!(e))?;
                    made.push(run(&pictures.engine, &vectors)?);
                }
                if made.len() == count {
                    return Ok(Tensor::f_cat(&made, 0)?);
                }
            }
        }
        bail!("no seed is left")
    }

    /// What becomes of real pictures, and their codes where there are some; `None` where there is no way back.
    fn reconstruct(&self, real: &Tensor) -> Result<Option<(Tensor, Vec<i64>)>> {
        if let Some((_, pictures)) = &self.sequence {
            return pictures.reconstruct(real);
        }
        let Some(encoder) = &self.encoder else { return Ok(None) };
        let mut latents = run(encoder, real)?;
        let mut all = Vec::new();
        if let (Some(codebook), Config::Vqvae(config)) = (&self.codebook, &self.config) {
            let mut rows = Vec::new();
            for index in 0..latents.size()[0] {
                let codes = codebook.nearest(&latents.f_narrow(0, index, 1)?).map_err(|e| anyhow!(e))?;
                rows.push(codebook.vectors(&codes, config.grid()).map_err(|e| anyhow!(e))?);
                all.extend(codes.into_iter().map(i64::from));
            }
            latents = Tensor::f_cat(&rows, 0)?;
        }
        Ok(Some((run(&self.engine, &latents)?, all)))
    }

    /// Real pictures as this model would make them, as far as it has a way to say; else as they are.
    pub fn as_made(&self, real: &Tensor) -> Result<Tensor> {
        Ok(self.reconstruct(real)?.map_or_else(|| real.shallow_clone(), |(made, _)| made))
    }

    /// The mean PSNR of what becomes of real pictures, in dB, and the perplexity of their codes; `None` where there is no way
    /// back.
    pub fn reconstruction(&self, real: &Pictures) -> Result<Option<(f64, Option<f64>)>> {
        let real = real.middles(SCORED)?;
        let Some((made, codes)) = self.reconstruct(&real)? else { return Ok(None) };
        let errors = made.f_sub(&real)?.f_square()?;
        let errors: Vec<f32> = Vec::try_from(errors.f_mean_dim(&[1i64, 2, 3][..], false, Kind::Float)?)?;
        let psnrs = errors.iter().map(|&error| -10.0 * f64::from(error).max(1e-10).log10());
        let rows = codes.iter().max().map_or(0, |most| most + 1);
        let used = (!codes.is_empty()).then(|| perplexity(&Tensor::f_from_slice(&codes)?, rows)).transpose()?;
        Ok(Some((psnrs.sum::<f64>() / errors.len().max(1) as f64, used)))
    }
}

/// All of a batch, one by one, as many at a time as there are lanes.
fn run(engine: &Arc<Engine>, input: &Tensor) -> Result<Tensor> {
    let tickets = (0..input.size()[0])
        .map(|index| Ok(engine.submit(input.f_narrow(0, index, 1)?, Batching { size: 1, ..Batching::default() })))
        .collect::<Result<Vec<_>>>()?;
    let mut outputs = Vec::new();
    for ticket in tickets {
        let (_, output) = ticket.wait()?.into_iter().next().context("the network gave nothing")?;
        outputs.push(output);
    }
    Ok(Tensor::f_cat(&outputs, 0)?)
}
