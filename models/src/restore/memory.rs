//! What a network needs: memory for a pixel, and how far it sees. Both are measured, each when it is first asked for.

use std::sync::Mutex;

use gst_torch_runtime::{Device, Error, Model, Result, memory};

use super::interface::Interface;
use super::lock;
use super::maps::Maps;
use super::tiles::{self, Tile};

/// See the module.
pub struct Appetite {
    channels: usize,
    scale: usize,
    multiple: usize,
    farthest: Option<usize>,
    recurrent: bool,
    bytes_per_pixel: Mutex<Option<f64>>,
    reach: Mutex<Option<usize>>,
}

/// No network of ours needs more bytes for a pixel of its maps: frames for which that is there are not measured for.
const AMPLE: f64 = 16384.0;
/// Side of the map on which memory is measured.
const SIDE: usize = 64;
/// Side of the maps on which the reach is measured: a part, and the whole around it.
const PART: usize = 96;
const WHOLE: usize = 192;
/// A difference that is not seen: a tenth of a level of 8 bits.
const UNSEEN: f32 = 0.1 / 255.0;
/// What is added to twice the reach, so that tiles give way to each other gently.
const RAMP: usize = 8;

impl Appetite {
    pub fn new(interface: &Interface) -> Self {
        Appetite {
            channels: interface.channels(),
            scale: interface.scale(),
            multiple: interface.multiple(),
            farthest: interface.farthest(),
            recurrent: interface.is_recurrent(),
            bytes_per_pixel: Mutex::default(),
            reach: Mutex::default(),
        }
    }

    /// The side of tiles that memory has room for; 0 is one tile for all.
    pub fn side(&self, model: &Model, maps: (usize, usize)) -> Result<usize> {
        let Some(free) = memory::free(model.device()) else { return Ok(0) };
        let at_once = match model.device() {
            Device::Cpu => std::thread::available_parallelism().map_or(1, usize::from),
            _ => 1,
        };
        if tiles::side_for(maps, AMPLE, at_once, free) == 0 {
            return Ok(0);
        }
        let bytes = once(&self.bytes_per_pixel, || {
            let side = SIDE.next_multiple_of(self.multiple);
            let trial = model.try_on(self.noise(side).to_tensor().map_err(|e| torch(model, &e))?)?;
            Ok(trial.peak as f64 / (side * side) as f64)
        })?;
        Ok(tiles::side_for(maps, bytes, at_once, free))
    }

    /// How far tiles of `side` are to see beyond what is theirs: all that the network can see where the tile is large enough
    /// for that, so that not even rounding differs; else as far as it shows.
    pub fn reach(&self, model: &Model, side: usize) -> Result<usize> {
        match self.farthest {
            Some(farthest) if overlap(farthest) <= side / 2 => Ok(farthest),
            _ => self.shown_reach(model),
        }
    }

    /// The side of the smallest tiles that give what the whole gives without sharing more than half of themselves. In a
    /// network that looks back, what a tile rounds differently grows from frame to frame.
    pub fn least_side(&self, model: &Model) -> Result<usize> {
        let reach = match self.farthest.filter(|_| self.recurrent) {
            Some(farthest) => farthest,
            None => self.shown_reach(model)?,
        };
        Ok((2 * overlap(reach)).next_multiple_of(self.multiple))
    }

    /// As far as it shows; all that the network can see, where what shows is more than was looked at.
    fn shown_reach(&self, model: &Model) -> Result<usize> {
        let shows = once(&self.reach, || self.measure_reach(model))?;
        Ok(self.farthest.filter(|_| shows >= self.part() / 3).unwrap_or(shows))
    }

    fn part(&self) -> usize {
        PART.next_multiple_of(self.multiple)
    }

    /// Half the receptive field in pixels of the maps, as far as it shows: a part of a picture is run by itself and inside
    /// the whole. At most a third of the part, where a network sees all of the picture.
    fn measure_reach(&self, model: &Model) -> Result<usize> {
        let multiple = self.multiple;
        let (part, whole) = (self.part(), WHOLE.next_multiple_of(multiple));
        let start = (whole - part) / 2 / multiple * multiple;
        let picture = self.noise(whole);
        let inside = |side: usize, at: usize| Tile { place: (0, 0), x: at, y: at, width: side, height: side };
        let run = |maps: &Maps| -> Result<Vec<Maps>> {
            let trial = model.try_on(maps.to_tensor().map_err(|e| torch(model, &e))?)?;
            // Of several outputs, those that are pictures.
            let side = (maps.width * self.scale) as i64;
            let pictures = trial.outputs.iter().filter(|(_, t)| t.size().len() == 4 && t.size()[2..] == [side, side]);
            pictures.map(|(_, t)| Maps::from_tensor(t).map_err(|e| torch(model, &e))).collect()
        };
        let around = run(&picture)?;
        let alone = run(&picture.cut(&inside(part, start)))?;
        let limit = part / 3 * self.scale;
        let mut reach = 0;
        for (around, alone) in around.iter().zip(&alone) {
            let within = around.cut(&inside(part * self.scale, start * self.scale));
            let side = part * self.scale;
            for (index, (a, b)) in within.data.iter().zip(&alone.data).enumerate() {
                if (a - b).abs() > UNSEEN {
                    let (x, y) = (index % side, index / side % side);
                    reach = reach.max(x.min(y).min(side - 1 - x).min(side - 1 - y) + 1);
                }
            }
        }
        let reach = reach.min(limit).div_ceil(self.scale);
        Ok(self.farthest.map_or(reach, |farthest| reach.min(farthest)))
    }

    /// A picture that excites a network: large shapes, and noise.
    fn noise(&self, side: usize) -> Maps {
        let mut maps = Maps::zeros(self.channels, side, side);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for (index, v) in maps.data.iter_mut().enumerate() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let noise = (state >> 40) as f32 / (1u64 << 24) as f32;
            let shape = ((index % side / 24 + index / side / 24) % 2) as f32;
            *v = 0.6 * shape + 0.4 * noise;
        }
        maps
    }
}

/// The value, measured under no lock: two who ask together both measure.
fn once<T: Copy>(slot: &Mutex<Option<T>>, measure: impl FnOnce() -> Result<T>) -> Result<T> {
    if let Some(value) = *lock(slot) {
        return Ok(value);
    }
    let value = measure()?;
    *lock(slot) = Some(value);
    Ok(value)
}

/// How much tiles of such a reach have to share.
pub fn overlap(reach: usize) -> usize {
    2 * reach + RAMP
}

fn torch(model: &Model, error: &tch::TchError) -> Error {
    Error::torch(&model.info().name, error.to_string())
}
