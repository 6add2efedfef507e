//! The networks by task, a file each.

mod backbone;
mod filter;

use tch::nn::Path;
use tch::{TchError, Tensor};

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
