//! A generator at work: the picture of any frame, from any kind of model.
//!
//! Frames are submitted and waited for, so that as many run side by side as there are cores. Each runs on one core and in the
//! same way every time: the same model, settings, device and precision give the same bits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gst_torch_runtime::planes::{
    Colour, Fit, FrameInfo, InputSpec, Layout, PixelFormat, Planes, PlanesMut, Preprocessor, numbers_mut, write_tensor,
};
use gst_torch_runtime::{
    Batching, DeviceSpec, Engine, EngineSpec, Error, Finish, Model, PrecisionSpec, Result, Sample, Ticket,
};
use tch::{Kind, Tensor};

use super::decoder::{Decoder, Hints};
use super::latents::{Latent, Latents, Mode, Moment, Settings, Space};
use super::modes::Modes;
use super::provenance::Provenance;
use super::sequel::Sequel;
pub use super::sequel::Way;
use super::sequence::{self, Player};
use super::vqvae::Codebook;
use super::{Config, TASK, beside, watermark};
use crate::builtin;
use crate::data::picture::Picture;

/// What a generator is made of; everything else are [`Settings`], which may change from frame to frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    pub device: DeviceSpec,
    pub precision: PrecisionSpec,
    /// Of a decoder that is not ours.
    pub hints: Hints,
    /// Files of pictures to begin with.
    pub pictures: Vec<PathBuf>,
}

/// See the module.
pub struct Generator {
    /// The one that was named.
    model: Arc<Model>,
    decoder: Decoder,
    engine: Arc<Engine>,
    latents: Latents,
    modes: Modes,
    /// Of models whose pictures are made of codes.
    codes: Option<Codes>,
    /// How the network's output becomes a picture of a size, and that size.
    finish: Option<([usize; 2], Finish)>,
}

struct Codes {
    codebook: Codebook,
    /// Across and down.
    grid: [i64; 2],
    /// Of a model that goes on by itself.
    sequel: Option<Sequel>,
}

impl Generator {
    /// Opens the model that a user names so, and whatever goes with it.
    ///
    /// # Errors
    /// When the model cannot be had or makes no pictures, or a picture cannot be read or encoded.
    pub fn open(name: &str, options: &Options) -> Result<Generator> {
        let load = |name: &str| builtin::open(name)?.expect_task(TASK)?.load(options.device, options.precision);
        let model = load(name)?;
        let config = Config::of(model.info()).transpose().map_err(|reason| mismatch(&model, reason))?;
        let maker = match &config {
            Some(Config::Sequence(config)) => load(&beside(name, &config.pictures))?,
            _ => Arc::clone(&model),
        };
        let decoder = Decoder::of(&maker, options.hints)?;
        let engine = maker.engine_for(EngineSpec {
            shape: decoder.latent,
            sample: Sample::Normal,
            repeatable: true,
            like: None,
        })?;

        let encoded = options.pictures.iter().map(|path| encode(&maker, path)).collect::<Result<Vec<_>>>()?;
        let (codes, given) = match Config::of(maker.info()) {
            Some(Ok(Config::Vqvae(pictures))) => {
                let weights = |model: &Model| builtin::weights(&model.info().name);
                let bad = |reason| mismatch(&maker, reason);
                let codebook = Codebook::read(&pictures, &weights(&maker).map_err(bad)?).map_err(bad)?;
                let codes = encoded.iter().map(|vectors| codebook.nearest(vectors)).collect::<Result<Vec<_>, _>>();
                let codes = codes.map_err(bad)?;
                let vectors = codes.iter().map(|codes| codebook.vectors(codes, pictures.grid()));
                let given = vectors.map(|vectors| vectors.and_then(|v| numbers(&v))).collect::<Result<_, _>>();
                let given: Vec<Vec<f32>> = given.map_err(bad)?;
                let sequel = match &config {
                    Some(Config::Sequence(config)) => Some(sequel(&model, config, &pictures, codes)?),
                    _ => None,
                };
                (Some(Codes { codebook, grid: pictures.grid(), sequel }), given)
            }
            _ => {
                let given = encoded.iter().map(numbers).collect::<Result<_, _>>();
                (None, given.map_err(|reason| mismatch(&maker, reason))?)
            }
        };
        let classes = decoder.classes;
        let size = decoder.latent.count() as usize - classes;
        let latents = Latents::new(Space { size, classes, distribution: decoder.distribution, given });
        let modes = Modes {
            codes: codes.is_some(),
            goes_on: codes.as_ref().is_some_and(|codes| codes.sequel.is_some()),
            encodes: Config::of(maker.info()).is_some_and(|config| config.is_ok_and(|config| config.encodes())),
            given: !latents.space().given.is_empty(),
        };
        Ok(Generator { model, decoder, engine, latents, modes, codes, finish: None })
    }

    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The engine that makes pictures.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Width and height that the network makes by itself.
    pub fn size(&self) -> [usize; 2] {
        [self.decoder.layout.width as usize, self.decoder.layout.height as usize]
    }

