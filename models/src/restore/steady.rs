//! Keeps what does not change from changing.
//!
//! A network that sees noise gives each frame a little of it, and where nothing moves the eye sees that as flicker. So where
//! nothing moves, and what a network makes of a square is no further from what it made before than noise takes it, the mean over
//! time is what is shown, of the last frames since the square came to rest: the more, the noisier they are. Further away, the
//! new picture comes in, and from twice that distance on it is all there is. Means are kept in 256ths of a level: in whole
//! levels they would stand still long before they are good.

use multiversion::multiversion;

use super::align::rests;
use super::samples::Frame;
use crate::codec::picture::Plane;
use crate::codec::symbols::Block;

/// Side of a square in luma samples: half a block of the motion search.
const SQUARE: usize = 8;
/// Frames that the network is left alone with what came to rest: it gets better with each, and means would lag behind.
const SETTLING: u16 = 4;
/// Pictures of the same thing are so many times their deviation further apart than flat ones: where there is something to see,
/// networks smooth less.
const DETAIL: f32 = 0.3;

/// Frames that a mean is of, at most, where the noise is of `level`.
fn memory(level: f64) -> u16 {
    (4.0 + 0.2 * level).round() as u16
}

/// How far pictures of the same flat thing are apart, root mean square in levels of 8 bits.
fn apart(level: f64) -> f32 {
    (0.8 + 0.11 * level) as f32
}

/// The means of one stream.
#[derive(Debug, Clone, Default)]
pub struct Steady {
    /// Of each plane, in 256ths of a level.
    means: [Vec<u16>; 3],
    /// Frames since each square came to rest.
    ages: Vec<u16>,
}

impl Steady {
    /// Shows means in `restored` where it did not move from `before`, which was restored of the frame before and moved by
    /// `blocks`, and hardly changed. `level` is that of the noise, standard deviation in levels of 8 bits.
    pub fn hold(&mut self, restored: &mut Frame, before: &Frame, blocks: &[Block], level: f64) {
        let luma = &restored.picture.planes[0];
        let (columns, rows) = (luma.width / SQUARE, luma.height / SQUARE);
        if blocks.len() * 4 != columns * rows || before.picture.planes[0].data.len() != luma.data.len() {
            *self = Steady::default();
            return;
        }
        if self.ages.len() != columns * rows {
            self.ages = vec![0; columns * rows];
            self.means = [0, 1, 2].map(|plane| fine(&before.picture.planes[plane].data));
        }
        hold(self, restored, before, blocks, level);
    }
}

// Compiled for several sets of instructions, as the smallest knows no rounding.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn hold(steady: &mut Steady, restored: &mut Frame, before: &Frame, blocks: &[Block], level: f64) {
    let (limit, memory) = (apart(level), memory(level));
    let columns = restored.picture.planes[0].width / SQUARE;
    for (square, age) in steady.ages.iter_mut().enumerate() {
        let (x, y) = (square % columns, square / columns);
        let kept = if rests(&blocks[y / 2 * (columns / 2) + x / 2]) {
            (2.0 - distance(restored, before, x * SQUARE, y * SQUARE, limit)).clamp(0.0, 1.0)
        } else {
            0.0
        };
        *age = ((f32::from(*age) * kept) as u16 + 1).min(SETTLING + memory);
        let weight = (1.0 - kept).max(1.0 / f32::from(age.saturating_sub(SETTLING).max(1)));
        let [luma, u, v] = &mut restored.picture.planes;
        let [of_luma, of_u, of_v] = &mut steady.means;
        take_in::<SQUARE>(of_luma, luma, (x, y), weight);
        take_in::<{ SQUARE / 2 }>(of_u, u, (x, y), weight);
        take_in::<{ SQUARE / 2 }>(of_v, v, (x, y), weight);
    }
}

/// Takes a square of `SIDE` samples, the one of column `x` and row `y`, into its means, and shows these.
#[inline(always)]
fn take_in<const SIDE: usize>(means: &mut [u16], plane: &mut Plane, (x, y): (usize, usize), weight: f32) {
    let width = plane.width;
    for row in y * SIDE..(y + 1) * SIDE {
        let at = row * width + x * SIDE;
        let rows = (means[at..].first_chunk_mut::<SIDE>(), plane.data[at..].first_chunk_mut::<SIDE>());
        let (Some(means), Some(samples)) = rows else { return };
        for (mean, sample) in means.iter_mut().zip(samples) {
            let old = f32::from(*mean);
            *mean = (old + (f32::from(*sample) * 256.0 - old) * weight).round() as u16;
            *sample = ((*mean + 128) >> 8) as u8;
        }
    }
}

