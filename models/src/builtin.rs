//! The models that come with the program, and the networks that cards may name.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gst_torch_runtime::{BuiltIn, Error, ModelFile, Network, Precision, Result, Shape};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use tch::{Device, Kind, Tensor, nn};

use crate::detect::network::{Config as DetectConfig, DetectNet};
use crate::interpolate::network::{Config as FusionConfig, Fusion};
use crate::restore::Config as RestoreConfig;
use crate::restore::network::RestoreNet;

macro_rules! built_in {
    ($name:literal) => {
        BuiltIn {
            name: $name,
            card: include_str!(concat!("../cards/", $name, ".toml")),
            weights: include_bytes!(concat!("../weights/", $name, ".safetensors")),
        }
    };
}

/// All built-in models.
pub const MODELS: &[BuiltIn] = &[
    built_in!("person"),
    built_in!("cells"),
    built_in!("codec-s"),
    built_in!("codec-m"),
    built_in!("codec-vq"),
    built_in!("denoise"),
    built_in!("deblock"),
    built_in!("deblur"),
    built_in!("super-resolution-x2"),
    built_in!("super-resolution-x4"),
    built_in!("low-light"),
    built_in!("interpolate"),
    built_in!("cells-gan"),
    built_in!("scene"),
    built_in!("scene-vq"),
];

/// Opens a model by what a user calls it: a built-in name, a card or a TorchScript file.
pub fn open(name: &str) -> Result<ModelFile> {
    if let Some(model) = MODELS.iter().find(|m| m.name == name) {
        return ModelFile::built_in(model, networks);
    }
    let path = Path::new(name);
    if path.extension().is_some_and(|e| e == "toml")
        && let Ok(text) = std::fs::read_to_string(path)
        && crate::codec::foreign::Card::parse(&text, path)?.is_some()
    {
        return Err(Error::bad_file(path, "an autoencoder, which torchenc and torchdec run"));
    }
    if path.components().count() == 1 && path.extension().is_none() && !path.exists() {
        let names: Vec<_> = MODELS.iter().map(|m| m.name).collect();
        return Err(Error::BadWord {
            what: "model",
            value: name.into(),
            expected: format!("a file, or one of the built-in models: {}", names.join(", ")),
        });
    }
    ModelFile::open(path, networks)
}

