//! What the networks of the restorer have in common, whoever made them.

use gst_torch_runtime::planes::{self, FrameInfo, PixelFormat, Preprocessor};
use gst_torch_runtime::{Error, Model, Result};
use serde::Deserialize;

use super::custom::{Custom, Kind, Wishes};
use super::{Config, SAMPLES};

/// What a network takes and gives.
pub enum Interface {
    /// A built-in one, which takes samples.
    Samples(Config),
    Custom {
        custom: Custom,
        reader: Box<Preprocessor>,
    },
}

impl Interface {
    pub fn of(model: &Model, frame: &FrameInfo, wishes: &Wishes) -> Result<Interface> {
        let info = model.info();
        if !info.config.is_empty() {
            let config = Config::deserialize(info.config.clone()).map_err(|e| e.message().to_owned());
            let config = config.and_then(Config::checked);
            return config
                .map(Interface::Samples)
                .map_err(|reason| Error::Mismatch { model: info.name.clone(), reason });
        }
        let custom = Custom::recognise(model, wishes)?;
        let reader = Preprocessor::same_size(frame, &custom.spec(frame.width, frame.height))?;
        Ok(Interface::Custom { custom, reader: Box::new(reader) })
    }

    /// How many times larger the pictures of a network are than what it takes.
    ///
    /// # Errors
    /// When it restores no pictures.
    pub fn scale_of(model: &Model, wishes: &Wishes) -> Result<usize> {
        let one = FrameInfo::new(PixelFormat::Rgb, 1, 1);
        Self::of(model, &one, wishes).map(|interface| interface.scale())
    }

    pub fn scale(&self) -> usize {
        match self {
            Interface::Samples(config) => config.scale as usize,
            Interface::Custom { custom, .. } => custom.scale,
        }
    }

    /// Pixels of the frame to one of the maps.
    pub fn unit(&self) -> usize {
        match self {
            Interface::Samples(_) => 2,
            Interface::Custom { .. } => 1,
        }
    }

    /// Half the receptive field in pixels of the maps, where it is known; what shows of it is less.
    pub fn farthest(&self) -> Option<usize> {
        match self {
            Interface::Samples(config) => Some(config.reach().div_ceil(2)),
            Interface::Custom { .. } => None,
        }
    }

    /// Whether it sees what it made of the frame before.
    pub fn is_recurrent(&self) -> bool {
        matches!(self, Interface::Samples(config) if config.history)
    }

    /// Sides of the maps have to be multiples of this, and tiles begin at multiples.
    pub fn multiple(&self) -> usize {
        match self {
            Interface::Samples(config) => config.grid().div_ceil(2),
            Interface::Custom { custom, .. } => custom.multiple,
        }
    }

    /// The one size of maps that it takes.
    pub fn size(&self) -> Option<[usize; 2]> {
        match self {
            Interface::Samples(_) => None,
            Interface::Custom { custom, .. } => custom.size,
        }
    }

    /// Channels of the input.
    pub fn channels(&self) -> usize {
        match self {
            Interface::Samples(config) => config.inputs() as usize,
            Interface::Custom { custom, .. } => custom.channels(),
        }
    }

    /// Channels of the output that counts, and its number.
    pub fn outputs(&self) -> (usize, usize) {
        match self {
            Interface::Samples(_) => (SAMPLES as usize, 0),
            Interface::Custom { custom, .. } => (custom.channels(), custom.tensor),
        }
    }

    /// Whether it changes what is in the frame already, and does not write all of it.
    pub fn adds(&self, format: PixelFormat) -> bool {
        match self {
            Interface::Samples(_) => false,
            Interface::Custom { custom, .. } => {
                custom.colour == planes::Colour::Gray && format != PixelFormat::Gray8
                    || custom.scale > 1 && custom.kind != Kind::Image
            }
        }
    }
}
