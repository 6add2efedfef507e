//! Arrays of latents as whole numbers.

use tch::{Device, Kind, TchError, Tensor};

use super::shape::{RANGE, Shape};

/// The step index at which a step is the card's: that of the default quality.
const NEUTRAL: f32 = 60.0;

impl Shape {
    fn step(&self, index: u8) -> f32 {
        if self.whole { 1.0 } else { self.steps.step * ((f32::from(index) - NEUTRAL) / 16.0).exp2() }
    }

    /// Nearest whole numbers of steps.
    pub fn numbers(&self, latents: &[f32], index: u8) -> Vec<i32> {
        let (offset, step) = (self.steps.offset, self.step(index));
        let number = |v: &f32| ((v - offset) / step).round().clamp(RANGE[0] as f32, RANGE[1] as f32) as i32;
        latents.iter().map(number).collect()
    }

    /// What the decoder takes in place of the latents.
    pub fn tensor(&self, numbers: &[i32], index: u8, device: Device, kind: Kind) -> Result<Tensor, TchError> {
        let whole = Tensor::f_from_slice(numbers)?.f_view(&self.size[..])?.f_to_device(device)?;
        if self.whole {
            return whole.f_to_kind(Kind::Int64);
        }
        let (offset, step) = (f64::from(self.steps.offset), f64::from(self.step(index)));
        whole.f_to_kind(Kind::Float)?.f_mul_scalar(step)?.f_add_scalar(offset)?.f_to_kind(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::Steps;
    use super::*;

    #[test]
    fn numbers_are_nearest_at_the_cards_step_and_coarser_beyond() {
        let steps = Steps { offset: 1.0, step: 0.5 };
        let shape = Shape { size: vec![1, 4], whole: false, steps };
        let latents = [1.0, 1.3, -3.0, 1e9];
        assert_eq!(shape.numbers(&latents, 60), [0, 1, -8, 32767]);
        assert_eq!(shape.numbers(&latents, 76), [0, 0, -4, 32767]);
        let back = shape.tensor(&[0, 1, -8, 2], 60, Device::Cpu, Kind::Float).unwrap();
        assert_eq!(Vec::<f32>::try_from(back.view([-1])).unwrap(), [1.0, 1.5, -3.0, 2.0]);
        assert_eq!(shape.numbers(&[f32::NAN; 4], 60), [0; 4]);
    }
}
