//! The half of the codec's network that only encoders run: nothing needs to be exact.

use gst_torch_runtime::planes::channels_last;
use tch::nn::{Init, Path};
use tch::{Device, Kind, TchError, Tensor};

use super::network::{CELLS, parameter};
use crate::in_place::{add, relu};

struct Free {
    weight: Tensor,
    bias: Tensor,
}

impl Free {
    fn new(path: &Path, inputs: i64, outputs: i64, size: i64, gain: f64) -> Result<Self, TchError> {
        let stdev = gain * (2.0 / (inputs * size * size) as f64).sqrt();
        Ok(Free {
            weight: parameter(path, "weight", &[outputs, inputs, size, size], Init::Randn { mean: 0.0, stdev })?,
            bias: parameter(path, "bias", &[outputs], Init::Const(0.0))?,
        })
    }

    fn share(&self) -> Self {
        Free { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone() }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let weight = channels_last(&self.weight.f_to_kind(x.kind())?)?;
        x.f_conv2d(&weight, Some(self.bias.f_to_kind(x.kind())?), 1, weight.size()[2] / 2, 1, 1)
    }
}

pub(super) struct Analysis {
    first: Free,
    blocks: Vec<[Free; 2]>,
    last: Free,
}

impl Analysis {
    pub(super) fn new(path: &Path, inputs: i64, [channels, blocks]: [i64; 2]) -> Result<Self, TchError> {
        let block = |i| {
            let path = path / "blocks" / i;
            Ok([
                Free::new(&(&path / 0), channels, channels, 3, 1.0)?,
                Free::new(&(&path / 1), channels, channels, 3, 0.3)?,
            ])
        };
        Ok(Analysis {
            first: Free::new(&(path / "first"), inputs, channels, 1, 1.0)?,
            blocks: (0..blocks).map(block).collect::<Result<_, TchError>>()?,
            last: Free::new(&(path / "last"), channels, CELLS, 1, 0.0)?,
        })
    }

    pub(super) fn share(&self) -> Self {
        let blocks = self.blocks.iter().map(|[a, b]| [a.share(), b.share()]).collect();
        Analysis { first: self.first.share(), blocks, last: self.last.share() }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut x = self.first.forward(x)?;
        for [a, b] in &self.blocks {
            x = add(b.forward(&relu(a.forward(&x)?)?)?, &x)?;
        }
        self.last.forward(&relu(x)?)
    }

    fn layers_mut(&mut self) -> impl Iterator<Item = &mut Free> {
        self.blocks.iter_mut().flatten().chain([&mut self.first, &mut self.last])
    }

    /// Moves the weights.
    pub(super) fn place(&mut self, device: Device) -> Result<(), TchError> {
        self.layers_mut().try_for_each(|layer| {
            layer.weight = layer.weight.f_to_device(device)?;
            layer.bias = layer.bias.f_to_device(device)?;
            Ok(())
        })
    }

    /// Readies the weights to run in `kind`, once for all.
    pub(super) fn prepare(&mut self, kind: Kind) -> Result<(), TchError> {
        self.layers_mut().try_for_each(|layer| {
            layer.weight = channels_last(&layer.weight.f_to_kind(kind)?)?;
            layer.bias = layer.bias.f_to_kind(kind)?;
            Ok(())
        })
    }
}
