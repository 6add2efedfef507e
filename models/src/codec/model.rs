//! Models of the codec: found, checked, loaded once for the whole process, and shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use gst_torch_runtime::card::Card;
use gst_torch_runtime::{BuiltIn, Device, DeviceSpec, Error, Precision, PrecisionSpec, Result};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor, nn};

use super::entropy::{Prior, Steps};
use super::network::{Config, Network};
use super::picture::Picture;
use super::still;
use super::stream::Identity;
use super::transform::Tables;

/// Name of the tensor of bytes that holds the entropy coder's prior.
pub const PRIOR: &str = "prior";
/// Tensors whose names begin with this serve training alone.
pub const TRAINING: &str = "rate.";

/// What a network is made of, wherever it will run.
pub struct Weights {
    pub identity: Identity,
    pub config: Config,
    network: Network,
    tables: [Tables; 2],
    steps: Arc<Steps>,
    prior: Prior,
    still: Option<Picture>,
}

impl Weights {
    /// Takes a safetensors file apart; errors name the tensor.
    pub fn read(config: Config, bytes: &[u8]) -> Result<Weights, String> {
        let config = config.checked()?;
        let file =
            SafeTensors::deserialize(bytes).map_err(|e| format!("the weights are not a safetensors file: {e}"))?;
        let prior = match file.tensor(PRIOR) {
            Ok(view) => Prior::from_bytes(view.data()).map_err(|e| format!("tensor '{PRIOR}': {e}"))?,
            Err(_) => Prior::default(),
        };
        let still = still::read(&file)?;
        let mut store = nn::VarStore::new(tch::Device::Cpu);
        let network = Network::new(&store.root(), config).map_err(|e| e.to_string())?;
        fill(&mut store, bytes)?;
        store.freeze();
        let table = |stage: &super::network::Stage, name: &str| -> Result<Tables, String> {
            stage.check().map_err(|e| format!("{name}.{e}"))?;
            let whole = stage.whole_inverse().and_then(|inverse| Ok((inverse, stage.whole_steps()?)));
            let (inverse, steps) = whole.map_err(|e| format!("{name}: {e}"))?;
            Tables::new(&inverse, &steps)
        };
        let steps = network.intra.whole_steps().map_err(|e| e.to_string()).and_then(|steps| Steps::new(&steps))?;
        let tables = [table(&network.intra, "intra")?, table(&network.inter, "inter")?];
        let mut identity = Identity::default();
        identity.copy_from_slice(&Sha256::digest(bytes)[..16]);
        Ok(Weights { identity, config, network, tables, steps: Arc::new(steps), prior, still })
    }
}

/// A model on a device, ready to run.
pub struct Model {
    pub name: String,
    pub identity: Identity,
    pub device: Device,
    pub precision: Precision,
    pub tables: [Tables; 2],
    pub prior: Prior,
    /// What the entropy coder compares latents by.
    pub steps: Arc<Steps>,
    /// What key frames may be predicted from.
    pub still: Option<Picture>,
    /// Tensors may be sent but not shared; each user takes his own handles.
    network: Mutex<Network>,
}

impl Model {
    /// Handles of the network's tensors.
    pub fn network(&self) -> Network {
        self.network.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).share()
    }

    /// The still, if it is of this many blocks across and down.
    pub fn still(&self, blocks: (usize, usize)) -> Option<&Picture> {
        self.still.as_ref().filter(|still| still.blocks() == blocks)
    }

    pub fn kind(&self) -> Kind {
        self.precision.kind()
    }

    /// Opens a model by what a user calls it: a built-in name or a card.
    pub fn open(name: &str, device: DeviceSpec, precision: PrecisionSpec) -> Result<Arc<Model>> {
        let (card, bytes, path) = find(name)?;
        let bad = |reason: String| Error::bad_file(&path, reason);
        if card.task.as_deref() != Some("codec") {
            return Err(bad(format!("its task is {:?}; expected \"codec\"", card.task.unwrap_or_default())));
        }
        let config: Config = match card.config.clone() {
            Some(config) => {
                config.try_into().map_err(|e: toml::de::Error| bad(format!("[config]: {}", e.message())))?
            }
            None => return Err(bad("it has no [config]".into())),
        };
        let short = path.file_stem().map_or(name.into(), |stem| stem.to_string_lossy().into_owned());
        let weights = weights_path(&card, &path);
        Self::load(&short, config, &bytes, device, precision, |reason| Error::bad_file(&weights, reason))
    }

    /// Loads weights that are in memory.
    pub fn load(
        name: &str,
        config: Config,
        bytes: &[u8],
        device: DeviceSpec,
        precision: PrecisionSpec,
        bad: impl Fn(String) -> Error,
    ) -> Result<Arc<Model>> {
        let device = device.resolve()?;
        let precision = self::precision(precision, device)?;
        type Cache = Mutex<HashMap<(Identity, Device, Precision), Weak<Model>>>;
        static CACHE: OnceLock<Cache> = OnceLock::new();
        let weights = Weights::read(config, bytes).map_err(bad)?;
        let key = (weights.identity, device, precision);
        let cache = || CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(model) = cache().get(&key).and_then(Weak::upgrade) {
            return Ok(model);
        }
        let Weights { identity, mut network, tables, steps, prior, still, .. } = weights;
        let ready = network.place(device.torch()).and_then(|()| {
            network.intra.prepare(precision.kind())?;
            network.inter.prepare(precision.kind())
        });
        ready.map_err(|e| Error::torch(name, e.to_string()))?;
        let name = name.to_owned();
        let model = Arc::new(Model {
            name,
            identity,
            device,
            precision,
            tables,
            prior,
            steps,
            still,
            network: Mutex::new(network),
        });
        let mut cache = cache();
        cache.retain(|_, model| model.strong_count() > 0);
        cache.insert(key, Arc::downgrade(&model));
        Ok(model)
    }
}

