//! The restorer, without GStreamer: networks that make noisy, compressed, soft, small or dark pictures good.
//!
//! # What a built-in network takes and gives
//!
//! A network of this module is a pure function of one tensor to one tensor, which the runtime's engine traces and runs. What
//! it remembers between frames is an input like any other.
//!
//! **Samples** are a 4:2:0 picture as it is, in its own range and matrix: `(N, 6, h, w)` with `h = ceil(H / 2)` and
//! `w = ceil(W / 2)`. Channels 0 to 3 are the luma samples of a 2x2 cell in reading order (that of `pixel_unshuffle`), 4 is
//! U, 5 is V. Odd sizes repeat their last row and column. A sample of 8 bits is `value / 256` ([`UNIT`]), so that bf16 holds
//! it exactly. [`samples`] converts.
//!
//! **Input** is `(N, Config::inputs(), h, w)`:
//!
//! | channels | what | when |
//! |---|---|---|
//! | 6 | the samples of the frame to be restored | always |
//! | 6 | the samples of the frame restored before, moved to where things are now ([`align`]); all 0 where there is none, or where it shows something else. 0 is no colour (YUV of 0, 0, 0), so that it is not mistaken for one | `history` |
//! | 1 | the standard deviation of the noise in levels of 8 bits, divided by 64 ([`LEVEL_UNIT`]) | `level` |
//! | 12 | how light the whole picture is ([`tones`]) | `tones` |
//!
//! **Output** is `(N, 6, h * scale, w * scale)`: the samples of the restored picture itself. They may leave 0 to 1 a little;
//! who writes them into a frame rounds and clamps.

pub mod align;
pub mod colour;
pub mod compose;
pub mod custom;
pub mod degrade;
pub mod frames;
pub mod interface;
pub mod maps;
pub mod memory;
pub mod network;
pub mod noise;
mod recurrence;
pub mod restorer;
pub mod samples;
pub mod steady;
pub mod tiler;
pub mod tiles;
pub mod tones;
mod windows;

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use network::{MEANS, curve};
use samples::Frame;
use serde::{Deserialize, Serialize};
use tones::TONES;

/// Channels of the samples of a picture.
pub const SAMPLES: i64 = 6;

/// A sample of 8 bits is divided by this. With 256, bf16 holds every one of them exactly, and what bf16 rounds the output to
/// is what 8 bits round it to.
pub const UNIT: f64 = 256.0;

/// Luma of black and white in levels of 8 bits: limited range, as nearly all video has.
pub const BLACK: f64 = 16.0;
pub const WHITE: f64 = 235.0;

/// A noise level, the standard deviation in levels of 8 bits, is divided by this.
pub const LEVEL_UNIT: f64 = 64.0;

/// What is to be made good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Noise of sensors, or of analogue lines.
    Denoise,
    /// What lossy compression left: blocks, ringing.
    Deblock,
    /// Motion and focus blur.
    Deblur,
    /// More pixels.
    SuperResolution,
    /// Too little light.
    LowLight,
}

impl Task {
    pub const ALL: [Task; 5] = [Task::Denoise, Task::Deblock, Task::Deblur, Task::SuperResolution, Task::LowLight];

    pub fn name(self) -> &'static str {
        match self {
            Task::Denoise => "denoise",
            Task::Deblock => "deblock",
            Task::Deblur => "deblur",
            Task::SuperResolution => "super-resolution",
            Task::LowLight => "low-light",
        }
    }

    /// The built-in model of the task; `scale` matters to super-resolution only.
    pub fn model(self, scale: i64) -> &'static str {
        match (self, scale) {
            (Task::SuperResolution, 4) => "super-resolution-x4",
            (Task::SuperResolution, _) => "super-resolution-x2",
            (task, _) => task.name(),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Task::ALL.map(Task::name).join(", ");
        let task = Task::ALL.into_iter().find(|task| task.name() == text);
        task.ok_or_else(|| format!("\"{text}\" is no task of the restorer; expected one of {}", names()))
    }
}

/// How many times larger the pictures of the built-in model of that name are; `None` of a name that is none of the restorer's.
pub fn scale_of(model: &str) -> Option<usize> {
    let all = Task::ALL.into_iter().flat_map(|task| [2, 4].map(|scale| (task, scale)));
    let (task, scale) = all.into_iter().find(|&(task, scale)| task.model(scale) == model)?;
    usize::try_from(Config::of(task, scale).scale).ok()
}

/// What a network is built from and how it is fed; the `[config]` table of a model card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    pub task: Task,
    /// Width of the residual blocks.
    pub channels: i64,
    /// How many there are.
    pub blocks: i64,
    /// Whether the frame restored before is an input.
    #[serde(default)]
    pub history: bool,
    /// Whether the noise level is an input.
    #[serde(default)]
    pub level: bool,
    /// Whether the lightness of the whole picture is an input.
    #[serde(default)]
    pub tones: bool,
    /// How many times wider and higher the output is: 1, 2 or 4.
    #[serde(default = "Config::same_size")]
    pub scale: i64,
}

impl Config {
    /// The sizes of the built-in models.
    pub fn of(task: Task, scale: i64) -> Self {
        let (channels, blocks) = match task {
            Task::SuperResolution => (48, 4),
            Task::LowLight => (48, 3),
            Task::Deblock => (128, 5),
            Task::Denoise => (64, 3),
            Task::Deblur => (64, 5),
        };
        let temporal = task == Task::Denoise;
        let scale = if task == Task::SuperResolution { scale } else { 1 };
        let tones = task == Task::LowLight;
        Config { task, channels, blocks, history: temporal, level: temporal, tones, scale }
    }

