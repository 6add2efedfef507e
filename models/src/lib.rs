//! The networks of GstTorch, and what belongs to a task but not to a pipeline: boxes and their suppression, the
//! tracker, losses, metrics and data sets. Knows no GStreamer.

pub mod boxes;
pub mod builtin;
pub mod checkpoint;
pub mod codec;
pub mod data;
pub mod detect;
pub mod generate;
mod in_place;
pub mod interpolate;
pub mod metrics;
pub mod restore;
pub mod track;
