//! Hosts libtorch for GstTorch: devices, model files and cards, the shared model cache, the engine that picks itself,
//! the executor that owns the cores, and frames as tensors. Knows no GStreamer.
//!
//! The way of a frame: [`planes::Preprocessor`] turns it into a tensor, [`Engine::submit`] hands that to a worker, and
//! the [`Ticket`] gives the outputs.

pub mod card;
mod choice;
pub mod device;
mod engine;
mod error;
mod executor;
mod info;
pub mod memory;
mod model;
pub mod planes;
mod program;
mod sample;
mod shape;
mod shim;
mod sources;
mod stats;

pub use choice::{Choice, cache_folder};
pub use device::{Device, DeviceSpec, Precision, PrecisionSpec};
pub use engine::{Batching, Engine, EngineSpec, Finish, MAX_BATCH, Ticket};
pub use error::{Error, Result, first_line};
pub use executor::run_on;
pub use info::{DEFAULT_MAX_ERROR, Fact, ModelInfo, Origin};
pub use model::{BuiltIn, Model, ModelFile, Networks, Trial};
pub use program::{Graph, Network, Outputs, Plan, Source};
pub use sample::Sample;
pub use shape::Shape;
pub use shim::{libtorch_version, trace};
pub use stats::Stats;
