//! The autoencoder codec, without GStreamer: `docs/bitstream.md` says what the stream is, this is how it is made and read.

pub mod picture;
pub mod symbols;
