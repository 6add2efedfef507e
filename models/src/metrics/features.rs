//! What pictures show, as vectors: how far apart two of them are says more about likeness than how far apart their pixels are.
//!
//! The vectors are those of a detector of ours (means over the picture of the maps at 1/8, 1/16 and 1/32), where Inception is
//! usual (Heusel et al. 2017): it needs no download, but distances can only be compared with others of the same detector.

use serde::Deserialize;
use tch::{Device, Kind, TchError, Tensor, nn};

use crate::builtin;
use crate::detect::network::{Config, DetectNet};

/// Pictures are enlarged to at least so many pixels each way: a detector looks for things, not for spots.
const LEAST: f64 = 128.0;
/// Pictures that run at a time.
const CHUNK: i64 = 16;

/// A detector that only looks.
pub struct Features {
    net: DetectNet,
    channels: Vec<i64>,
}

impl Features {
    /// By a built-in name or a card, to look at pictures on `device`.
    ///
    /// # Errors
    /// When there is no such model, or it is no detector of ours.
    pub fn open(name: &str, device: Device) -> Result<Self, String> {
        let file = builtin::open(name).map_err(|e| e.to_string())?;
        if file.info.network.as_deref() != Some("detect") {
            return Err(format!("{name} is no detector of ours; expected one, such as person"));
        }
        let config = Config::deserialize(file.info.config).map_err(|e| format!("{name}: {}", e.message()))?;
        let mut store = nn::VarStore::new(device);
        let net = DetectNet::new(&store.root(), &config).map_err(|e| e.to_string())?;
        builtin::load_weights(&mut store, &builtin::weights(name)?, |_| false)?;
        store.freeze();
        Ok(Features { net, channels: config.seen() })
    }

    /// Of each of the [`Features::maps`].
    pub fn channels(&self) -> Vec<i64> {
        self.channels.clone()
    }

    /// What it sees, fine to coarse, of pictures `(N, 1 or 3, H, W)` of 0 to 1; computed in `kind`. Gradients pass to the
    /// pictures.
    ///
    /// # Errors
    /// When the pictures are of another shape.
    pub fn maps(&self, pictures: &Tensor, kind: Kind) -> Result<Vec<Tensor>, TchError> {
        let (count, _, height, width) = pictures.size4()?;
        let factor = (LEAST / height.min(width).max(1) as f64).ceil().max(1.0) as i64;
        let rgb = pictures.f_expand([count, 3, height, width], false)?.f_to_kind(kind)?;
        self.net.seen(&rgb.f_upsample_bilinear2d([height * factor, width * factor], false, None, None)?)
    }

    /// A vector a picture, `(N, D)`, of pictures `(N, 1 or 3, H, W)` of 0 to 1.
    ///
    /// # Errors
    /// When the pictures are of another shape.
    pub fn of(&self, pictures: &Tensor) -> Result<Tensor, TchError> {
        let _guard = tch::no_grad_guard();
        let of = |chunk: Tensor| {
            // The finest maps tell of edges only.
            let maps = self.maps(&chunk, Kind::Float)?.into_iter().skip(1);
            let means = maps.map(|map| map.f_mean_dim(&[2i64, 3][..], false, Kind::Float));
            Tensor::f_cat(&means.collect::<Result<Vec<_>, _>>()?, 1)
        };
        Tensor::f_cat(&pictures.f_split(CHUNK, 0)?.into_iter().map(of).collect::<Result<Vec<_>, _>>()?, 0)
    }
}

/// Of each row of `a`, the distance to the nearest row of `b` and which that is.
///
/// # Errors
/// When the rows differ in length.
pub fn nearest(a: &Tensor, b: &Tensor) -> Result<(Vec<f64>, Vec<i64>), TchError> {
    let distances = Tensor::f_cdist(&a.f_to_kind(Kind::Double)?, &b.f_to_kind(Kind::Double)?, 2.0, None::<i64>)?;
    let (least, index) = distances.f_min_dim(1, false)?;
    Ok((Vec::try_from(least)?, Vec::try_from(index)?))
}

/// The mean distance between two different rows: how much there is in a set.
///
/// # Errors
/// When there are fewer than two rows.
pub fn diversity(rows: &Tensor) -> Result<f64, TchError> {
    let (count, _) = rows.size2()?;
    if count < 2 {
        return Err(TchError::Shape(format!("{count} vectors have no distances; expected two or more")));
    }
    let rows = rows.f_to_kind(Kind::Double)?;
    let sum = f64::try_from(Tensor::f_cdist(&rows, &rows, 2.0, None::<i64>)?.f_sum(Kind::Double)?)?;
    Ok(sum / (count * (count - 1)) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness_outlives_a_small_shift_and_not_another_picture() {
        let features = Features::open("person", Device::Cpu).unwrap();
        let stripes = |across: f64, phase: f64| {
            let places = Tensor::arange(64, (Kind::Float, Device::Cpu)).view([1, 64]).expand([64, 64], false);
            let down = Tensor::arange(64, (Kind::Float, Device::Cpu)).view([64, 1]).expand([64, 64], false);
            ((places * across + down * (1.0 - across)) * 0.4 + phase).sin() * 0.4 + 0.5
        };
        let pictures = [stripes(1.0, 0.0), stripes(1.0, 0.3), stripes(0.0, 0.0)];
        let vectors = features.of(&Tensor::stack(&pictures, 0).unsqueeze(1)).unwrap();
        let (least, which) = nearest(&vectors.narrow(0, 0, 1), &vectors.narrow(0, 1, 2)).unwrap();
        assert_eq!(which, [0]);
        let (other, _) = nearest(&vectors.narrow(0, 0, 1), &vectors.narrow(0, 2, 1)).unwrap();
        assert!(other[0] > 2.0 * least[0] && least[0] > 0.0, "{other:?} {least:?}");
        assert!(Features::open("denoise", Device::Cpu).err().unwrap().contains("no detector"));
    }

    #[test]
    fn distances_are_euclidean_and_leave_out_the_self() {
        let rows = Tensor::from_slice(&[0.0f32, 0.0, 3.0, 4.0, 0.0, 1.0]).view([3, 2]);
        let expected = (5.0 + 1.0 + 18f64.sqrt()) / 3.0;
        assert!((diversity(&rows).unwrap() - expected).abs() < 1e-6);
        assert!(diversity(&rows.narrow(0, 0, 1)).is_err());
    }
}
