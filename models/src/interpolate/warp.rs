//! Both pictures moved to the wanted time along a field of vectors.
//!
//! Blocks overlap by half on each side and are blended by windows that add up to one (overlapped block motion
//! compensation, Orchard and Sullivan 1994), so that no edge of a block can be seen.

use super::motion::{CELL, Field, part};
use super::still::Still;
use crate::codec::motion::Reference;
use crate::codec::picture::{Picture, Plane};
use crate::codec::symbols::Vector;

/// Rising and falling halves of a raised cosine, in sixteenths: what is half a window apart adds up to 16.
const LUMA: [u16; 16] = [0, 1, 4, 6, 10, 12, 15, 16, 16, 15, 12, 10, 6, 4, 1, 0];
const CHROMA: [u16; 8] = [1, 5, 11, 15, 15, 11, 5, 1];

/// The first and the second picture as they would be at `time`, if all that was to be seen in either was to be seen then.
pub fn warp(before: &Still, after: &Still, field: &Field, time: f32) -> [Picture; 2] {
    let (columns, rows) = before.blocks();
    let mut moved = [Picture::grey(columns, rows), Picture::grey(columns, rows)];
    let back = |vector: Vector| Vector { x: -part(vector.x, time), y: -part(vector.y, time) };
    let forth = |vector: Vector| {
        let Vector { x, y } = back(vector);
        Vector { x: x + vector.x, y: y + vector.y }
    };
    let sides: [(&Reference, &(dyn Fn(Vector) -> Vector + Sync)); 2] =
        [(&before.reference, &back), (&after.reference, &forth)];
    std::thread::scope(|scope| {
        for ((reference, along), picture) in sides.into_iter().zip(&mut moved) {
            scope.spawn(move || {
                let vectors: Vec<Vector> = field.vectors.iter().map(|&vector| along(vector)).collect();
                for (plane, out) in picture.planes.iter_mut().enumerate() {
                    let put = |place, vector, room: &mut [u8]| match plane {
                        0 => reference.put_luma::<16>(place, vector, room, 16),
                        _ => reference.put_chroma::<8>(plane, place, vector, room, 8),
                    };
                    match plane {
                        0 => overlap::<16>(field, &vectors, &LUMA, out, put),
                        _ => overlap::<8>(field, &vectors, &CHROMA, out, put),
                    }
                }
            });
        }
    });
    moved
}

/// Blends windows of `N` x `N` samples, twice the block's size, which `put` writes for a place and a vector.
fn overlap<const N: usize>(
    field: &Field,
    vectors: &[Vector],
    window: &[u16; N],
    out: &mut Plane,
    put: impl Fn((i32, i32), Vector, &mut [u8]),
) {
    let size = N / 2;
    // Blocks beyond the border lean in: one more on each side, with the vector of the nearest that is in the picture.
    let stride = out.width + 2 * N;
    let mut room = [0u8; 256];
    // Sums of half a window's rows that the next row of blocks adds to.
    let mut sums = vec![0u16; stride * N];
    let half = size * stride;
    for row in -1..=field.rows as i32 {
        for column in -1..=field.columns as i32 {
            let at = |cell: i32| cell * size as i32 - (size / 2) as i32;
            let vector = vectors[field.nearest(column, row)];
            put((at(column), at(row)), vector, &mut room[..N * N]);
            let left = (at(column) + N as i32) as usize;
            for (y, (samples, &down)) in room.chunks_exact(N).take(N).zip(window).enumerate() {
                let sums = &mut sums[y * stride + left..][..N];
                for ((sum, &sample), &across) in sums.iter_mut().zip(samples).zip(window) {
                    *sum += u16::from(sample) * (across * down);
                }
            }
        }
        // The upper half is complete now.
        let top = row * size as i32 - (size / 2) as i32;
        for y in 0..size {
            let line = top + y as i32;
            if line >= 0 && (line as usize) < out.height {
                let sums = &sums[y * stride + N..][..out.width];
                for (value, &sum) in out.row_mut(line as usize).iter_mut().zip(sums) {
                    *value = ((u32::from(sum) + 128) >> 8) as u8;
                }
            }
        }
        sums.copy_within(half.., 0);
        sums[half..].fill(0);
    }
}

const _: () = assert!(CELL * 2 == 16, "windows are twice a block's size");

#[cfg(test)]
mod tests {
    use super::super::testing::texture;
    use super::*;
    use crate::metrics::psnr::psnr;

    #[test]
    fn windows_add_up_to_one() {
        (0..8).for_each(|i| assert_eq!(LUMA[i] + LUMA[i + 8], 16));
        (0..4).for_each(|i| assert_eq!(CHROMA[i] + CHROMA[i + 4], 16));
        let still = Still::new(Picture::grey(3, 2));
        let vectors = (0..24).map(|i| Vector { x: i * 9 - 100, y: 50 - i * 7 }).collect();
        let field = Field { columns: 6, rows: 4, vectors, errors: vec![0; 24] };
        for picture in warp(&still, &still, &field, 0.3) {
            assert_eq!(picture, Picture::grey(3, 2), "a constant stays itself, at the border too");
        }
    }

    #[test]
    fn both_pictures_come_to_the_wanted_time() {
        let (before, after) = (Still::new(texture(8, 6, 0.0, 0.0)), Still::new(texture(8, 6, 8.0, -4.0)));
        let vectors = vec![Vector { x: 32, y: -16 }; 16 * 12];
        let field = Field { columns: 16, rows: 12, errors: vec![0; vectors.len()], vectors };
        for time in [0.0, 0.25, 0.5, 1.0, 1.5] {
            let truth = texture(8, 6, 8.0 * time, -4.0 * time);
            for moved in warp(&before, &after, &field, time) {
                for (index, (made, truth)) in moved.planes.iter().zip(&truth.planes).enumerate() {
                    let inner = |plane: &Plane| -> Vec<u8> {
                        let border = if index == 0 { 16 } else { 8 };
                        let rows = border..plane.height - border;
                        rows.flat_map(|y| plane.row(y)[border..plane.width - border].to_vec()).collect()
                    };
                    let score = psnr(&inner(made), &inner(truth));
                    assert!(score > 42.0, "plane {index} at {time}: {score} dB");
                }
            }
        }
    }
}
