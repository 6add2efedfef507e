//! Detection: networks, their output layouts, and what turns outputs into boxes.

pub mod calibrate;
pub mod decode;
pub mod layout;
pub mod loss;
pub mod maps;
pub mod network;
pub mod nms;
pub mod outputs;
mod recognise;
pub mod ultraface;

pub use decode::{Params, decode};
pub use layout::{Activation, Error, Hints, Layout};
pub use outputs::Outputs;
