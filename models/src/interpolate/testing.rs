//! Pictures for the tests of this module.

use crate::codec::picture::Picture;

/// Waves in all three planes, moved right and down by so many luma samples.
pub fn texture(columns: usize, rows: usize, right: f32, down: f32) -> Picture {
    let mut picture = Picture::grey(columns, rows);
    for (index, plane) in picture.planes.iter_mut().enumerate() {
        let scale = if index == 0 { 1.0 } else { 2.0 };
        for y in 0..plane.height {
            for (x, value) in plane.row_mut(y).iter_mut().enumerate() {
                let (u, v) = (x as f32 * scale - right, y as f32 * scale - down);
                let wave =
                    (u * 0.21 + (v * 0.05).sin() * 2.0).sin() * (v * 0.17).cos() + 0.5 * (u * 0.06 - v * 0.09).sin();
                *value = (128.0 + 60.0 * wave) as u8;
            }
        }
    }
    picture
}

/// Nothing of it is found in any other seed's.
pub fn noise(columns: usize, rows: usize, seed: u32) -> Picture {
    let mut picture = Picture::grey(columns, rows);
    let mut state = seed;
    for value in picture.planes.iter_mut().flat_map(|plane| &mut plane.data) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (state >> 24) as u8;
    }
    picture
}
