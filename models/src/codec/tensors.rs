//! Pictures as the tensors that networks learn from; what codes pictures goes by way of [`super::cells`].

use tch::{Device, Kind, TchError, Tensor};

use super::network;
use super::picture::{Picture, Plane};

type Result<T> = std::result::Result<T, TchError>;

/// Cells `(N, 96, h, w)` of samples less 128, fp32.
pub fn of_pictures(pictures: &[&Picture]) -> Result<Tensor> {
    let stack = |index: usize| -> Result<Tensor> {
        let Plane { width, height, .. } = pictures[0].planes[index];
        let bytes = pictures.iter().map(|picture| &picture.planes[index].data[..]).collect::<Vec<_>>().concat();
        let size = [pictures.len() as i64, 1, height as i64, width as i64];
        Tensor::f_from_data_size(&bytes, &size, Kind::Uint8)?.f_to_kind(Kind::Float)?.f_add_scalar(-128.0)
    };
    network::cells(&[stack(0)?, stack(1)?, stack(2)?])
}

/// The inverse of [`of_pictures`]: rounded and clamped.
pub fn to_pictures(cells: &Tensor) -> Result<Vec<Picture>> {
    let whole = cells.f_detach()?.f_add_scalar(128.0)?.f_round()?.f_clamp(0.0, 255.0)?.f_to_device(Device::Cpu)?;
    let planes = network::planes(&whole)?;
    let bytes = planes
        .iter()
        .map(|p| Ok((p.size(), Vec::<u8>::try_from(p.f_to_kind(Kind::Uint8)?.f_contiguous()?.f_view([-1])?)?)))
        .collect::<Result<Vec<_>>>()?;
    let picture = |n: usize| {
        let plane = |(size, data): &(Vec<i64>, Vec<u8>)| {
            let (height, width) = (size[2] as usize, size[3] as usize);
            Plane { width, height, data: data[n * width * height..][..width * height].to_vec() }
        };
        Picture { planes: [plane(&bytes[0]), plane(&bytes[1]), plane(&bytes[2])] }
    };
    Ok((0..cells.size()[0] as usize).map(picture).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut pictures = vec![Picture::grey(2, 3), Picture::grey(2, 3)];
        for (i, picture) in pictures.iter_mut().enumerate() {
            for plane in &mut picture.planes {
                plane.data.iter_mut().enumerate().for_each(|(j, v)| *v = (i * 31 + j * 7) as u8);
            }
        }
        let tensor = of_pictures(&[&pictures[0], &pictures[1]]).unwrap();
        assert_eq!(tensor.size(), [2, 96, 6, 4]);
        assert_eq!(to_pictures(&tensor).unwrap(), pictures);
    }
}
