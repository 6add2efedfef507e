//! The networks by task, a file each.

mod backbone;
mod filter;

use safetensors::SafeTensors;
use tch::nn::{Path, VarStore};
use tch::{Kind as Precision, TchError, Tensor};

use super::{Config, Task};

/// A network with its weights, which live in the `VarStore` it was built in.
pub struct RestoreNet(Kind);

enum Kind {
    Filter(filter::Filter),
}

impl RestoreNet {
    /// Builds the network under `path` with fresh weights: with these it gives the picture as it came, or enlarged plainly.
    ///
    /// # Errors
    /// When `config` makes no network, or libtorch cannot allocate.
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let config = config.checked().map_err(TchError::Shape)?;
        Ok(RestoreNet(match config.task {
            Task::Denoise | Task::Deblock | Task::Deblur => Kind::Filter(filter::Filter::new(path, &config)?),
            Task::SuperResolution | Task::LowLight => {
                return Err(TchError::Shape(format!("no network for {} yet", config.task)));
            }
        }))
    }

    /// The restored samples, see [`super`]; computed in the precision of `x`.
    ///
    /// # Errors
    /// When `x` is not `(N, Config::inputs(), h, w)` floating point on the device of the weights.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match &self.0 {
            Kind::Filter(net) => net.forward(x),
        }
    }
}

/// The weights of a model of any task, by a built-in name, a card or a safetensors file.
///
/// # Errors
/// When there is no such model, or it is none of the restorer's.
pub fn weights(name: &str) -> Result<Vec<u8>, String> {
    if let Some(model) = crate::builtin::MODELS.iter().find(|m| m.name == name) {
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

/// Copies from safetensors bytes what fits into the network of `store`, and says how many tensors did. A convolution of
/// fewer channels than the one that is copied takes the weights of the first ones.
///
/// # Errors
/// When nothing fits, or the bytes are no weights.
pub fn warm_start(store: &mut VarStore, bytes: &[u8]) -> Result<usize, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("the weights are not a safetensors file: {e}"))?;
    let mut taken = 0;
    for (name, mut variable) in store.variables() {
        let Ok(view) = file.tensor(&name) else { continue };
        let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(format!("tensor '{name}' is of type {:?}; expected F32", view.dtype()));
        }
        let size = variable.size();
        let smaller = shape.len() == size.len() && shape.iter().zip(&size).all(|(from, to)| from >= to);
        if !smaller {
            continue;
        }
        let mut copy = || -> Result<(), TchError> {
            let mut values = Tensor::f_from_data_size(view.data(), &shape, Precision::Float)?;
            for (dimension, &side) in size.iter().enumerate() {
                values = values.f_narrow(dimension as i64, 0, side)?;
            }
            tch::no_grad(|| variable.f_copy_(&values))
        };
        copy().map_err(|e| format!("tensor '{name}': {e}"))?;
        taken += 1;
    }
    if taken == 0 {
        return Err("no tensor of the weights fits this network".into());
    }
    Ok(taken)
}
