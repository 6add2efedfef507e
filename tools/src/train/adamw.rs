//! AdamW (Loshchilov and Hutter 2019). libtorch's own keeps its state to itself; a run that can be resumed exactly needs
//! to save it.

use anyhow::Result;
use tch::{Kind, Tensor};

/// How much of the running mean of gradients a step keeps, where nobody says.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

pub struct AdamW {
    parameters: Vec<Parameter>,
    weight_decay: f64,
    momentum: f64,
    steps: i32,
}

struct Parameter {
    name: String,
    value: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl AdamW {
    /// Optimises `variables` that want a gradient. Decay is for convolutions only: shrinking norms and biases does harm.
    pub fn new(variables: &[(String, Tensor)], weight_decay: f64) -> Result<Self> {
        let mut parameters = Vec::new();
        for (name, value) in variables.iter().filter(|(_, v)| v.requires_grad()) {
            let zeros = || value.detach().f_zeros_like();
            let value = value.shallow_clone();
            parameters.push(Parameter { name: name.clone(), mean: zeros()?, variance: zeros()?, value });
        }
        Ok(AdamW { parameters, weight_decay, momentum: BETA1, steps: 0 })
    }

    /// Keeps so much of the running mean of gradients; less where they turn often, as between adversaries.
    pub fn with_momentum(self, momentum: f64) -> Self {
        AdamW { momentum, ..self }
    }

    /// One step along the gradients, which are scaled down to a norm of `clip` where they are longer, and then cleared.
    /// Returns their norm; nothing moves when it is not finite.
    pub fn step(&mut self, rate: f64, clip: f64) -> Result<f64> {
        let _guard = tch::no_grad_guard();
        let gradients = self.parameters.iter().map(|p| p.value.f_grad()).collect::<Result<Vec<_>, _>>()?;
        let squares = gradients.iter().map(|g| g.f_square()?.f_sum(Kind::Float)).collect::<Result<Vec<_>, _>>()?;
        let norm = f64::try_from(Tensor::f_stack(&squares, 0)?.f_sum(Kind::Double)?)?.sqrt();
        if norm.is_finite() {
            self.steps += 1;
            let scale = (clip / norm).min(1.0);
            let correction1 = 1.0 - self.momentum.powi(self.steps);
            let correction2 = 1.0 - BETA2.powi(self.steps);
            for (parameter, gradient) in self.parameters.iter_mut().zip(&gradients) {
                let gradient = gradient.f_mul_scalar(scale)?;
                let Parameter { value, mean, variance, .. } = parameter;
                let _ = mean.f_lerp_(&gradient, 1.0 - self.momentum)?;
                let _ = variance.f_lerp_(&gradient.f_square()?, 1.0 - BETA2)?;
                if value.dim() == 4 {
                    let _ = value.f_mul_scalar_(1.0 - rate * self.weight_decay)?;
                }
                let scale = variance.f_div_scalar(correction2)?.f_sqrt()?.f_add_scalar(EPSILON)?;
                let update = mean.f_div(&scale)?.f_mul_scalar(-rate / correction1)?;
                let _ = value.f_add_(&update)?;
            }
        }
        for mut gradient in gradients {
            let _ = gradient.f_zero_()?;
        }
        Ok(norm)
    }

    /// The tensors of the state, to be saved.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let both = self
            .parameters
            .iter()
            .flat_map(|p| [(format!("mean.{}", p.name), &p.mean), (format!("variance.{}", p.name), &p.variance)]);
        both.map(|(name, tensor)| (name, tensor.shallow_clone())).collect()
    }

    /// How many steps the saved state had seen; it is written into the tensors of [`AdamW::state`] by the caller.
    pub fn set_steps(&mut self, steps: i32) {
        self.steps = steps;
    }

    pub fn steps(&self) -> i32 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Three steps worked by the formulas of the paper, in double precision, for one weight.
    #[test]
    fn steps_are_those_of_the_paper() {
        let weight = Tensor::full([1, 1, 1, 1], 1.0, (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let mut adam = AdamW::new(&[("w".into(), weight.shallow_clone())], 0.1).unwrap();
        let (mut w, mut m, mut v) = (1f64, 0f64, 0f64);
        for t in 1..=3 {
            (&weight * &weight * 0.5 * t as f64).sum(Kind::Double).backward();
            adam.step(0.01, 1e9).unwrap();
            let g = w * t as f64;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            w -= 0.01 * 0.1 * w;
            w -= 0.01 * (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.999f64.powi(t))).sqrt() + 1e-8);
            assert!((weight.double_value(&[0, 0, 0, 0]) - w).abs() < 1e-9);
        }
    }

    #[test]
    fn a_broken_gradient_moves_nothing() {
        let weight = Tensor::from_slice(&[1.0f32]).set_requires_grad(true);
        let mut adam = AdamW::new(&[("w".into(), weight.shallow_clone())], 0.0).unwrap();
        (&weight * f64::NAN).sum(Kind::Float).backward();
        assert!(!adam.step(0.1, 1.0).unwrap().is_finite());
        assert_eq!(weight.double_value(&[0]), 1.0);
        assert_eq!(weight.grad().double_value(&[0]), 0.0);
    }
}
