//! Model files: found, examined, loaded once for the whole process, and shared without anybody asking for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::SystemTime;

use once_cell::sync::OnceCell;
use sha2::{Digest, Sha256};
use tch::Tensor;

use crate::card::Card;
use crate::choice::{self, Question, hex};
use crate::device::{Device, DeviceSpec, PrecisionSpec};
use crate::engine::{Engine, EngineSpec};
use crate::error::{Error, Result};
use crate::info::{Claims, ModelInfo, Origin};
use crate::program::{self, Network, Outputs, Plan, Program, Source};
use crate::sample::Sample;
use crate::shape::Shape;
use crate::{shim, sources};

/// Builds a network of ours by the name that a card gives, from the card's config and the bytes of its weights.
pub type Networks = fn(name: &str, config: &toml::Table, weights: Vec<u8>) -> Result<Arc<dyn Network>, String>;

/// A model that comes with the program.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    pub name: &'static str,
    pub card: &'static str,
    pub weights: &'static [u8],
}

/// A model that was found and examined, not loaded.
#[derive(Clone)]
pub struct ModelFile {
    pub info: ModelInfo,
    pub source: Source,
    /// Tells this file, at this state, from every other.
    identity: String,
}

impl std::fmt::Debug for ModelFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelFile").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl ModelFile {
    pub fn built_in(model: &BuiltIn, networks: Networks) -> Result<ModelFile> {
        let path = PathBuf::from(format!("{}.toml (built in)", model.name));
        let card = Card::parse(model.card, &path)?;
        Self::from_network(model.name.to_owned(), &card, &path, model.weights.to_vec(), networks)
    }

    /// A card (`.toml`) or a TorchScript file, beside which a card or a `.modelinfo` may lie.
    pub fn open(path: &Path, networks: Networks) -> Result<ModelFile> {
        let name = path.display().to_string();
        if path.extension().is_some_and(|e| e == "toml") {
            let card = Card::read(path)?;
            let Some(weights) = &card.weights else {
                return Err(Error::bad_file(path, "the card names no file: `weights = \"...\"` was expected"));
            };
            let weights_path = path.parent().unwrap_or(Path::new(".")).join(weights);
            if card.network.is_some() {
                let bytes = read(&weights_path)?;
                return Self::from_network(name, &card, path, bytes, networks);
            }
            return Self::from_torchscript(name, &weights_path, Some((card, path)));
        }
        let card_path = path.with_extension("toml");
        let card = if card_path.is_file() { Some(Card::read(&card_path)?) } else { None };
        Self::from_torchscript(name, path, card.map(|card| (card, card_path.as_path())))
    }

    fn from_network(
        name: String,
        card: &Card,
        card_path: &Path,
        weights: Vec<u8>,
        networks: Networks,
    ) -> Result<ModelFile> {
        let sha256 = hex(&Sha256::digest(&weights));
        check_pin(card, card_path, &sha256)?;
        let network = card.network.clone().unwrap_or_default();
        let config = card.config.clone().unwrap_or_default();
        let bytes = weights.len() as u64;
        let built = networks(&network, &config, weights).map_err(|reason| Error::bad_file(card_path, reason))?;
        let identity = format!("{sha256} {network} {config} {card:?}");
        let claims = [
            (sources::from_card(card), Origin::Card),
            (Claims::default(), Origin::ModelInfo),
            (Claims::default(), Origin::Embedded),
        ];
        let info = ModelInfo::merge(name, Some(network), sha256, bytes, config, claims);
        Ok(ModelFile { info, source: Source::Network(built), identity })
    }

    fn from_torchscript(name: String, path: &Path, card: Option<(Card, &Path)>) -> Result<ModelFile> {
        if path.extension().is_some_and(|e| e == "pt2") {
            return Err(Error::bad_file(path, "AOTInductor packages (.pt2) are not supported yet; export TorchScript"));
        }
        let (sha256, bytes, file_state) = digest(path)?;
        if bytes == 0 {
            return Err(Error::bad_file(path, "the file is empty; a TorchScript file was expected"));
        }
        let embedded = sources::embedded(path)?;
        let source = match card.as_ref().and_then(|(card, path)| Some((card.call.as_ref()?, path))) {
            None => Source::File(path.to_owned()),
            Some((call, card_path)) => {
                let archive = shim::call(path, call).map_err(|thrown| {
                    let reason = crate::error::first_line(&thrown.message);
                    Error::bad_file(card_path, format!("call = {call:?} of {}: {reason}", path.display()))
                })?;
                Source::Archive(Arc::new(archive))
            }
        };
        let mut identity = format!("{file_state} ");
        let config = card.as_ref().and_then(|(card, _)| card.config.clone()).unwrap_or_default();
        let card_claims = match &card {
            Some((card, card_path)) => {
                check_pin(card, card_path, &sha256)?;
                identity += &format!("{card:?}");
                sources::from_card(card)
            }
            None => Claims::default(),
        };
        let modelinfo = modelinfo_text(path).unwrap_or_default();
        identity += &modelinfo;
        let claims = [
            (card_claims, Origin::Card),
            (sources::from_modelinfo(&modelinfo), Origin::ModelInfo),
            (embedded, Origin::Embedded),
        ];
        let info = ModelInfo::merge(name, None, sha256, bytes, config, claims);
        Ok(ModelFile { info, source, identity })
    }

    /// Takes a property's word over what the file says.
    pub fn with_labels(mut self, labels: Vec<String>) -> Self {
        self.identity += &format!(" labels {labels:?}");
        self.info.labels = crate::info::Fact::new(labels, Origin::Property);
        self
    }

    /// An error where the model says that it is made for another task.
    pub fn expect_task(self, wanted: &str) -> Result<Self> {
        match &self.info.task.value {
            Some(found) if found != wanted => {
                Err(Error::WrongTask { model: self.info.name.clone(), found: found.clone(), wanted: wanted.to_owned() })
            }
            _ => Ok(self),
        }
    }

    /// The loaded model: the one that the process has already, or a new one.
    pub fn load(&self, device: DeviceSpec, precision: PrecisionSpec) -> Result<Arc<Model>> {
        let device = device.resolve()?;
        precision.candidates(device)?;
        let cell = shared_cell((self.identity.clone(), device, precision));
        // Two elements that start together wait for one load; a failed load is tried again by the next.
        let mut slot = cell.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(model) = slot.upgrade() {
            return Ok(model);
        }
        let (memory, takes_list) = program::examine(&self.info.name, &self.source)?;
        let model = Arc::new(Model {
            info: self.info.clone(),
            source: self.source.clone(),
            device,
            precision,
            memory,
            takes_list,
            engines: Mutex::default(),
        });
        *slot = Arc::downgrade(&model);
        Ok(model)
    }
}

