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

pub use compensate::compensate;
pub use decide::{Cost, Field, search};
pub(crate) use reference::Padded;
pub use reference::Reference;
pub use settings::{Effort, Settings};