    pub fn latents(&self) -> &Latents {
        &self.latents
    }

    /// Which ways of making frames it has.
    pub fn modes(&self) -> &Modes {
        &self.modes
    }

    /// # Errors
    /// When this model cannot do that, with what it can.
    pub fn check(&self, mode: Mode) -> Result<()> {
        self.modes.check(mode).map_err(|reason| mismatch(&self.model, reason))
    }

    /// To be called when frames do not go on where they were.
    ///
    /// # Errors
    /// When the model's own beginnings do not fit it.
    pub fn restart(&mut self) -> Result<()> {
        self.latents.restart();
        match self.codes.as_mut().and_then(|codes| codes.sequel.as_mut()) {
            Some(sequel) => sequel.restart(),
            None => Ok(()),
        }
    }

    /// Hands over a frame of this width and height. `None` where `go_on` said no while a sequence was drawn up to it: it is asked
    /// before each of its pictures.
    ///
    /// # Errors
    /// When the model cannot do what the settings say, or a sequence fails.
    pub fn submit(
        &mut self,
        settings: &Settings,
        moment: Moment,
        size: [usize; 2],
        go_on: &mut dyn FnMut(Way) -> bool,
    ) -> Result<Option<Pending>> {
        self.check(settings.mode)?;
        let mut provenance = Provenance {
            model: self.model.info().name.clone(),
            sha256: self.model.info().sha256.clone(),
            seed: settings.seed,
            frame: if settings.mode == Mode::Sequence { moment.picture } else { moment.frame },
            ..Provenance::default()
        };
        let input = match (&mut self.codes, settings.mode) {
            (Some(Codes { codebook, grid, sequel: Some(sequel) }), mode) if mode != Mode::Reconstruct => {
                let Settings { seed, truncation, .. } = *settings;
                provenance.codes = match mode {
                    Mode::Fixed => sequel.first(seed)?,
                    Mode::Noise => sequel.alone(moment.frame, seed, truncation)?,
                    _ => match sequel.codes(moment.picture, seed, truncation, go_on)? {
                        Some(codes) => codes.to_vec(),
                        None => return Ok(None),
                    },
                };
                codebook.vectors(&provenance.codes, *grid).map_err(|reason| mismatch(&self.model, reason))?
            }
            _ => {
                let Latent { numbers, classes } = self.latents.at(settings, moment);
                let all = [numbers.as_slice(), classes.as_slice()].concat();
                let input = Tensor::f_from_slice(&all).and_then(|t| t.f_view(self.decoder.latent.dims()));
                (provenance.latent, provenance.classes) = (numbers, classes);
                input.map_err(|e| Error::torch(self.engine.model(), e.to_string()))?
            }
        };
        let finish = match &self.finish {
            Some((of, finish)) if *of == size => Arc::clone(finish),
            _ => {
                let finish = self.decoder.finish(size[0], size[1]);
                self.finish = Some((size, Arc::clone(&finish)));
                finish
            }
        };
        let ticket = self.engine.submit_with(input, Batching::default(), finish);
        Ok(Some(Pending { ticket, provenance, size }))
    }
}

/// A frame to come.
pub struct Pending {
    ticket: Ticket,
    provenance: Provenance,
    size: [usize; 2],
}

impl Pending {
    /// Waits for the picture, and marks it as generated unless that is not wanted.
    ///
    /// # Errors
    /// What the network's run gave.
    pub fn wait(self, marked: bool) -> Result<Made> {
        let Pending { ticket, mut provenance, size: [width, height] } = self;
        let nothing = || Error::torch(&provenance.model, "the network gave nothing");
        let mut picture = ticket.wait()?.into_iter().next().ok_or_else(nothing)?.1;
        if marked {
            watermark::mark(numbers_mut(&mut picture)?, width, height);
            provenance.watermark = true;
        }
        Ok(Made { picture, provenance })
    }
}

