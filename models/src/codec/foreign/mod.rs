//! Coding 3, a user's own autoencoder: `docs/bitstream.md`, section Coding 3, and `docs/model-cards.md`, section Autoencoders.

mod card;
mod colour;
mod decoder;
mod encoder;
mod fit;
mod model;
mod quantise;
mod shape;
#[cfg(test)]
mod tests;

pub use card::{Card, NETWORK};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use model::Model;
