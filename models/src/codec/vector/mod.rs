//! Coding 2, vector-quantised pictures: `docs/bitstream.md`, section Coding 2.

mod decoder;
mod encoder;
mod model;
pub mod network;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use model::{Model, read};

/// Step indices between which another number of digits is sent.
const STEPS: std::ops::RangeInclusive<u8> = 20..=120;

/// How many of `digits` are sent at a step index.
fn kept(step: u8, digits: usize) -> usize {
    let past = usize::from(step.clamp(*STEPS.start(), *STEPS.end()) - STEPS.start());
    digits - past * (digits - 1) / usize::from(STEPS.end() - STEPS.start())
}