type Key = (String, Device, PrecisionSpec);
type Slot = Arc<Mutex<Weak<Model>>>;

/// The place of a model in the process-wide cache. Weak: a model goes when the last element that uses it does.
fn shared_cell(key: Key) -> Slot {
    static CACHE: OnceLock<Mutex<HashMap<Key, Slot>>> = OnceLock::new();
    let mut cache = CACHE.get_or_init(Mutex::default).lock().unwrap();
    // Slots of models that are gone and that nobody is loading are swept, so that weeks of swaps do not add up.
    cache.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|weak| weak.strong_count() > 0));
    Arc::clone(cache.entry(key).or_default())
}

type EngineCell = Arc<OnceCell<Arc<Engine>>>;

/// A model on a device; its engines, one a shape, are made when first wanted.
pub struct Model {
    info: ModelInfo,
    source: Source,
    device: Device,
    precision: PrecisionSpec,
    memory: u64,
    takes_list: bool,
    engines: Mutex<Vec<(EngineSpec, EngineCell)>>,
}

/// What came of one pass, see [`Model::try_on`].
#[derive(Debug)]
pub struct Trial {
    pub outputs: Outputs,
    /// The most bytes that the pass had allocated at one time.
    pub peak: u64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.info.name).field("device", &self.device).finish_non_exhaustive()
    }
}

impl Model {
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    pub fn device(&self) -> Device {
        self.device
    }

    /// Where its code and weights come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Bytes of the weights, as stored.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Whether it takes a list of pictures of any size and scales them itself, as torchvision's detectors do.
    pub fn takes_list(&self) -> bool {
        self.takes_list
    }

    /// The engine for pictures of this size, measured and warmed before it is handed out.
    pub fn engine(&self, channels: usize, height: usize, width: usize) -> Result<Arc<Engine>> {
        self.engine_for(self.picture(channels, [height, width], None))
    }

    /// As [`engine`](Self::engine), by the plan of pictures of the size `like`; both are height and width.
    pub fn engine_like(&self, channels: usize, size: [usize; 2], like: [usize; 2]) -> Result<Arc<Engine>> {
        self.engine_for(self.picture(channels, size, Some(like)))
    }

