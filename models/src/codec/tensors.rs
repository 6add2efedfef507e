//! Pictures as the tensors that networks learn from; what codes pictures goes by way of [`super::cells`].

use gst_torch_runtime::planes::{numbers, numbers_mut};
use tch::{Device, Kind, TchError, Tensor};

use super::cells::torch;
use super::network;
use super::picture::{Picture, Plane};
use super::quantise::{self, Around};
use super::symbols::{CELL, CELLS};

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

/// Levels as the encoder makes them of latents `(N, 96, h, w)`, in units of steps, fp32; as tensors, to train what decodes them.
///
/// # Errors
/// When `soft` has another shape or kind, or an odd number of cells across or down.
pub fn levels(soft: &Tensor, inter: bool) -> Result<Tensor> {
    let (count, channels, height, width) = soft.size4()?;
    // Cell by cell, four to a block: (n, y, below, x, right, latent) to (n, y, x, below, right, latent).
    let blocks = [count, channels, height / 2, 2, width / 2, 2];
    let order =
        soft.f_detach()?.f_to_device(Device::Cpu)?.f_view(blocks)?.f_permute([0, 2, 4, 3, 5, 1])?.f_contiguous()?;
    let latents = numbers::<f32>(&order).map_err(torch)?;
    let mut levels = order.f_zeros_like()?;
    let out = numbers_mut::<f32>(&mut levels).map_err(torch)?;
    let one = (height * width) as usize * CELL;
    for (soft, out) in latents.chunks(one).zip(out.chunks_mut(one)) {
        for (at, out) in out.chunks_mut(CELL).enumerate() {
            let mut levels = [0; CELL];
            quantise::cell(&Around::new(soft, width as usize / 2, at / CELLS, at % CELLS), inter, true, &mut levels);
            out.iter_mut().zip(levels).for_each(|(out, level)| *out = level.into());
        }
    }
    levels.f_permute([0, 5, 1, 3, 2, 4])?.f_reshape(soft.size())?.f_to_device(soft.device())
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
    fn levels_are_those_of_the_encoder() {
        tch::manual_seed(4);
        let (columns, rows) = (3, 2);
        let soft = Tensor::randn([2, 96, 2 * rows, 2 * columns], (Kind::Float, Device::Cpu)) * 1.5;
        let made = levels(&soft, true).unwrap();
        assert_eq!(made.size(), soft.size());
        let mut some = 0;
        for picture in 0..2 {
            let latent = |from: &Tensor, (x, y): (i64, i64), k: usize| from.double_value(&[picture, k as i64, y, x]);
            let place = |block: i64, cell: i64| (block % columns * 2 + cell % 2, block / columns * 2 + cell / 2);
            let own: Vec<f32> = (0..columns * rows)
                .flat_map(|block| (0..4).map(move |cell| (block, cell)))
                .flat_map(|(block, cell)| (0..CELL).map(move |k| (block, cell, k)))
                .map(|(block, cell, k)| latent(&soft, place(block, cell), k) as f32)
                .collect();
            for at in 0..columns * rows * 4 {
                let mut expected = [0; CELL];
                let around = Around::new(&own, columns as usize, at as usize / CELLS, at as usize % CELLS);
                quantise::cell(&around, true, true, &mut expected);
                for (k, level) in expected.into_iter().enumerate() {
                    assert_eq!(latent(&made, place(at / 4, at % 4), k), f64::from(level), "{at} {k}");
                    some += usize::from(level != 0);
                }
            }
        }
        assert!(some > 500, "{some}");
    }
}
