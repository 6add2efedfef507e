//! Quality figures.

pub mod ap;
pub mod mot;
