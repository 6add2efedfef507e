//! A variational autoencoder (Kingma and Welling, ICLR 2014) with one flat latent for a whole picture: each of its numbers moves
//! all of the picture, which is what walks and morphs want.

use serde::{Deserialize, Serialize};
use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use super::autoencoder::{Decoder, Encoder, Shape};
use super::layers::Conv;
use super::{check, check_picture, coarsest, three};

/// Widths of the network; the `[config]` table of a model card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Width and height of the pictures.
    pub size: [i64; 2],
    /// Numbers that a picture is made of.
    pub latent: i64,
    /// At half size; each further halving doubles them, up to four times as many.
    pub channels: i64,
    /// 3 is RGB, 1 is grey.
    #[serde(default = "three")]
    pub colours: i64,
}

/// Maps of the grid between latents and the convolutions.
const MAPS: i64 = 32;

impl Config {
    pub fn new(size: [i64; 2]) -> Self {
        Config { size, latent: 128, channels: 32, colours: 3 }
    }

    pub fn checked(self) -> Result<Self, String> {
        check_picture(self.size, self.colours)?;
        check("latent", self.latent, 1..=1024)?;
        check("channels", self.channels, 4..=256)?;
        let (grid, doublings) = coarsest(self.size);
        if doublings < 2 || grid.iter().any(|side| *side > 16) {
            let [width, height] = self.size;
            return Err(format!(
                "[config] size is {width}x{height}; expected 3 to 16 doubled twice or more, both ways"
            ));
        }
        Ok(self)
    }

    fn shape(&self) -> Shape {
        Shape { colours: self.colours, channels: self.channels, halvings: coarsest(self.size).1 as usize }
    }

    /// Multiplications of one picture, encoder and decoder; convolutions only.
    pub fn macs(&self) -> [i64; 2] {
        self.shape().macs(self.size[0] * self.size[1], MAPS)
    }
}

/// Both directions, with weights that live in the `VarStore` they were built in.
pub struct Vae {
    latent: i64,
    grid: [i64; 2],
    encoder: Encoder,
    /// Mean, then the logarithm of the variance.
    gather: Conv,
    spread: Conv,
    decoder: Decoder,
}

impl Vae {
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let (grid, _) = coarsest(config.size);
        let numbers = MAPS * grid[0] * grid[1];
        Ok(Vae {
            latent: config.latent,
            grid,
            encoder: Encoder::new(&(path / "encoder"), config.shape(), MAPS)?,
            gather: Conv::new(&(path / "gather"), numbers, 2 * config.latent, 1, 0.5)?,
            spread: Conv::new(&(path / "spread"), config.latent, numbers, 1, 0.7)?,
            decoder: Decoder::new(&(path / "decoder"), config.shape(), MAPS)?,
        })
    }

    /// Mean and logarithm of the variance of the latents of `pictures`, both `(N, latent, 1, 1)`.
    ///
    /// # Errors
    /// When `pictures` are not of the size that the network was built for.
    pub fn encode(&self, pictures: &Tensor) -> Result<[Tensor; 2], TchError> {
        let maps = self.encoder.forward(pictures)?.f_flatten(1, 3)?.f_unsqueeze(2)?.f_unsqueeze(3)?;
        let both = self.gather.forward(&maps)?;
        Ok([both.f_narrow(1, 0, self.latent)?, both.f_narrow(1, self.latent, self.latent)?])
    }

    /// Pictures of latents `(N, latent, 1, 1)`.
    ///
    /// # Errors
    /// When the latents are not of that shape.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor, TchError> {
        let [width, height] = self.grid;
        self.decoder.forward(&self.spread.forward(latents)?.f_view([-1, MAPS, height, width])?)
    }

    /// Latents to pictures, or pictures to the mean of their latents.
    ///
    /// # Errors
    /// When `x` is neither.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (_, channels, height, width) = x.size4()?;
        if [channels, height, width] == [self.latent, 1, 1] {
            return self.decode(x);
        }
        let [mean, _] = self.encode(x)?;
        mean.f_to_kind(Kind::Float)
    }
}

/// Latents drawn from what the encoder said; `noise` is of the standard normal distribution.
///
/// # Errors
/// When the three are not of one shape.
pub fn draw(mean: &Tensor, log_variance: &Tensor, noise: &Tensor) -> Result<Tensor, TchError> {
    mean.f_add(&log_variance.f_mul_scalar(0.5)?.f_exp()?.f_mul(noise)?)
}

/// The Kullback-Leibler divergence from the standard normal distribution, in nats a picture; the mean over pictures.
///
/// # Errors
/// When both are not of one shape.
pub fn divergence(mean: &Tensor, log_variance: &Tensor) -> Result<Tensor, TchError> {
    let (mean, log_variance) = (mean.f_to_kind(Kind::Float)?, log_variance.f_to_kind(Kind::Float)?);
    let each = mean.f_square()?.f_add(&log_variance.f_exp()?)?.f_sub(&log_variance)?.f_add_scalar(-1.0)?;
    each.f_sum(Kind::Float)?.f_mul_scalar(0.5)?.f_div_scalar(mean.size()[0].max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divergence_is_that_of_normal_distributions() {
        let mean = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 2.0]).view([2, 2, 1, 1]);
        let log_variance = Tensor::from_slice(&[0.0f32, 4f32.ln(), 0.0, 0.0]).view([2, 2, 1, 1]);
        // Half of 1; half of 4 - ln 4 - 1; half of 2^2; over two pictures.
        let expected = (0.5 + 0.5 * (3.0 - 4f64.ln()) + 2.0) / 2.0;
        assert!((divergence(&mean, &log_variance).unwrap().double_value(&[]) - expected).abs() < 1e-6);
        let drawn = draw(&mean, &log_variance, &Tensor::from_slice(&[0.5f32; 4]).view([2, 2, 1, 1])).unwrap();
        assert_eq!(Vec::<f32>::try_from(drawn.flatten(0, -1)).unwrap(), [1.5, 1.0, 0.5, 2.5]);
    }
}
