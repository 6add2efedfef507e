//! A model of which codes follow: given the codes of the last few pictures of a [VQ-VAE](super::vqvae) it says how likely each
//! code is at each place of the next, as VideoGPT (Yan et al. 2021) does.
//!
//! A transformer that draws one code after the other runs once for every place of every picture. This one is causal in
//! *pictures* and in *groups* of places, not in single places: the places of a picture are decided in [`GROUPS`] groups, each of
//! which sees all pictures before and the groups decided already, and the codes of a group are drawn at once (as MaskGIT does,
//! Chang et al., CVPR 2022, but in a fixed order). So a picture takes four passes.
//!
//! | file | what |
//! |---|---|
//! | [`network`](self) | logits of the next codes, by a transformer or an LSTM |
//! | [`Player`] | what is drawn from them, again the same for the same seed |

mod network;
mod player;

pub use network::Sequence;
pub use player::{Player, State};

use serde::{Deserialize, Serialize};

use super::check;

/// Groups of places that are decided one after the other.
pub const GROUPS: usize = 4;

/// The group of a place: every second one each way, diagonal neighbours first.
pub fn group(x: usize, y: usize) -> usize {
    [[0, 2], [3, 1]][y % 2][x % 2]
}

/// What the next codes are made out by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Attention between all places of the next picture, each of which brings the last pictures at its place.
    Transformer,
    /// The light one: a convolutional LSTM that goes through the pictures in their order.
    Lstm,
}

/// Widths of the network; the `[config]` table of a model card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The model that codes are of: a built-in name, or a card, from the folder of this one.
    pub pictures: String,
    pub kind: Kind,
    /// Codes of a picture, across and down.
    pub grid: [i64; 2],
    /// How many different ones there are.
    pub codes: i64,
    /// Pictures that are looked back on.
    pub frames: i64,
    /// Numbers that a code is given as.
    pub embedding: i64,
    pub channels: i64,
    /// Of attention; an LSTM has none.
    pub blocks: i64,
    /// Beginnings that come with the model.
    pub starts: i64,
}

impl Config {
    pub fn new(pictures: &str, grid: [i64; 2], codes: i64, kind: Kind) -> Self {
        let (embedding, channels, blocks) = match kind {
            Kind::Transformer => (32, 192, 4),
            Kind::Lstm => (32, 96, 0),
        };
        Config { pictures: pictures.into(), kind, grid, codes, frames: 4, embedding, channels, blocks, starts: 8 }
    }

    pub fn checked(self) -> Result<Self, String> {
        check("grid", self.grid[0], 2..=64)?;
        check("grid", self.grid[1], 2..=64)?;
        check("codes", self.codes, 2..=8192)?;
        check("frames", self.frames, 1..=32)?;
        check("embedding", self.embedding, 4..=256)?;
        check("channels", self.channels, HEAD..=1024)?;
        check("blocks", self.blocks, 0..=24)?;
        check("starts", self.starts, 1..=64)?;
        if self.channels % HEAD != 0 {
            return Err(format!("[config] channels is {}; expected a multiple of {HEAD}", self.channels));
        }
        Ok(self)
    }

    /// Places of a picture.
    pub fn places(&self) -> usize {
        (self.grid[0] * self.grid[1]) as usize
    }

    /// The network's input: channels, height and width.
    pub fn input(&self) -> [i64; 3] {
        [(self.frames + 1) * self.embedding, self.grid[1], self.grid[0]]
    }
}

/// Channels of a head of attention.
const HEAD: i64 = 32;
