//! Follows objects from frame to frame: which box of this frame is which box of the last.

mod assignment;
mod kalman;
pub mod mot_format;
pub mod sequence;
mod tracker;

pub use assignment::assign;
pub use kalman::BoxFilter;
pub use tracker::{Config, TrackedBox, Tracker};
