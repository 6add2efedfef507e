//! Pictures as the numbers that networks take, in the memory of the CPU.

use tch::{Kind, TchError, Tensor};

use super::tiles::Tile;

/// Maps of numbers, channel after channel, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Maps {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub data: Vec<f32>,
}

impl Maps {
    pub fn zeros(channels: usize, height: usize, width: usize) -> Self {
        Maps { channels, height, width, data: vec![0.0; channels * height * width] }
    }

    pub fn row(&self, channel: usize, y: usize) -> &[f32] {
        &self.data[(channel * self.height + y) * self.width..][..self.width]
    }

    pub fn row_mut(&mut self, channel: usize, y: usize) -> &mut [f32] {
        &mut self.data[(channel * self.height + y) * self.width..][..self.width]
    }

    /// A copy of a part, of all channels.
    pub fn cut(&self, tile: &Tile) -> Maps {
        let mut data = Vec::with_capacity(self.channels * tile.height * tile.width);
        for channel in 0..self.channels {
            for y in tile.y..tile.y + tile.height {
                data.extend_from_slice(&self.row(channel, y)[tile.x..][..tile.width]);
            }
        }
        Maps { channels: self.channels, height: tile.height, width: tile.width, data }
    }

    /// Larger by repetition of the last column and row.
    pub fn padded(self, width: usize, height: usize) -> Maps {
        if (width, height) == (self.width, self.height) {
            return self;
        }
        let mut out = Maps::zeros(self.channels, height, width);
        for channel in 0..self.channels {
            for y in 0..height {
                let from = self.row(channel, y.min(self.height - 1));
                let row = out.row_mut(channel, y);
                row[..from.len()].copy_from_slice(from);
                row[from.len()..].fill(from[from.len() - 1]);
            }
        }
        out
    }

    /// The upper left part.
    pub fn cropped(&self, width: usize, height: usize) -> Maps {
        self.cut(&Tile { place: (0, 0), x: 0, y: 0, width, height })
    }

    /// `[1, C, H, W]` in fp32, a copy.
    pub fn to_tensor(&self) -> Result<Tensor, TchError> {
        let size = [1, self.channels as i64, self.height as i64, self.width as i64];
        Tensor::f_from_data_size(bytemuck::cast_slice(&self.data), &size, Kind::Float)
    }

    /// From `[1, C, H, W]` on the CPU, contiguous, in fp32, as the engine gives it.
    pub fn from_tensor(tensor: &Tensor) -> Result<Maps, TchError> {
        let size = tensor.size();
        let [1, channels, height, width] = size[..] else {
            return Err(TchError::Shape(format!("an output is {size:?}; expected [1, C, H, W]")));
        };
        let mut maps = Maps::zeros(channels as usize, height as usize, width as usize);
        let count = maps.data.len();
        tensor.f_copy_data(&mut maps.data, count)?;
        Ok(maps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_repeats_the_edge_and_cropping_takes_it_off() {
        let maps = Maps { channels: 1, height: 2, width: 2, data: vec![1.0, 2.0, 3.0, 4.0] };
        let padded = maps.clone().padded(3, 4);
        assert_eq!(padded.data, [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 3.0, 4.0, 4.0, 3.0, 4.0, 4.0]);
        assert_eq!(padded.cropped(2, 2), maps);
    }

    #[test]
    fn tensors_come_back_as_they_were() {
        let maps = Maps { channels: 3, height: 2, width: 5, data: (0..30).map(|v| v as f32).collect() };
        assert_eq!(Maps::from_tensor(&maps.to_tensor().unwrap()).unwrap(), maps);
        let flat = Tensor::zeros([4, 4], (Kind::Float, tch::Device::Cpu));
        assert!(Maps::from_tensor(&flat).unwrap_err().to_string().contains("[4, 4]"));
    }
}
