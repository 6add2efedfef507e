//! A user's networks: found, examined, loaded once for the whole process, and shared.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use gst_torch_runtime::planes::{Colour, Fit};
use gst_torch_runtime::{Device, DeviceSpec, Error, Precision, PrecisionSpec, Result};
use sha2::{Digest, Sha256};
use tch::{CModule, IValue, Kind, TchError, Tensor};

use super::card::Card;
use super::fit::Placing;
use crate::codec::stream::{Header, Identity};

/// Sides of the pictures that a network without an input size is tried on.
const TRIED: [i64; 3] = [64, 128, 256];
/// What is padded to where neither the card nor the latents say it.
const MULTIPLE: i64 = 16;

/// Both networks on a device, ready to run.
pub struct Model {
    pub name: String,
    pub identity: Identity,
    pub device: Device,
    pub precision: Precision,
    pub(super) card: Card,
    encoder: CModule,
    decoder: CModule,
    /// Of pixels, for networks that take any size.
    multiple: i64,
    /// Whether the encoder takes pictures as rows of numbers.
    flat: bool,
}

impl Model {
    pub fn open(path: &Path, card: Card, device: DeviceSpec, precision: PrecisionSpec) -> Result<Arc<Model>> {
        let device = device.resolve()?;
        let precision = match precision {
            // What the authors' own code computes in; nobody knows what a faster one would do to the picture.
            PrecisionSpec::Auto => Precision::Fp32,
            PrecisionSpec::Exactly(precision) => precision,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let (encoder, decoder) = (folder.join(&card.encoder), folder.join(&card.decoder));
        let mut sum = Sha256::new();
        for (file, pin) in [(&encoder, &card.encoder_sha256), (&decoder, &card.decoder_sha256)] {
            let bytes =
                std::fs::read(file).map_err(|e| Error::NotFound { path: file.clone(), reason: e.to_string() })?;
            let digest = Sha256::digest(&bytes);
            let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            if pin.as_ref().is_some_and(|pin| !pin.eq_ignore_ascii_case(&found)) {
                return Err(Error::bad_file(
                    file,
                    format!("its sha256 is {found}; the card {} pins another", path.display()),
                ));
            }
            sum.update(digest);
        }
        // Numbers of the card that change what is decoded.
        sum.update(format!("{:?} {:?}", card.input, card.picture));
        let mut identity = Identity::default();
        identity.copy_from_slice(&sum.finalize()[..16]);
        type Cache = Mutex<HashMap<(Identity, String, Device, Precision), Weak<Model>>>;
        static CACHE: OnceLock<Cache> = OnceLock::new();
        let key = (identity, format!("{:?}", card.latent), device, precision);
        let cache = || CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(model) = cache().get(&key).and_then(Weak::upgrade) {
            return Ok(model);
        }
        let load = |file: &Path| -> Result<CModule> {
            let loaded = CModule::load_on_device(file, device.torch()).and_then(|mut module| {
                module.f_set_eval()?;
                Ok(module)
            });
            let mut module = loaded.map_err(|e| {
                Error::bad_file(file, format!("not loadable as TorchScript: {}", Error::torch("", e.to_string())))
            })?;
            if precision != Precision::Fp32 {
                module.to(device.torch(), precision.kind(), false);
            }
            Ok(module)
        };
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let (encoder, decoder) = (load(&encoder)?, load(&decoder)?);
        let multiple = card.latent.multiple.map_or(MULTIPLE, i64::from);
        let mut model = Model { name, identity, device, precision, card, encoder, decoder, multiple, flat: false };
        model.examine()?;
        let model = Arc::new(model);
        let mut cache = cache();
        cache.retain(|_, model| model.strong_count() > 0);
        cache.insert(key, Arc::downgrade(&model));
        Ok(model)
    }

    /// Runs both once, to learn what they take and to say at once what they cannot.
    fn examine(&mut self) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let tries: Vec<[i64; 2]> = match self.card.input.size {
            Some([width, height]) => vec![[height as i64, width as i64]],
            None => TRIED.iter().map(|&side| [side, side]).collect(),
        };
        let mut failure = None;
        for &[height, width] in &tries {
            for flat in [false, true] {
                self.flat = flat;
                match self.attempt(height, width) {
                    Ok(stride) => {
                        let measured = stride.filter(|_| self.card.latent.multiple.is_none());
                        self.multiple = measured.unwrap_or(self.multiple);
                        return Ok(());
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
                if self.card.input.size.is_none() {
                    break; // a row of numbers has one length
                }
            }
        }
        let mut error = failure.unwrap_or_else(|| self.mismatch("nothing was tried"));
        if let (Error::Torch { reason, .. } | Error::Mismatch { reason, .. }, None) = (&mut error, self.card.input.size)
        {
            *reason =
                format!("{reason} (on {0}x{0} pixels; a network of one size needs `size` in [input])", tries[0][0]);
        }
        Err(error)
    }

    /// The stride, if the latents have one.
    fn attempt(&self, height: i64, width: i64) -> Result<Option<i64>> {
        let torch = |e: TchError| Error::torch(&self.name, e.to_string());
        let size = [1, self.card.channels(), height, width];
        let levels = Tensor::f_full(size, 128.0, (Kind::Float, self.device.torch())).map_err(torch)?;
        let latents = self.encode(&levels)?;
        let _picture = self.decode(&latents, [height, width])?;
        let sides = latents.size();
        let stride = |side: i64, of: i64| (side > 0 && of % side == 0).then(|| of / side);
        Ok(match sides[..] {
            [_, _, h, w] => stride(h, height).filter(|&s| Some(s) == stride(w, width)),
            _ => None,
        })
    }

    fn mismatch(&self, reason: impl Into<String>) -> Error {
        Error::Mismatch { model: self.name.clone(), reason: reason.into() }
    }

    pub(super) fn kind(&self) -> Kind {
        self.precision.kind()
    }

    pub(super) fn placing(&self, header: &Header) -> Placing {
        let picture = [header.height.into(), header.width.into()];
        match self.card.input.size {
            Some([width, height]) => {
                let fit = self.card.input.fit.unwrap_or(Fit::Stretch);
                Placing::scaled(picture, [height as i64, width as i64], fit)
            }
            None => Placing::padded(picture, self.multiple),
        }
    }

    /// Latents, as the encoder gives them, of levels `(1, C, H, W)`.
    pub(super) fn encode(&self, levels: &Tensor) -> Result<Tensor> {
        let torch = |e: TchError| Error::torch(&self.name, e.to_string());
        let prepare = || {
            let [factor, summand] = self.card.normalisation();
            let input = affine(&self.swap(levels)?, factor, summand)?.f_to_kind(self.kind())?.f_contiguous()?;
            if self.flat { input.f_view([1, -1]) } else { Ok(input) }
        };
        let output = self.encoder.forward_is(&[IValue::Tensor(prepare().map_err(torch)?)]).map_err(torch)?;
        let latents = first(output).ok_or_else(|| self.mismatch("its encoder gives no tensor"))?;
        if latents.numel() == 0 {
            return Err(self.mismatch("its encoder gives an empty tensor"));
        }
        Ok(latents)
    }

    /// Levels `(1, C, H, W)` of latents, which need not be this encoder's: what a stream says is tried.
    pub(super) fn decode(&self, latents: &Tensor, [height, width]: [i64; 2]) -> Result<Tensor> {
        let torch = |e: TchError| Error::torch(&self.name, e.to_string());
        let output = self.decoder.forward_is(&[IValue::Tensor(latents.shallow_clone())]).map_err(torch)?;
        let picture = first(output).ok_or_else(|| self.mismatch("its decoder gives no tensor"))?;
        let (size, channels) = (picture.size(), self.card.channels());
        let picture = match size[..] {
            // Beyond the right and lower border there may be more.
            [1, c, h, w] if c == channels && h >= height && w >= width => {
                picture.f_narrow(2, 0, height).and_then(|p| p.f_narrow(3, 0, width))
            }
            _ if picture.numel() as i64 == channels * height * width => picture.f_reshape([1, channels, height, width]),
            _ => {
                let expected = format!("[1, {channels}, {height}, {width}]");
                return Err(self.mismatch(format!("its decoder gives {size:?}; expected {expected}")));
            }
        };
        let restore = || {
            let [factor, summand] = self.card.restoration();
            self.swap(&affine(&picture?.f_to_kind(Kind::Float)?, factor, summand)?)
        };
        restore().map_err(torch)
    }

    /// Red and blue change places where the networks have them so.
    fn swap(&self, levels: &Tensor) -> Result<Tensor, TchError> {
        if self.card.input.colour == Some(Colour::Bgr) { levels.f_flip([1]) } else { Ok(levels.shallow_clone()) }
    }
}

fn affine(x: &Tensor, factor: [f64; 3], summand: [f64; 3]) -> Result<Tensor, TchError> {
    let channels = x.size()[1];
    let along = |values: [f64; 3]| -> Result<Tensor, TchError> {
        let values = Tensor::f_from_slice(&values.map(|v| v as f32))?.f_narrow(0, 0, channels)?;
        values.f_view([1, channels, 1, 1])?.f_to_device(x.device())
    };
    x.f_mul(&along(factor)?)?.f_add(&along(summand)?)
}

/// The first tensor in what a network gave: of mean and variance, the mean.
fn first(value: IValue) -> Option<Tensor> {
    match value {
        IValue::Tensor(tensor) => Some(tensor),
        IValue::TensorList(tensors) => tensors.into_iter().next(),
        IValue::Tuple(values) | IValue::GenericList(values) => values.into_iter().find_map(first),
        IValue::GenericDict(pairs) => pairs.into_iter().find_map(|(_, value)| first(value)),
        _ => None,
    }
}