fn fine(samples: &[u8]) -> Vec<u16> {
    samples.iter().map(|v| u16::from(*v) << 8).collect()
}

/// Root mean square of the difference of luma from `before`, as a part of how far pictures of that are apart; `flat` is how far
/// those of a flat square are.
#[inline(always)]
fn distance(now: &Frame, before: &Frame, x: usize, y: usize, flat: f32) -> f32 {
    let (mut sum, mut squares, mut apart) = (0i32, 0i32, 0i32);
    for y in y..y + SQUARE {
        let [now, before] = [now, before].map(|frame| &frame.picture.planes[0].row(y)[x..x + SQUARE]);
        for (now, before) in now.iter().zip(before) {
            let (now, before) = (i32::from(*now), i32::from(*before));
            sum += before;
            squares += before * before;
            apart += (now - before).pow(2);
        }
    }
    let count = (SQUARE * SQUARE) as f32;
    let deviation = (squares as f32 / count - (sum as f32 / count).powi(2)).max(0.0).sqrt();
    (apart as f32 / count).sqrt() / (flat + DETAIL * deviation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::picture::Picture;
    use crate::codec::symbols::{Mode, Vector};

    fn frame(value: u8) -> Frame {
        let mut picture = Picture::grey(4, 2);
        picture.planes.iter_mut().for_each(|plane| plane.data.fill(value));
        Frame { picture, width: 64, height: 32 }
    }

    fn skipped() -> Vec<Block> {
        vec![Block { mode: Mode::Skip, ..Block::default() }; 8]
    }

    /// Where distances of 2 levels are those of noise.
    const LEVEL: f64 = 1.2 / 0.11;

    #[test]
    fn what_hardly_changes_comes_to_its_mean_and_what_changes_comes_in() {
        let (mut steady, mut shown) = (Steady::default(), frame(100));
        for number in 0..60 {
            let mut now = frame(if number % 2 == 0 { 101 } else { 102 });
            steady.hold(&mut now, &shown, &skipped(), LEVEL);
            shown = now;
        }
        let mean = f64::from(steady.means[0][0]) / 256.0;
        assert!((mean - 101.5).abs() < 0.1, "{mean}");
        // Half as far again as noise goes, and more than twice as far.
        let rest = shown.picture.planes[0].data[0];
        for (value, expected) in [(rest + 3, rest + 1..=rest + 2), (rest + 8, rest + 8..=rest + 8)] {
            let (mut steady, mut now) = (steady.clone(), frame(value));
            steady.hold(&mut now, &shown, &skipped(), LEVEL);
            for plane in &now.picture.planes {
                assert!(plane.data.iter().all(|v| expected.contains(v)), "{value}: {:?}", plane.data.first());
            }
        }
    }

    #[test]
    fn what_moves_comes_in_and_what_is_about_it_stays() {
        let (mut steady, before) = (Steady::default(), frame(100));
        for _ in 0..9 {
            steady.hold(&mut frame(100), &before, &skipped(), LEVEL);
        }
        let mut blocks = skipped();
        blocks[0].vectors[0] = Vector { x: 4, y: 0 };
        blocks[3].mode = Mode::Flat;
        let mut now = frame(101);
        // Few samples, but far off.
        now.picture.planes[0].row_mut(28)[28] = 130;
        steady.hold(&mut now, &before, &blocks, LEVEL);
        let at = |x: usize, y: usize| now.picture.planes[0].row(y)[x];
        assert_eq!((at(3, 3), at(15, 15), at(60, 3)), (101, 101, 101));
        assert_eq!((at(28, 28), at(24, 24), at(23, 28), at(28, 23)), (130, 101, 100, 100));
        assert_eq!((at(16, 3), at(20, 20), at(47, 3), at(60, 30)), (100, 100, 100, 100));
    }

    #[test]
    fn another_size_begins_anew() {
        let (mut steady, mut now) = (Steady::default(), frame(101));
        steady.hold(&mut now, &frame(100), &skipped()[1..], LEVEL);
        assert_eq!(now, frame(101));
    }
}
