//! What a camera that does not move always sees: a picture that a model adapted to it carries, so that key frames can be
//! predicted as inter pictures are.

use safetensors::{Dtype, SafeTensors};

use super::picture::{Picture, Plane};
use super::stream::SIDE_MAX;

/// Names of the tensors of bytes that hold the planes, `(rows, columns)`.
pub const TENSORS: [&str; 3] = ["still.y", "still.u", "still.v"];

/// The still of a weights file, if it has one; errors name the tensor.
pub fn read(file: &SafeTensors) -> Result<Option<Picture>, String> {
    if TENSORS.iter().all(|name| file.tensor(name).is_err()) {
        return Ok(None);
    }
    let plane = |index: usize| -> Result<Plane, String> {
        let name = TENSORS[index];
        let view =
            file.tensor(name).map_err(|_| format!("tensor '{name}' is missing; the others of the still are there"))?;
        match (view.dtype(), view.shape()) {
            (Dtype::U8, &[height, width]) => Ok(Plane { width, height, data: view.data().to_vec() }),
            (dtype, shape) => Err(format!("tensor '{name}' is {dtype:?} {shape:?}; expected U8 [rows, columns]")),
        }
    };
    let planes = [plane(0)?, plane(1)?, plane(2)?];
    let [y, u, v] = &planes;
    let fits = |side: usize| side > 0 && side.is_multiple_of(16) && side <= usize::from(SIDE_MAX);
    let half = |p: &Plane| (p.width * 2, p.height * 2) == (y.width, y.height);
    if fits(y.width) && fits(y.height) && half(u) && half(v) {
        return Ok(Some(Picture { planes }));
    }
    let size = |p: &Plane| format!("{}x{}", p.width, p.height);
    Err(format!(
        "the still has planes of {}, {} and {}; expected whole blocks of 16x16 up to {SIDE_MAX}, chroma half of it each way",
        size(y),
        size(u),
        size(v)
    ))
}

/// The median over time of each sample: what moves is in no place most of the time. `None` of no pictures; all have one size.
pub fn median(pictures: &[Picture]) -> Option<Picture> {
    let mut still = pictures.first()?.clone();
    let mut values = vec![0; pictures.len()];
    for (index, plane) in still.planes.iter_mut().enumerate() {
        for (at, sample) in plane.data.iter_mut().enumerate() {
            for (value, picture) in values.iter_mut().zip(pictures) {
                *value = picture.planes[index].data[at];
            }
            let middle = values.len() / 2;
            *sample = *values.select_nth_unstable(middle).1;
        }
    }
    Some(still)
}

/// Levels that the samples of a block differ from their mean at least, on average, for the block to have structure.
const STRUCTURE: i32 = 4;

/// Of the 16x16 blocks of luma in which the still has structure, the share that has the same structure in the picture: high
/// where the camera stands still, however bright it is and whatever passes. Zero where nothing has structure.
pub fn share(still: &Picture, picture: &Picture) -> f64 {
    let (columns, rows) = picture.blocks();
    let (mut structured, mut near) = (0, 0);
    for block in 0..columns * rows {
        let (x, y) = (block % columns * 16, block / columns * 16);
        // Differences from the mean: exposure and daylight move all samples of a block alike.
        let structure = |picture: &Picture| -> Vec<i32> {
            let rows = (y..y + 16).map(|row| &picture.planes[0].row(row)[x..x + 16]);
            let samples: Vec<i32> = rows.flatten().map(|sample| i32::from(*sample)).collect();
            let mean = samples.iter().sum::<i32>() / 256;
            samples.iter().map(|sample| sample - mean).collect()
        };
        let (now, then) = (structure(picture), structure(still));
        let strength: i32 = then.iter().map(|sample| sample.abs()).sum();
        let change: i32 = now.iter().zip(&then).map(|(a, b)| (a - b).abs()).sum();
        if strength >= STRUCTURE * 256 {
            structured += 1;
            near += u32::from(change * 2 <= strength);
        }
    }
    f64::from(near) / f64::from(structured.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn file(planes: [(Dtype, Vec<usize>); 3]) -> Vec<u8> {
        let bytes = vec![7; 1 << 12];
        let views = planes.iter().zip(TENSORS).map(|((dtype, shape), name)| {
            let length = shape.iter().product::<usize>() * if *dtype == Dtype::U8 { 1 } else { 4 };
            (name, TensorView::new(*dtype, shape.clone(), &bytes[..length]).unwrap())
        });
        safetensors::serialize(views, &None).unwrap()
    }

    fn read_from(bytes: &[u8]) -> Result<Option<Picture>, String> {
        read(&SafeTensors::deserialize(bytes).unwrap())
    }

    #[test]
    fn a_still_is_read_and_a_wrong_one_named() {
        let u8s = |sizes: [[usize; 2]; 3]| file(sizes.map(|size| (Dtype::U8, size.to_vec())));
        let still = read_from(&u8s([[16, 32], [8, 16], [8, 16]])).unwrap().unwrap();
        assert_eq!((still.blocks(), still.planes[2].data[0]), ((2, 1), 7));
        assert_eq!(read_from(&safetensors::serialize([] as [(&str, TensorView); 0], &None).unwrap()), Ok(None));
        let error = read_from(&u8s([[16, 30], [8, 15], [8, 15]])).unwrap_err();
        assert!(error.contains("30x16"), "{error}");
        assert!(read_from(&u8s([[16, 32], [8, 16], [8, 8]])).is_err());
        let error = read_from(&file([(Dtype::U8, vec![16, 16]), (Dtype::F32, vec![8, 8]), (Dtype::U8, vec![8, 8])]));
        assert!(error.unwrap_err().contains("'still.u' is F32"));
    }

    #[test]
    fn what_moves_is_not_in_the_median() {
        let mut pictures = vec![Picture::grey(2, 1); 5];
        for (index, picture) in pictures.iter_mut().enumerate() {
            picture.planes[0].data[index * 3] = 250;
            picture.planes[1].data[0] = index as u8;
        }
        let still = median(&pictures).unwrap();
        assert!(still.planes[0].data.iter().all(|s| *s == 128));
        assert_eq!(still.planes[1].data[0], 2);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_still_is_near_where_nothing_has_changed() {
        let mut still = Picture::grey(2, 1);
        for (at, sample) in still.planes[0].data.iter_mut().enumerate() {
            *sample = (at * 7 % 251) as u8;
        }
        let mut picture = still.clone();
        (0..16).for_each(|row| picture.planes[0].row_mut(row)[..16].reverse());
        assert_eq!((share(&still, &still), share(&still, &picture)), (1.0, 0.5));
        let mut brighter = still.clone();
        brighter.planes[0].data.iter_mut().for_each(|sample| *sample = (*sample / 2) + 100);
        still.planes[0].data.iter_mut().for_each(|sample| *sample /= 2);
        assert_eq!(share(&still, &brighter), 1.0);
        assert_eq!(share(&Picture::grey(2, 1), &still), 0.0, "nothing has structure");
    }
}
