//! The entropy coder: symbols of a picture into bytes, and back, bit for bit the same on every machine.
//!
//! [`Coder`] adapts to what it codes, beginning from a [`Prior`]; [`latents`] does the same for any array of whole numbers;
//! [`cost`] guesses beforehand what a cell will take.

mod blocks;
mod check;
mod coder;
pub mod cost;
mod edges;
pub mod latents;
mod levels;
mod mean;
mod mixing;
mod near;
mod prior;
mod range;
pub mod scan;
mod steps;
#[cfg(test)]
mod tests;

pub use check::check;
pub use coder::{Coder, Damage};
pub use prior::Prior;
pub use steps::Steps;
