//! Differentiable augmentation (Zhao et al., NeurIPS 2020): the discriminator sees real and made pictures through the same random
//! changes, so that it cannot learn a small data set by heart, and the generator learns through them.

use rand::Rng;
use tch::{Device, Kind, TchError, Tensor};

/// Changes of brightness, in parts of the range; of saturation and contrast, as factors of up to twice and half as much.
const BRIGHTNESS: f64 = 0.25;
/// Parts of a side that pictures are moved by, at most.
const SHIFT: f64 = 0.125;
/// Parts of a side that a rectangle of grey covers.
const CUTOUT: f64 = 0.5;

/// Random changes for a batch; the same ones for whatever they are applied to.
#[derive(Debug, Clone)]
pub struct Augmentation {
    /// Added; times the distance from grey; times the distance from the mean.
    brightness: Vec<f32>,
    saturation: Vec<f32>,
    contrast: Vec<f32>,
    /// Down and across, -1 to 1 of the most.
    shifts: Vec<[f64; 2]>,
    /// Middle of the rectangle, down and across, 0 to 1.
    holes: Vec<[f64; 2]>,
}

impl Augmentation {
    /// For `batch` pictures, each of which is changed with this probability: as long as some are not, the generator does not learn
    /// to make changed ones (Karras et al., NeurIPS 2020).
    pub fn random(rng: &mut impl Rng, batch: usize, probability: f64) -> Self {
        let mut changes = Augmentation::none(batch);
        for index in 0..batch {
            if rng.random_bool(probability.clamp(0.0, 1.0)) {
                changes.brightness[index] = rng.random_range(-BRIGHTNESS..BRIGHTNESS) as f32;
                changes.saturation[index] = rng.random_range(0.0..2.0);
                changes.contrast[index] = rng.random_range(0.5..1.5);
                changes.shifts[index] = [rng.random_range(-1.0..=1.0), rng.random_range(-1.0..=1.0)];
                changes.holes[index] = [rng.random(), rng.random()];
            }
        }
        changes
    }

    /// Changes that change nothing.
    pub fn none(batch: usize) -> Self {
        Augmentation {
            brightness: vec![0.0; batch],
            saturation: vec![1.0; batch],
            contrast: vec![1.0; batch],
            shifts: vec![[0.0; 2]; batch],
            // Beyond the corner, where nothing is left to cover.
            holes: vec![[2.0; 2]; batch],
        }
    }

    /// Changes `pictures`, `(N, C, H, W)` of 0 to 1 in fp32; N as many as there are changes.
    ///
    /// # Errors
    /// When there are more or fewer pictures.
    pub fn apply(&self, pictures: &Tensor) -> Result<Tensor, TchError> {
        let coloured = self.colour(pictures)?;
        self.covered(&self.shifted(&coloured)?)
    }

    fn colour(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let each = |values: &[f32]| Tensor::f_from_slice(values)?.f_to_device(x.device())?.f_view([-1, 1, 1, 1]);
        let brighter = x.f_add(&each(&self.brightness)?)?;
        let grey = brighter.f_mean_dim(&[1i64][..], true, Kind::Float)?;
        let saturated = grey.f_add(&brighter.f_sub(&grey)?.f_mul(&each(&self.saturation)?)?)?;
        let mean = saturated.f_mean_dim(&[1i64, 2, 3][..], true, Kind::Float)?;
        mean.f_add(&saturated.f_sub(&mean)?.f_mul(&each(&self.contrast)?)?)
    }

    fn shifted(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (_, _, height, width) = x.size4()?;
        let (down, across) = ((height as f64 * SHIFT) as i64, (width as f64 * SHIFT) as i64);
        // What comes in from outside is mid-grey, the middle of the range.
        let padded = x.f_constant_pad_nd([across, across, down, down])?;
        let inside = Tensor::f_ones([1, 1, height, width], (Kind::Float, x.device()))?;
        let outside = inside.f_constant_pad_nd([across, across, down, down])?.f_neg()?.f_add_scalar(1.0)?;
        let padded = padded.f_add(&outside.f_mul_scalar(0.5)?)?;
        let cut = |(index, [y, x]): (usize, &[f64; 2])| {
            let place = |by: f64, most: i64| ((1.0 + by) * most as f64).round() as i64;
            padded.f_narrow(0, index as i64, 1)?.f_narrow(2, place(*y, down), height)?.f_narrow(
                3,
                place(*x, across),
                width,
            )
        };
        let cuts = self.shifts.iter().enumerate().map(cut).collect::<Result<Vec<_>, TchError>>()?;
        Tensor::f_cat(&cuts, 0)
    }

