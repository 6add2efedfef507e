//! Pictures of any size for networks that take only some.

use gst_torch_runtime::planes::Fit;
use tch::{TchError, Tensor};

type Result<T> = std::result::Result<T, TchError>;

/// Sizes are height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placing {
    picture: [i64; 2],
    /// What of the network's input is picture: first row and column, rows and columns.
    place: [[i64; 2]; 2],
    input: [i64; 2],
    scaled: bool,
}

impl Placing {
    /// For networks that take any multiple of `multiple`: the border is repeated to the right and below.
    pub fn padded(picture: [i64; 2], multiple: i64) -> Self {
        let input = picture.map(|side| (side + multiple - 1) / multiple * multiple);
        Placing { picture, place: [[0, 0], picture], input, scaled: false }
    }

    /// For networks that take one size alone.
    pub fn scaled(picture: [i64; 2], input: [i64; 2], fit: Fit) -> Self {
        let mut size = input;
        if fit == Fit::Letterbox {
            // The side that fits the input less well is scaled down with the other.
            let scale = (input[0] as f64 / picture[0] as f64).min(input[1] as f64 / picture[1] as f64);
            size = [0, 1].map(|i| ((picture[i] as f64 * scale).round() as i64).clamp(1, input[i]));
        }
        let first = [0, 1].map(|i| (input[i] - size[i]) / 2);
        Placing { picture, place: [first, size], input, scaled: size != picture }
    }

    pub fn input(&self) -> [i64; 2] {
        self.input
    }

    /// `(1, C, H, W)` of the picture to that of the network.
    pub fn place(&self, levels: &Tensor) -> Result<Tensor> {
        let [[y, x], [height, width]] = self.place;
        let levels = if self.scaled { resize(levels, [height, width])? } else { levels.shallow_clone() };
        if [height, width] == self.input {
            return Ok(levels);
        }
        levels.f_replication_pad2d([x, self.input[1] - width - x, y, self.input[0] - height - y])
    }

    /// The way back.
    pub fn take(&self, levels: &Tensor) -> Result<Tensor> {
        let [[y, x], [height, width]] = self.place;
        let picture = levels.f_narrow(2, y, height)?.f_narrow(3, x, width)?;
        if self.scaled { resize(&picture, self.picture) } else { Ok(picture) }
    }
}

fn resize(levels: &Tensor, size: [i64; 2]) -> Result<Tensor> {
    levels.f_internal_upsample_bilinear2d_aa(size, false, None, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn ramp(height: i64, width: i64) -> Tensor {
        let x = Tensor::arange(width, (Kind::Float, Device::Cpu)).view([1, 1, 1, width]);
        let y = Tensor::arange(height, (Kind::Float, Device::Cpu)).view([1, 1, height, 1]);
        (x * 2.0 + y * 3.0).expand([1, 3, height, width], false)
    }

    #[test]
    fn padding_repeats_the_border_and_goes_again() {
        let placing = Placing::padded([5, 1], 4);
        assert_eq!(placing.input(), [8, 4]);
        let picture = ramp(5, 1);
        let placed = placing.place(&picture).unwrap();
        assert_eq!(placed.size(), [1, 3, 8, 4]);
        assert_eq!(placed.double_value(&[0, 0, 7, 3]), 12.0);
        assert_eq!(placing.take(&placed).unwrap(), picture);
        assert_eq!(Placing::padded([8, 4], 4).place(&placed).unwrap(), placed);
    }

    #[test]
    fn other_sizes_are_scaled_and_come_back_about_the_same() {
        let picture = ramp(40, 60);
        for (fit, corner) in [(Fit::Stretch, [[0, 0], [28, 28]]), (Fit::Letterbox, [[4, 0], [19, 28]])] {
            let placing = Placing::scaled([40, 60], [28, 28], fit);
            assert_eq!(placing.place, corner, "{fit:?}");
            let back = placing.take(&placing.place(&picture).unwrap()).unwrap();
            assert_eq!(back.size(), picture.size());
            assert!((back - &picture).abs().max().double_value(&[]) < 8.0);
        }
        let same = Placing::scaled([28, 28], [28, 28], Fit::Stretch);
        assert_eq!(same.place(&ramp(28, 28)).unwrap(), ramp(28, 28));
    }
}