    fn same_size() -> i64 {
        1
    }

    /// # Errors
    /// When it makes no network, with what was expected.
    pub fn checked(self) -> Result<Self, String> {
        if !(4..=512).contains(&self.channels) || !(0..=64).contains(&self.blocks) {
            return Err(format!("[config] has {self:?}; expected 4 to 512 channels and 0 to 64 blocks"));
        }
        if self.tones && self.task != Task::LowLight {
            return Err(format!("[config] has tones for {}; expected them for low-light only", self.task));
        }
        let scales: &[i64] = if self.task == Task::SuperResolution { &[2, 4] } else { &[1] };
        if !scales.contains(&self.scale) {
            let scales: Vec<_> = scales.iter().map(i64::to_string).collect();
            return Err(format!(
                "[config] has scale = {} for {}; expected {}",
                self.scale,
                self.task,
                scales.join(" or ")
            ));
        }
        Ok(self)
    }

    /// Multiplications a luma sample of the input.
    pub fn macs(&self) -> f64 {
        let (level, area) = (i64::from(self.level), self.cell() * self.cell());
        let (side, inputs, outputs) = match self.task {
            Task::SuperResolution => (2, SAMPLES + MEANS, SAMPLES * self.scale * self.scale),
            Task::LowLight => (2 * curve::CELL, self.inputs(), curve::OUTPUTS),
            Task::Denoise | Task::Deblock | Task::Deblur => (
                2 * self.cell(),
                area * (self.inputs() - level) + if self.level { 1 } else { MEANS },
                area * SAMPLES * if self.history { 2 } else { 1 },
            ),
        };
        (9 * (inputs + 2 * self.blocks * self.channels + outputs) * self.channels) as f64 / (side * side) as f64
    }

    /// Samples of the half-size maps each way in a cell of the backbone, for the tasks of [`network`]'s filter.
    fn cell(&self) -> i64 {
        // JPEG's blocks have 8x8 samples of luma.
        if self.task == Task::Deblock { 4 } else { 2 }
    }

    /// Luma samples of the input between which the network treats all places alike: where a tile begins must be a multiple.
    pub fn grid(&self) -> usize {
        match self.task {
            Task::SuperResolution => 2,
            Task::LowLight => 2 * curve::CELL as usize,
            Task::Denoise | Task::Deblock | Task::Deblur => 2 * self.cell() as usize,
        }
    }

    /// How far, in luma samples of the input, an output sample can depend on the input: what tiles must overlap by on each
    /// side to give what the whole picture gives.
    pub fn reach(&self) -> usize {
        // A cell for each 3x3 convolution; plain enlargement and that of curves look a cell or two beyond their own.
        (2 * self.blocks as usize + 3) * self.grid()
    }

    /// Channels of the input.
    pub fn inputs(&self) -> i64 {
        let history = if self.history { SAMPLES } else { 0 };
        let tones = if self.tones { TONES as i64 } else { 0 };
        SAMPLES + history + i64::from(self.level) + tones
    }

    /// What the last channels of the input hold, each the same all over the picture: `level` is that of the noise.
    pub fn constants(&self, picture: &Frame, level: f64) -> Vec<f32> {
        let level = self.level.then_some((level / LEVEL_UNIT) as f32);
        let tones = if self.tones { tones::of(picture).to_vec() } else { Vec::new() };
        level.into_iter().chain(tones).collect()
    }
}

/// A lock whose holder panicked is still a lock: what it guards here is plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_as_they_are_written() {
        for task in Task::ALL {
            assert_eq!(task.to_string().parse(), Ok(task));
            assert_eq!(toml::Value::try_from(task).unwrap().as_str(), Some(task.name()));
        }
        assert!("denoize".parse::<Task>().unwrap_err().contains("denoise, deblock"));
    }

    #[test]
    fn what_is_said_of_a_built_in_scale_is_what_its_card_says() {
        let mut found = 0;
        for model in crate::builtin::MODELS {
            let card = toml::from_str::<toml::Table>(model.card).unwrap();
            let config = card.get("config").and_then(|config| Config::deserialize(config.clone()).ok());
            assert_eq!(scale_of(model.name), config.map(|config| config.scale as usize), "{}", model.name);
            found += usize::from(config.is_some());
        }
        assert_eq!(found, 6);
        assert_eq!(scale_of("networks/x2.pt"), None);
    }

    #[test]
    fn configurations_that_make_no_network_are_refused() {
        let fits = Config::of(Task::Denoise, 1);
        assert_eq!(fits.checked(), Ok(fits));
        assert_eq!(fits.inputs(), 13);
        assert!(Config { scale: 2, ..fits }.checked().unwrap_err().contains("scale = 2 for denoise; expected 1"));
        assert!(Config { scale: 3, ..Config::of(Task::SuperResolution, 2) }.checked().unwrap_err().contains("2 or 4"));
        assert!(Config { tones: true, ..fits }.checked().unwrap_err().contains("tones for denoise"));
        assert!(Config { channels: 0, ..fits }.checked().unwrap_err().contains("4 to 512 channels"));
    }
}