    fn covered(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (_, _, height, width) = x.size4()?;
        let mut mask = vec![1f32; self.holes.len() * (height * width) as usize];
        for (mask, [y, x]) in mask.chunks_mut((height * width) as usize).zip(&self.holes) {
            let span = |middle: f64, side: i64| {
                let half = (side as f64 * CUTOUT / 2.0) as i64;
                let middle = (middle * side as f64) as i64;
                (middle - half).max(0) as usize..(middle + half).min(side) as usize
            };
            for row in span(*y, height) {
                mask[row * width as usize..][span(*x, width)].fill(0.0);
            }
        }
        let mask = Tensor::f_from_slice(&mask)?.f_view([-1, 1, height, width])?.f_to_device(x.device())?;
        let grey = Tensor::f_full([1], 0.5, (Kind::Float, Device::Cpu))?.f_to_device(x.device())?;
        grey.f_lerp_tensor(x, &mask)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// Nothing but what is set.
    fn none() -> Augmentation {
        Augmentation::none(1)
    }

    fn ramp() -> Tensor {
        let luma = Tensor::arange(256, (Kind::Float, Device::Cpu)).view([1, 1, 16, 16]) / 512.0;
        Tensor::cat(&[&luma, &(&luma + 0.25), &(&luma + 0.5)], 1)
    }

    #[test]
    fn each_change_does_what_it_says() {
        let x = ramp();
        let near = |a: &Tensor, b: &Tensor| assert!((a - b).abs().max().double_value(&[]) < 1e-5);
        near(&none().apply(&x).unwrap(), &x);
        near(&Augmentation { brightness: vec![0.1], ..none() }.apply(&x).unwrap(), &(&x + 0.1));
        let grey = Augmentation { saturation: vec![0.0], ..none() }.apply(&x).unwrap();
        near(&grey.narrow(1, 0, 1), &x.narrow(1, 1, 1));
        near(&grey.narrow(1, 2, 1), &x.narrow(1, 1, 1));
        let flat = Augmentation { contrast: vec![0.0], ..none() }.apply(&x).unwrap();
        near(&flat, &x.mean(Kind::Float).expand([1, 3, 16, 16], false));
        // An eighth of 16 each way: the window goes down and left.
        let moved = Augmentation { shifts: vec![[1.0, -1.0]], ..none() }.apply(&x).unwrap();
        near(&moved.narrow(2, 0, 14).narrow(3, 2, 14), &x.narrow(2, 2, 14).narrow(3, 0, 14));
        near(&moved.narrow(2, 14, 2), &Tensor::full([1, 3, 2, 16], 0.5, (Kind::Float, Device::Cpu)));
        let covered = Augmentation { holes: vec![[0.5; 2]], ..none() }.apply(&x).unwrap();
        near(&covered.narrow(2, 4, 8).narrow(3, 4, 8), &Tensor::full([1, 3, 8, 8], 0.5, (Kind::Float, Device::Cpu)));
        near(&covered.narrow(2, 0, 4), &x.narrow(2, 0, 4));
    }

    #[test]
    fn as_many_are_changed_as_was_asked_for() {
        let changed = |probability: f64| {
            let changes = Augmentation::random(&mut StdRng::seed_from_u64(5), 400, probability);
            changes.saturation.iter().filter(|&&s| s != 1.0).count()
        };
        assert_eq!((changed(0.0), changed(1.0)), (0, 400));
        assert!((70..130).contains(&changed(0.25)), "{}", changed(0.25));
    }

    #[test]
    fn gradients_pass() {
        let x = ramp().set_requires_grad(true);
        let changes = Augmentation::random(&mut StdRng::seed_from_u64(3), 2, 1.0);
        changes.apply(&Tensor::cat(&[&x, &x], 0)).unwrap().sum(Kind::Float).backward();
        assert!(x.grad().abs().sum(Kind::Float).double_value(&[]) > 1.0);
        assert!(changes.apply(&Tensor::cat(&[&x, &x, &x], 0)).is_err());
    }
}
