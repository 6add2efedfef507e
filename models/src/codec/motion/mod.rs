//! Block motion: finding where the blocks of a picture were in the picture before, and predicting it from there.
//!
//! Vectors are in quarters of a luma sample. A decoder needs [`Reference`] and [`compensate`], which are exact integers
//! and safe for any vector; an encoder adds [`search`], which chooses modes and vectors by their estimated cost in
//! distortion and bits.

mod compensate;
mod decide;
mod integer;
pub mod interpolate;
mod lanes;
pub mod measure;
mod reference;
mod refine;
mod settings;
mod wave;

pub use compensate::compensate;
pub use decide::search;
pub(crate) use reference::Padded;
pub use reference::Reference;
pub use settings::{Effort, Settings};

/// More threads would wait for each other.
const THREADS_MAX: usize = 8;

/// How many threads share the blocks of a picture.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}