/// The weights of a model, by a built-in name, a card or a safetensors file.
///
/// # Errors
/// When there is no such model, or no such file.
pub fn weights(name: &str) -> Result<Vec<u8>, String> {
    if let Some(model) = MODELS.iter().find(|m| m.name == name) {
        return Ok(model.weights.to_vec());
    }
    let mut path = std::path::PathBuf::from(name);
    if path.extension().is_some_and(|e| e == "toml") {
        let card = gst_torch_runtime::card::Card::read(&path).map_err(|e| e.to_string())?;
        let file = card.weights.ok_or_else(|| format!("{name} names no weights"))?;
        path.set_file_name(file);
    }
    std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The networks that a card's `network` may name.
pub fn networks(name: &str, config: &toml::Table, weights: Vec<u8>) -> Result<Arc<dyn Network>, String> {
    let build: Build = match name {
        "detect" => {
            let config = DetectConfig::deserialize(config.clone()).map_err(|e| format!("[config]: {}", e.message()))?;
            Box::new(move |vs| {
                let net = DetectNet::new(vs, &config).map_err(|e| e.to_string())?;
                Ok(Box::new(move |x| net.forward_t(x, false)))
            })
        }
        "interpolate" => {
            let config = FusionConfig::deserialize(config.clone()).map_err(|e| format!("[config]: {}", e.message()))?;
            let config = config.checked()?;
            Box::new(move |vs| {
                let net = Fusion::new(vs, config).map_err(|e| e.to_string())?;
                Ok(Box::new(move |x| Ok(vec![net.forward(x)?])))
            })
        }
        "restore" => {
            let config =
                RestoreConfig::deserialize(config.clone()).map_err(|e| format!("[config]: {}", e.message()))?;
            let config = config.checked()?;
            Box::new(move |vs| {
                let net = RestoreNet::new(vs, &config).map_err(|e| e.to_string())?;
                Ok(Box::new(move |x| Ok(vec![net.forward(x)?])))
            })
        }
        "codec" => {
            let config =
                config.clone().try_into().map_err(|e: toml::de::Error| format!("[config]: {}", e.message()))?;
            crate::codec::model::Weights::read(config, &weights)?;
            return Ok(Arc::new(RunElsewhere { by: "torchenc and torchdec", bytes: weights.len() as u64 }));
        }
        "codec-vector" => {
            let config: crate::codec::vector::network::Config =
                config.clone().try_into().map_err(|e: toml::de::Error| format!("[config]: {}", e.message()))?;
            crate::codec::vector::read(&config.checked()?, &weights)?;
            return Ok(Arc::new(RunElsewhere { by: "torchenc and torchdec", bytes: weights.len() as u64 }));
        }
        _ => match crate::generate::Config::read(name, config) {
            Some(config) => {
                let config = config?;
                Box::new(move |vs| {
                    let net = config.build(vs).map_err(|e| e.to_string())?;
                    Ok(Box::new(move |x| Ok(vec![net.forward(x)?])))
                })
            }
            None => {
                let generators = crate::generate::NETWORKS.join(", ");
                return Err(format!(
                    "network = \"{name}\" is not known; known: detect, restore, interpolate, codec, codec-vector, {generators}"
                ));
            }
        },
    };
    let network = Traced { build, weights, archives: Mutex::default() };
    drop(network.instantiate()?); // a bad file is told when it is named, not when it first runs
    Ok(Arc::new(network))
}

/// A network that the engine does not run: its card and weights are checked and shown, no more.
struct RunElsewhere {
    by: &'static str,
    bytes: u64,
}

impl Network for RunElsewhere {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn torchscript(&self, _: Shape, _: Precision) -> Result<Arc<Vec<u8>>, String> {
        Err(format!("this kind of model is run by {}", self.by))
    }
}

type Forward = Box<dyn Fn(&Tensor) -> Result<Vec<Tensor>, tch::TchError>>;
type Build = Box<dyn Fn(&nn::Path) -> Result<Forward, String> + Send + Sync>;

/// The bytes of a TorchScript file.
type Archive = Arc<Vec<u8>>;

/// A network written in Rust, turned into TorchScript by running it once under the tracer.
struct Traced {
    build: Build,
    weights: Vec<u8>,
    /// Traced already; the engine asks several times for the same shape while it compares plans.
    archives: Mutex<HashMap<(Shape, Precision), Archive>>,
}

impl Traced {
    fn instantiate(&self) -> Result<(nn::VarStore, Forward), String> {
        let mut store = nn::VarStore::new(Device::Cpu);
        let forward = (self.build)(&store.root())?;
        load_weights(&mut store, &self.weights, |_| false)?;
        Ok((store, forward))
    }

    fn trace(&self, shape: Shape, precision: Precision) -> Result<Vec<u8>, String> {
        let (mut store, forward) = self.instantiate()?;
        store.freeze(); // the tracer takes no tensor that wants a gradient
        if precision != Precision::Fp32 {
            store.set_kind(precision.kind());
        }
        let input = Tensor::f_zeros(shape.dims(), (precision.kind(), Device::Cpu)).map_err(|e| e.to_string())?;
        gst_torch_runtime::trace(&input, |input| forward(input))
    }
}

impl Network for Traced {
    fn bytes(&self) -> u64 {
        self.weights.len() as u64
    }

    fn torchscript(&self, shape: Shape, precision: Precision) -> Result<Arc<Vec<u8>>, String> {
        let mut archives = self.archives.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(archive) = archives.get(&(shape, precision)) {
            return Ok(Arc::clone(archive));
        }
        let archive = Arc::new(self.trace(shape, precision)?);
        archives.insert((shape, precision), Arc::clone(&archive));
        Ok(archive)
    }
}

/// Fills every variable of `store` from safetensors bytes; an error names the tensor that is missing, of another
/// shape, or not expected. Tensors that are `ignored` may be missing or too many.
pub fn load_weights(store: &mut nn::VarStore, bytes: &[u8], ignored: impl Fn(&str) -> bool) -> Result<(), String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("the weights are not a safetensors file: {e}"))?;
    let variables = store.variables();
    let extra = |name: &&&String| !variables.contains_key(name.as_str()) && !ignored(name);
    if let Some(extra) = file.names().iter().find(extra) {
        return Err(format!("the weights have a tensor '{extra}' that the network does not"));
    }
    for (name, mut variable) in variables {
        let view = match file.tensor(&name) {
            Ok(view) => view,
            Err(_) if ignored(&name) => continue,
            Err(_) => return Err(format!("the weights lack the tensor '{name}'")),
        };
        let shape: Vec<i64> = view.shape().iter().map(|&d| d as i64).collect();
        if shape != variable.size() {
            return Err(format!("tensor '{name}' is {shape:?} in the weights; expected {:?}", variable.size()));
        }
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::I64 => Kind::Int64,
            other => return Err(format!("tensor '{name}' is of type {other:?}; expected F32, F16, BF16 or I64")),
        };
        let values =
            Tensor::f_from_data_size(view.data(), &shape, kind).map_err(|e| format!("tensor '{name}': {e}"))?;
        if !bool::try_from(values.isfinite().all()).unwrap_or(false) {
            return Err(format!("tensor '{name}' holds values that are infinite or no numbers"));
        }
        tch::no_grad(|| variable.f_copy_(&values)).map_err(|e| format!("tensor '{name}': {e}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_model_opens_and_says_what_it_is() {
        for model in MODELS {
            let file = open(model.name).unwrap();
            let task = file.info.task.value.as_deref();
            let known = matches!(task, Some("detect" | "codec" | "restore" | "interpolate" | "generate"));
            assert!(known, "{}: {task:?}", model.name);
            assert_eq!(file.info.labels.value.is_empty(), task != Some("detect"), "{}", model.name);
            assert!(file.info.licence.value.is_some(), "{}", model.name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = open("persn").unwrap_err().to_string();
        let known = "person, cells, codec-s, codec-m, codec-vq, denoise, deblock, deblur, super-resolution-x2, super-resolution-x4, low-light, interpolate, cells-gan, scene, scene-vq";
        assert!(error.contains("persn") && error.contains(known), "{error}");
    }

    #[test]
    fn weights_that_do_not_fit_name_the_tensor() {
        let person = MODELS[0];
        let card: toml::Table = toml::from_str(person.card).unwrap();
        let mut config = card["config"].as_table().unwrap().clone();
        let fails = |config: &toml::Table, weights: &[u8]| networks("detect", config, weights.to_vec()).err().unwrap();
        assert!(fails(&config, b"").contains("not a safetensors file"));
        assert!(fails(&config, &person.weights[..person.weights.len() / 2]).contains("not a safetensors file"));
        config.insert("classes".into(), 7.into());
        let error = fails(&config, person.weights);
        assert!(error.contains("tensor '") && error.contains("expected"), "{error}");
        assert!(fails(&toml::Table::new(), person.weights).contains("[config]"));
    }

    #[test]
    fn weights_that_are_no_numbers_name_the_tensor() {
        for value in [f32::NAN, f32::INFINITY] {
            let mut store = nn::VarStore::new(Device::Cpu);
            let _ = store.root().f_var("gain", &[4], nn::Init::Const(1.0)).unwrap();
            let bytes: Vec<u8> = [0.0, 1.0, value, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
            let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![4], &bytes).unwrap();
            let file = safetensors::serialize([("gain", view)], &None).unwrap();
            let error = load_weights(&mut store, &file, |_| false).unwrap_err();
            assert!(error.contains("tensor 'gain'"), "{error}");
        }
    }
}