/// A frame that was made.
#[derive(Debug)]
pub struct Made {
    /// `(1, C, H, W)` in fp32 on the CPU, 0 to 1; the watermark may leave that a little.
    pub picture: Tensor,
    pub provenance: Provenance,
}

impl Made {
    /// Writes it into a frame of its size.
    ///
    /// # Errors
    /// When the frame has another size.
    pub fn write(&self, planes: &mut PlanesMut) -> Result<()> {
        Ok(write_tensor(&self.picture, planes)?)
    }
}

fn sequel(
    model: &Arc<Model>,
    config: &sequence::Config,
    pictures: &super::vqvae::Config,
    given: Vec<Vec<u16>>,
) -> Result<Sequel> {
    if config.grid != pictures.grid() || config.codes != pictures.codes {
        let [[a, b], [c, d]] = [config.grid, pictures.grid()];
        let reason = format!(
            "it is made for {a}x{b} of {} codes, {} has {c}x{d} of {}",
            config.codes, config.pictures, pictures.codes
        );
        return Err(mismatch(model, reason));
    }
    let bad = |reason| mismatch(model, reason);
    let player = Player::read(config, &builtin::weights(&model.info().name).map_err(bad)?).map_err(bad)?;
    let [channels, height, width] = config.input();
    let shape = [1, channels, height, width].into();
    let engine = model.engine_for(EngineSpec { shape, sample: Sample::Normal, repeatable: true, like: None })?;
    Sequel::new(player, engine, given)
}

/// What a model's encoder makes of a picture, which is cut to the shape that the model's have.
fn encode(model: &Arc<Model>, path: &Path) -> Result<Tensor> {
    let config = Config::of(model.info()).and_then(std::result::Result::ok).filter(Config::encodes);
    let Some([channels, height, width]) = config.and_then(|config| config.picture()) else {
        let reason = "it has no encoder for start-picture or end-picture; a VAE or VQ-VAE was expected";
        return Err(mismatch(model, reason.into()));
    };
    let picture = read_picture(path)?;
    let frame = FrameInfo::new(PixelFormat::Rgb, picture.width(), picture.height());
    let colour = if channels == 1 { Colour::Gray } else { Colour::Rgb };
    let spec = InputSpec {
        width: width as usize,
        height: height as usize,
        colour,
        fit: Fit::Crop,
        scale: 255.0,
        ..InputSpec::default()
    };
    let preprocessor = Preprocessor::new(&frame, &spec)?;
    let planes = Planes::new(frame, &[(picture.rgb(), picture.width() * 3)])?;
    let input = preprocessor.run_on(&planes, tch::Device::Cpu, Kind::Float, Layout::Contiguous)?;
    let shape = [1, channels, height, width].into();
    let engine = model.engine_for(EngineSpec { shape, sample: Sample::UNIT, repeatable: true, like: None })?;
    let outputs = engine.submit(input, Batching::default()).wait()?;
    let nothing = || mismatch(model, "its encoder gave nothing".into());
    Ok(outputs.into_iter().next().ok_or_else(nothing)?.1)
}

fn read_picture(path: &Path) -> Result<Picture> {
    let bytes = std::fs::read(path).map_err(|e| Error::BadPicture { path: path.into(), reason: e.to_string() })?;
    let bad = |reason: String| Error::BadPicture { path: path.into(), reason };
    let picture = image::load_from_memory(&bytes).map_err(|e| bad(e.to_string()))?.into_rgb8();
    let (width, height) = picture.dimensions();
    Picture::new(width as usize, height as usize, picture.into_raw()).ok_or_else(|| bad("it has no pixels".into()))
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, String> {
    let flat = tensor.f_flatten(0, -1).and_then(|t| t.f_to_kind(Kind::Float)).map_err(|e| e.to_string())?;
    Vec::try_from(flat).map_err(|e: tch::TchError| e.to_string())
}

fn mismatch(model: &Model, reason: String) -> Error {
    Error::Mismatch { model: model.info().name.clone(), reason }
}
