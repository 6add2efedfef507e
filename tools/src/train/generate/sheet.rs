//! Pictures side by side, as a PNG.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tch::{Kind, Tensor};

/// Writes `pictures`, `(N, 1 or 3, H, W)` of 0 to 1, in rows of `columns`.
pub fn write(path: &Path, pictures: &Tensor, columns: usize) -> Result<()> {
    let (count, colours, height, width) = pictures.size4()?;
    ensure!(count > 0 && columns > 0, "a sheet without pictures");
    let columns = columns.min(count as usize);
    let rows = (count as usize).div_ceil(columns);
    let (width, height) = (width as usize, height as usize);
    let rgb = pictures.f_expand([count, 3, height as i64, width as i64], false)?;
    ensure!([1, 3].contains(&colours), "pictures of {colours} colours");
    let levels = rgb.f_mul_scalar(255.0)?.f_round()?.f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)?;
    let levels: Vec<u8> = Vec::try_from(levels.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_flatten(0, -1)?)?;
    let mut sheet = image::RgbImage::new((columns * (width + 1) - 1) as u32, (rows * (height + 1) - 1) as u32);
    for (index, picture) in levels.chunks(width * height * 3).enumerate() {
        let (left, top) = (index % columns * (width + 1), index / columns * (height + 1));
        for (at, pixel) in picture.chunks(3).enumerate() {
            let rgb = image::Rgb([pixel[0], pixel[1], pixel[2]]);
            sheet.put_pixel((left + at % width) as u32, (top + at / width) as u32, rgb);
        }
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    sheet.save(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("sheet.png");
        let greys = Tensor::from_slice(&[0.0f32, 0.5, 1.0]).view([3, 1, 1, 1]).expand([3, 1, 4, 6], false);
        write(&path, &greys, 2).unwrap();
        let sheet = image::open(&path).unwrap().into_rgb8();
        assert_eq!(sheet.dimensions(), (13, 9));
        assert_eq!([(0, 0), (7, 0), (0, 5), (7, 5)].map(|(x, y)| sheet.get_pixel(x, y)[1]), [0, 128, 255, 0]);
        assert!(write(&path, &greys.narrow(0, 0, 0), 2).is_err());
    }
}
