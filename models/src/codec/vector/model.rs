//! Models of the vector-quantised coding, loaded once for the whole process, and shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use gst_torch_runtime::{Device, DeviceSpec, Error, Precision, PrecisionSpec, Result};
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};
use tch::{Kind, nn};

use super::network::{Config, Network};
use crate::codec::entropy::{Prior, latents::Latents};
use crate::codec::model::{PRIOR, precision};
use crate::codec::stream::{Header, Identity};

/// A model on a device, ready to run.
pub struct Model {
    pub name: String,
    pub identity: Identity,
    pub device: Device,
    pub precision: Precision,
    /// Levels of each digit to either side of zero.
    pub(super) reach: Vec<i32>,
    prior: Option<Prior>,
    /// Tensors may be sent but not shared; each user takes his own handles.
    network: Mutex<Network>,
}

/// Takes a safetensors file apart; errors name the tensor.
pub fn read(config: &Config, bytes: &[u8]) -> Result<(Network, Option<Prior>), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("the weights are not a safetensors file: {e}"))?;
    let prior = match file.tensor(PRIOR) {
        Ok(view) => {
            let prior = latents(&config.reach(), 1, 1)?.read_prior(view.data());
            Some(prior.map_err(|e| format!("tensor '{PRIOR}': {e}"))?)
        }
        Err(_) => None,
    };
    let mut store = nn::VarStore::new(tch::Device::Cpu);
    let network = Network::new(&store.root(), config).map_err(|e| e.to_string())?;
    crate::builtin::load_weights(&mut store, bytes, |name| name == PRIOR)?;
    store.freeze();
    Ok((network, prior))
}

/// A coder of arrays of digits that has learnt nothing yet.
fn latents(reach: &[i32], height: usize, width: usize) -> Result<Latents, String> {
    let most = reach.iter().copied().max().unwrap_or(1);
    Ok(Latents::new(reach.len(), height, width, -most, most)?.lively())
}

impl Model {
    pub fn load(
        name: &str,
        config: Config,
        bytes: &[u8],
        device: DeviceSpec,
        wanted: PrecisionSpec,
        bad: impl Fn(String) -> Error,
    ) -> Result<Arc<Model>> {
        let device = device.resolve()?;
        let precision = precision(wanted, device)?;
        type Cache = Mutex<HashMap<(Identity, Device, Precision), Weak<Model>>>;
        static CACHE: OnceLock<Cache> = OnceLock::new();
        let mut identity = Identity::default();
        identity.copy_from_slice(&Sha256::digest(bytes)[..16]);
        let key = (identity, device, precision);
        let cache = || CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(model) = cache().get(&key).and_then(Weak::upgrade) {
            return Ok(model);
        }
        let config = config.checked().map_err(&bad)?;
        let (mut network, prior) = read(&config, bytes).map_err(&bad)?;
        network.prepare(device.torch(), precision.kind()).map_err(|e| Error::torch(name, e.to_string()))?;
        let reach = config.reach();
        let network = Mutex::new(network);
        let model = Arc::new(Model { name: name.into(), identity, device, precision, reach, prior, network });
        let mut cache = cache();
        cache.retain(|_, model| model.strong_count() > 0);
        cache.insert(key, Arc::downgrade(&model));
        Ok(model)
    }

    pub fn digits(&self) -> usize {
        self.reach.len()
    }

    pub(super) fn kind(&self) -> Kind {
        self.precision.kind()
    }

    /// Handles of the network's tensors.
    pub(super) fn network(&self) -> Network {
        self.network.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).share()
    }

    /// Coders of the slices' digits, as at a key frame.
    pub(super) fn coders(&self, header: &Header) -> Vec<Latents> {
        let (columns, _) = header.blocks();
        let coder = |rows: std::ops::Range<usize>| {
            // The shape follows from a checked header and a checked config.
            let mut coder = latents(&self.reach, rows.len() * 2, columns * 2).expect("sizes of pictures fit");
            self.restart(&mut coder);
            coder
        };
        header.slices().map(coder).collect()
    }

    pub(super) fn restart(&self, coder: &mut Latents) {
        match &self.prior {
            Some(prior) => coder.begin(prior),
            None => coder.reset(),
        }
    }
}