    fn picture(&self, channels: usize, size: [usize; 2], like: Option<[usize; 2]>) -> EngineSpec {
        let shape = |[height, width]: [usize; 2]| [1, channels as i64, height as i64, width as i64].into();
        let (low, high) = self.input_range();
        let sample = Sample::Picture { low, high };
        EngineSpec { shape: shape(size), sample, repeatable: false, like: like.map(shape) }
    }

    /// The engine for any input.
    pub fn engine_for(&self, spec: EngineSpec) -> Result<Arc<Engine>> {
        let cell = {
            let mut engines = self.engines.lock().unwrap();
            match engines.iter().find(|(of, _)| *of == spec) {
                Some((_, cell)) => Arc::clone(cell),
                None => {
                    let cell = EngineCell::default();
                    engines.push((spec, Arc::clone(&cell)));
                    cell
                }
            }
        };
        cell.get_or_try_init(|| {
            let question = Question {
                model: self.info.name.clone(),
                sha256: self.info.sha256.clone(),
                source: self.source.clone(),
                device: self.device,
                precision: self.precision,
                shape: spec.shape,
                sample: spec.sample,
                max_error: self.info.max_error.value,
                repeatable: spec.repeatable,
                only: None,
            };
            let choice = match spec.like {
                Some(like) => choice::choose_like(&question, like)?,
                None => choice::choose(&question)?,
            };
            Engine::new(self.info.name.clone(), self.source.clone(), self.device, spec, choice)
        })
        .cloned()
    }

    /// Runs the network once on `input`, whose first dimension is the batch, in fp32 and with nothing prepared: for finding out what it takes, gives
    /// and needs. Slow; outputs are on the CPU.
    pub fn try_on(&self, input: Tensor) -> Result<Trial> {
        let mismatch = || Error::torch(&self.info.name, format!("no input of {:?}", input.size()));
        let shape = Shape::new(&input.size()).ok_or_else(mismatch)?;
        let (name, source, device) = (self.info.name.clone(), self.source.clone(), self.device);
        let run = move || -> Result<Trial> {
            let program = Program::load(&name, &source, device, Plan::REFERENCE, shape)?;
            let (outputs, peak) = program.run_metered(&input)?;
            let hosted = crate::engine::host_all(&outputs).map_err(|e| Error::torch(&name, e.to_string()))?;
            Ok(Trial { outputs: hosted, peak })
        };
        let panicked = |reason| Err(Error::Panic { model: self.info.name.clone(), reason });
        crate::executor::run_on(self.device, run).unwrap_or_else(panicked)
    }

    fn input_range(&self) -> (f64, f64) {
        let value = |v: f32| f64::from((v / self.info.scale.value - self.info.mean.value[0]) / self.info.std.value[0]);
        (value(0.0), value(255.0))
    }
}

fn check_pin(card: &Card, card_path: &Path, sha256: &str) -> Result<()> {
    match &card.sha256 {
        Some(pin) if !pin.eq_ignore_ascii_case(sha256) => Err(Error::bad_file(
            card_path,
            format!(
                "it pins sha256 {pin}, but the file {} has {sha256}",
                card.weights.as_deref().unwrap_or("beside it")
            ),
        )),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::NotFound { path: path.into(), reason: e.to_string() })
}

/// Sum, size and state (place and time of change) of a file; summed once for each state.
fn digest(path: &Path) -> Result<(String, u64, String)> {
    let not_found = |e: std::io::Error| Error::NotFound { path: path.into(), reason: e.to_string() };
    let real = std::fs::canonicalize(path).map_err(not_found)?;
    let meta = std::fs::metadata(&real).map_err(not_found)?;
    if !meta.is_file() {
        return Err(Error::bad_file(path, "it is not a file"));
    }
    let changed = meta.modified().ok().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    let state = format!("{} {} {}", real.display(), meta.len(), changed.as_nanos());
    static SUMS: OnceLock<Mutex<HashMap<String, String>>> = OnceLock::new();
    let sums = SUMS.get_or_init(Mutex::default);
    if let Some(sum) = sums.lock().unwrap().get(&state) {
        return Ok((sum.clone(), meta.len(), state));
    }
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(&real).map_err(not_found)?, &mut hasher).map_err(not_found)?;
    let sum = hex(&hasher.finalize());
    sums.lock().unwrap().insert(state.clone(), sum.clone());
    Ok((sum, meta.len(), state))
}

/// `<model>.modelinfo` beside the model, with or without the model's own ending.
fn modelinfo_text(path: &Path) -> Option<String> {
    let mut appended = path.as_os_str().to_owned();
    appended.push(".modelinfo");
    [PathBuf::from(appended), path.with_extension("modelinfo")].iter().find_map(|p| std::fs::read_to_string(p).ok())
}
