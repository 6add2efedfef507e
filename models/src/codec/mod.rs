//! The autoencoder codec, without GStreamer: `docs/bitstream.md` says what the stream is, this is how it is made and read.

mod analysis;
pub mod any;
mod array;
pub mod basis;
pub mod canvas;
mod cells;
pub mod control;
pub mod decoder;
pub mod detail;
pub mod encoder;
pub mod entropy;
pub mod exact;
pub mod filter;
pub mod foreign;
pub mod grow;
mod guess;
pub mod model;
pub mod motion;
pub mod network;
pub mod picture;
pub mod quantise;
pub mod rate;
pub mod still;
pub mod stream;
pub mod symbols;
pub mod tensors;
pub mod tone;
pub mod transform;
pub mod vector;

/// What tests of several codings share.
#[cfg(test)]
mod testing;
