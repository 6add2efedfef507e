//! Pictures and latents as the tensors that the networks take.

use tch::{Device, Kind, TchError, Tensor};

use super::network;
use super::picture::{Picture, Plane};
use super::symbols::CELL;

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

/// Rows of four cells a block, as in `Symbols::levels`, as a map `(1, 96, h, w)` of fp32. `values` has a whole number of rows.
pub fn of_levels(levels: &[i16], columns: usize) -> Result<Tensor> {
    let [c, w] = [CELL as i64, columns as i64];
    let rows = (levels.len() / (columns * 4 * CELL)) as i64;
    let bytes: &[u8] = bytemuck::cast_slice(levels);
    let cells = Tensor::f_from_data_size(bytes, &[rows, w, 2, 2, c], Kind::Int16)?.f_to_kind(Kind::Float)?;
    cells.f_permute([4, 0, 2, 1, 3])?.f_contiguous()?.f_view([1, c, rows * 2, w * 2])
}

/// The inverse of [`of_levels`], of any numbers.
pub fn to_levels(map: &Tensor) -> Result<Vec<f32>> {
    let size = map.size();
    let [c, h, w] = [size[1], size[2], size[3]];
    let blocks = map.f_view([c, h / 2, 2, w / 2, 2])?.f_permute([1, 3, 2, 4, 0])?.f_contiguous()?;
    Vec::<f32>::try_from(blocks.f_to_device(Device::Cpu)?.f_view([-1])?)
}

/// Planes of whole numbers of cells `(1, 96, h, w)`.
pub fn to_planes(cells: &Tensor) -> Result<[Vec<i16>; 3]> {
    let planes = network::planes(&cells.f_to_device(Device::Cpu)?)?;
    let plane = |p: &Tensor| Vec::<i16>::try_from(p.f_to_kind(Kind::Int16)?.f_contiguous()?.f_view([-1])?);
    Ok([plane(&planes[0])?, plane(&planes[1])?, plane(&planes[2])?])
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

    #[test]
    fn latents_keep_their_places() {
        let (columns, rows) = (3, 2);
        let levels: Vec<i16> = (0..columns * rows * 4 * CELL).map(|i| i as i16).collect();
        let map = of_levels(&levels, columns).unwrap();
        assert_eq!(map.size(), [1, 96, 4, 6]);
        // Second row of blocks, third column, bottom left cell.
        let block = columns + 2;
        assert_eq!(map.double_value(&[0, 7, 3, 4]), f64::from(levels[(block * 4 + 2) * CELL + 7]));
        let back: Vec<i16> = to_levels(&map).unwrap().into_iter().map(|v| v as i16).collect();
        assert_eq!(back, levels);
    }
}