/// Fills the variables of a network; what serves training alone may be missing, or be too many.
pub fn fill(store: &mut nn::VarStore, bytes: &[u8]) -> Result<(), String> {
    let ignored = |name: &str| name == PRIOR || name.starts_with(TRAINING) || still::TENSORS.contains(&name);
    crate::builtin::load_weights(store, bytes, ignored)
}

/// The card, the weights and the path of a model.
pub fn find(name: &str) -> Result<(Card, Vec<u8>, std::path::PathBuf)> {
    let models = || crate::builtin::MODELS.iter().filter(|m| m.card.contains("task = \"codec\""));
    if let Some(BuiltIn { card, weights, .. }) = models().find(|m| m.name == name) {
        let path = std::path::PathBuf::from(format!("{name}.toml"));
        return Ok((Card::parse(card, &path)?, weights.to_vec(), path));
    }
    let path = std::path::PathBuf::from(name);
    if path.extension().is_none_or(|e| e != "toml") {
        let names: Vec<_> = models().map(|m| m.name).collect();
        let expected = format!("a card (.toml), or one of the built-in models of the codec: {}", names.join(", "));
        return Err(Error::BadWord { what: "model-file", value: name.into(), expected });
    }
    let card = Card::read(&path)?;
    if card.weights.is_none() {
        return Err(Error::bad_file(&path, "the card names no file: `weights = \"...\"` was expected"));
    }
    let file = weights_path(&card, &path);
    let bytes = std::fs::read(&file).map_err(|e| Error::bad_file(&file, e.to_string()))?;
    if let Some(pin) = &card.sha256 {
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if *pin != found {
            return Err(Error::bad_file(&file, format!("its sha256 is {found}; the card says {pin}")));
        }
    }
    Ok((card, bytes, path))
}

/// Where the weights of a card lie; the card itself where it names none, as built-in ones need not.
pub(super) fn weights_path(card: &Card, path: &std::path::Path) -> std::path::PathBuf {
    card.weights.as_ref().map_or_else(|| path.to_owned(), |file| path.with_file_name(file))
}

/// Synthesis is the same in fp32 and in bf16, so that `auto` is free to take the faster: bf16, unless the processor lacks it
/// and would only imitate it.
pub(super) fn precision(wanted: PrecisionSpec, device: Device) -> Result<Precision> {
    match wanted {
        PrecisionSpec::Exactly(Precision::Fp16) => Err(Error::BadWord {
            what: "precision",
            value: "fp16".into(),
            expected: "fp32 or bf16: the codec's sums do not fit into fp16".into(),
        }),
        PrecisionSpec::Exactly(precision) => Ok(precision),
        PrecisionSpec::Auto if device != Device::Cpu => Ok(Precision::Bf16),
        PrecisionSpec::Auto => Ok(if bf16_is_faster() { Precision::Bf16 } else { Precision::Fp32 }),
    }
}

fn bf16_is_faster() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let time = |kind| -> Option<std::time::Duration> {
            let _guard = tch::no_grad_guard();
            let x = Tensor::f_ones([1, 32, 32, 64], (kind, tch::Device::Cpu)).ok()?.f_permute([0, 3, 1, 2]).ok()?;
            let weight = Tensor::f_ones([64, 3, 3, 64], (kind, tch::Device::Cpu)).ok()?.f_permute([0, 3, 1, 2]).ok()?;
            let once = || {
                let start = std::time::Instant::now();
                x.f_conv2d(&weight, None::<Tensor>, 1, 1, 1, 1).ok().map(|_| start.elapsed())
            };
            (0..5).filter_map(|_| once()).min()
        };
        matches!((time(Kind::BFloat16), time(Kind::Float)), (Some(short), Some(long)) if short < long)
    })
}
