//! Pictures between (or after) two others: block motion, both pictures brought to the wanted time along it, and a small
//! network that fuses them. Used where frames are missing or damaged, and for more frames a second.
//!
//! | step | where | by |
//! |---|---|---|
//! | pyramids of luma, once a picture | [`Still`] | averages of 2x2 |
//! | motion through the wanted time | [`motion`] | coarse to fine, both pictures matched against each other |
//! | both pictures moved there | [`warp`] | overlapped blocks |
//! | one picture of them | [`network`] | gates and a correction, at a quarter of the resolution |
//!
//! A *time* is in units of the distance of the two pictures: 0 is the first, 1 the second, one half is midway, and times
//! beyond 1 extrapolate.

pub mod cells;
mod interpolator;
pub mod motion;
pub mod network;
mod still;
pub mod warp;

pub use interpolator::{Interpolator, Made};
pub use still::Still;
