//! Keeps what does not change from changing.
//!
//! A network that sees noise gives each frame a little of it, and where nothing moves the eye sees that as flicker. So where
//! what a network makes of a square is no further from what is shown than noise takes it, the mean over time is what is shown, of
//! the frames since the square came to rest. Further away, the new picture comes in, and from twice that distance on it is all
//! there is. Light is let in at once: over many squares there is little noise. Means are kept in 256ths of a level: in whole
//! levels they would stand still long before they are good.

use multiversion::multiversion;

use super::align::rests;
use super::samples::Frame;
use super::windows;
use crate::codec::picture::Plane;
use crate::codec::symbols::Block;

/// Side of a square in luma samples: half a block of the motion search.
const SQUARE: usize = 8;
/// Frames that the network is left alone with what came to rest: it gets better with each, and means would lag behind.
const SETTLING: u16 = 12;
/// Pictures of the same thing are so many times their deviation further apart than flat ones: where there is something to see,
/// networks smooth less. With 0.3, what creeps is left behind.
const DETAIL: f32 = 0.08;
/// What the motion search found elsewhere, as it does in noise, must be so many times nearer to rest.
const MOVED: f32 = 1.3;
/// Squares on each side over which light is taken the mean of, and again of these means.
const LIGHT: usize = 4;
/// Of a change of light, as much comes in with a frame.
const BRIGHTER: f32 = 0.5;
/// A weight of 1 in whole numbers: with changes of 16 bits, what 32 bits hold.
const WHOLE: i32 = 1 << 15;

/// Frames after which a mean takes in as much of each new one, where the noise is of `level`.
fn memory(level: f64) -> u16 {
    (4.0 + 2.0 * level).round() as u16
}

/// How far pictures of the same flat thing are apart, root mean square in levels of 8 bits.
fn apart(level: f64) -> f32 {
    (0.8 + 0.18 * level + 0.0022 * level * level) as f32
}

/// As how much of the mean the `age`-th frame counts. Less than as much as each of the others: what a network makes still changes
/// for long, too slowly to see, and a mean of all would go with it.
fn share(age: u16) -> f32 {
    let age = f32::from(age.max(1));
    1.0 / (age * age.sqrt())
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
    /// Shows means in `restored` where it hardly differs from them. `blocks` are what the motion search found of the frame
    /// before; `level` is that of the noise, standard deviation in levels of 8 bits. Frames of another size begin anew.
    pub fn hold(&mut self, restored: &mut Frame, blocks: &[Block], level: f64) {
        let planes = &restored.picture.planes;
        let (columns, rows) = (planes[0].width / SQUARE, planes[0].height / SQUARE);
        if blocks.len() * 4 != columns * rows {
            *self = Steady::default();
            return;
        }
        if self.ages.len() != columns * rows {
            self.ages = vec![0; columns * rows];
            self.means = [0, 1, 2].map(|plane| planes[plane].data.iter().map(|v| u16::from(*v) << 8).collect());
        }
        let (kept, mut brighter) = take_in(self, restored, blocks, level);
        spread(&mut brighter, &kept, columns);
        show(self, restored, &brighter);
    }
}

/// Takes the squares into their means. How much of each was kept, 0 to 1, and how much brighter than its means it is, in levels.
// Compiled for several sets of instructions, as the smallest knows no rounding.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn take_in(steady: &mut Steady, restored: &Frame, blocks: &[Block], level: f64) -> (Vec<f32>, Vec<f32>) {
    let (limit, memory) = (apart(level), memory(level));
    let [luma, u, v] = &restored.picture.planes;
    let [of_luma, of_u, of_v] = &mut steady.means;
    let columns = luma.width / SQUARE;
    let squares = steady.ages.iter_mut().enumerate().map(|(square, age)| {
        let (x, y) = (square % columns, square / columns);
        let (distance, brighter) = distance(luma, of_luma, (x, y), limit);
        let found_here = rests(&blocks[y / 2 * (columns / 2) + x / 2]);
        let kept = (2.0 - distance * if found_here { 1.0 } else { MOVED }).clamp(0.0, 1.0);
        *age = ((f32::from(*age) * kept) as u16 + 1).min(SETTLING + memory);
        let weight = (1.0 - kept).max(share(age.saturating_sub(SETTLING)));
        let parts = (weight * WHOLE as f32).round() as i32;
        mix::<SQUARE>(of_luma, luma, (x, y), parts);
        mix::<{ SQUARE / 2 }>(of_u, u, (x, y), parts);
        mix::<{ SQUARE / 2 }>(of_v, v, (x, y), parts);
        (kept, brighter * (1.0 - weight))
    });
    squares.unzip()
}

/// Takes a square of `SIDE` samples, the one of column `x` and row `y`, into its means with a weight of so many parts of
/// [`WHOLE`].
#[inline(always)]
fn mix<const SIDE: usize>(means: &mut [u16], plane: &Plane, (x, y): (usize, usize), weight: i32) {
    for row in y * SIDE..(y + 1) * SIDE {
        let at = row * plane.width + x * SIDE;
        let rows = (means[at..].first_chunk_mut::<SIDE>(), plane.data[at..].first_chunk::<SIDE>());
        let (Some(means), Some(samples)) = rows else { return };
        // All is read before any is written: eight at a time.
        let old = means.map(i32::from);
        *means = std::array::from_fn(|x| {
            let change = (i32::from(samples[x]) << 8) - old[x];
            (old[x] + ((change * weight + WHOLE / 2) >> WHOLE.ilog2())) as u16
        });
    }
}

/// How far a square of luma, the one of column `x` and row `y`, is from its means, as a part of how far pictures of the same thing
/// are apart: root mean square of the difference, or twice the difference of brightness, in which there is less noise. `flat` is
/// how far those of a flat square are. And how much brighter it is, in levels.
#[inline(always)]
fn distance(now: &Plane, means: &[u16], (x, y): (usize, usize), flat: f32) -> (f32, f32) {
    let (mut sum, mut squares, mut brighter, mut apart) = (0i32, 0i32, 0i32, 0i32);
    for row in y * SQUARE..(y + 1) * SQUARE {
        let from = row * now.width + x * SQUARE;
        for (now, mean) in now.data[from..from + SQUARE].iter().zip(&means[from..from + SQUARE]) {
            let (now, mean) = (i32::from(*now), i32::from((mean + 128) >> 8));
            sum += mean;
            squares += mean * mean;
            brighter += now - mean;
            apart += (now - mean).pow(2);
        }
    }
    let of_all = |sum: i32| sum as f32 / (SQUARE * SQUARE) as f32;
    let deviation = (of_all(squares) - of_all(sum).powi(2)).max(0.0).sqrt();
    let differs = of_all(apart).sqrt().max(2.0 * of_all(brighter).abs());
    (differs / (flat + DETAIL * deviation), of_all(brighter))
}

/// Makes of how much brighter each square is how much brighter the light is there: the mean of what was kept about it.
fn spread(brighter: &mut [f32], kept: &[f32], columns: usize) {
    // In 256ths, as the means. Windows twice over take from no wave what they do not give: light that is let in time and again
    // would grow otherwise.
    let fine = |value: f32| (value * 256.0).round() as i32;
    let about = |values: Vec<i32>| windows::sums(&windows::sums(&values, columns, LIGHT), columns, LIGHT);
    let sums = about(brighter.iter().zip(kept).map(|(brighter, kept)| fine(brighter * kept)).collect());
    let counts = about(kept.iter().map(|kept| fine(*kept)).collect());
    for ((brighter, kept), (sum, count)) in brighter.iter_mut().zip(kept).zip(sums.into_iter().zip(counts)) {
        *brighter = BRIGHTER * kept * sum as f32 / count.max(1) as f32;
    }
}

/// Shows the means, in luma by so many levels brighter.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn show(steady: &mut Steady, restored: &mut Frame, brighter: &[f32]) {
    let [luma, u, v] = &mut restored.picture.planes;
    let [of_luma, of_u, of_v] = &mut steady.means;
    let columns = luma.width / SQUARE;
    for (y, row) in of_luma.chunks_exact_mut(luma.width).enumerate() {
        for (means, brighter) in row.as_chunks_mut::<SQUARE>().0.iter_mut().zip(&brighter[y / SQUARE * columns..]) {
            let brighter = (brighter * 256.0).round() as i32;
            means.iter_mut().for_each(|mean| *mean = (i32::from(*mean) + brighter).clamp(0, 255 << 8) as u16);
        }
    }
    for (means, plane) in [(of_luma, luma), (of_u, u), (of_v, v)] {
        for (sample, mean) in plane.data.iter_mut().zip(means) {
            *sample = ((*mean + 128) >> 8) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::picture::Picture;
    use crate::codec::symbols::{Mode, Vector};

    /// Of columns and rows of blocks.
    const SIZE: (usize, usize) = (12, 8);
    /// Noise of which flat pictures are 2.8 levels apart.
    const LEVEL: f64 = 10.0;

    /// Samples of luma at `x` and `y`, in grey.
    fn frame(luma: impl Fn(usize, usize) -> f64) -> Frame {
        let mut picture = Picture::grey(SIZE.0, SIZE.1);
        let plane = &mut picture.planes[0];
        let width = plane.width;
        plane.data.iter_mut().enumerate().for_each(|(at, v)| *v = luma(at % width, at / width).round() as u8);
        Frame { picture, width: SIZE.0 * 16, height: SIZE.1 * 16 }
    }

    /// Every other sample by so much above and below the mean.
    fn chequered(by: f64) -> impl Fn(usize, usize) -> f64 {
        move |x, y| if (x + y) % 2 == 0 { by } else { -by }
    }

    fn resting() -> Vec<Block> {
        vec![Block { mode: Mode::Skip, ..Block::default() }; SIZE.0 * SIZE.1]
    }

    /// What is shown of `now`.
    fn held(steady: &mut Steady, mut now: Frame, blocks: &[Block]) -> Frame {
        steady.hold(&mut now, blocks, LEVEL);
        now
    }

    /// After a grey of 100 for as long as it takes to settle.
    fn settled() -> Steady {
        let mut steady = Steady::default();
        for _ in 0..40 {
            held(&mut steady, frame(|_, _| 100.0), &resting());
        }
        steady
    }

    fn luma(frame: &Frame, x: usize, y: usize) -> u8 {
        frame.picture.planes[0].row(y)[x]
    }

    #[test]
    fn noise_comes_to_rest() {
        let mut steady = Steady::default();
        let shown: Vec<Frame> = (0..60)
            .map(|number| {
                let noise = chequered([1.0, 0.0, -1.0, 0.0][number % 4]);
                held(&mut steady, frame(|x, y| 100.0 + noise(x, y)), &resting())
            })
            .collect();
        // Left alone at first.
        assert_eq!((luma(&shown[0], 8, 8), luma(&shown[1], 8, 8), luma(&shown[2], 8, 8)), (101, 100, 99));
        let unlike = |pair: &[Frame]| luma(&pair[0], 8, 8) != luma(&pair[1], 8, 8);
        assert!(shown[30..].windows(2).filter(|pair| unlike(pair)).count() <= 2);
    }

    #[test]
    fn what_changes_comes_in_and_what_is_about_it_stays() {
        let steady = settled();
        let shown = |by: f64, blocks: &[Block]| {
            let noise = chequered(by);
            let inside = |x: usize, y: usize| (48..64).contains(&x) && (32..48).contains(&y);
            let now = frame(|x, y| 100.0 + if inside(x, y) { noise(x, y) } else { 0.0 });
            let shown = held(&mut steady.clone(), now, blocks);
            assert!((0..128).all(|y| (0..192).all(|x| inside(x, y) || luma(&shown, x, y) == 100)));
            luma(&shown, 48, 32)
        };
        // As far as noise goes, half as far again, and more than twice as far.
        assert_eq!((shown(2.0, &resting()), shown(4.0, &resting()), shown(6.0, &resting())), (100, 102, 106));
        // If it seems to have moved, it is noise if it is near.
        let mut moved = resting();
        moved[2 * SIZE.0 + 3].vectors[0] = Vector { x: 4, y: 0 };
        assert_eq!((shown(1.0, &moved), shown(2.0, &moved), shown(4.0, &moved)), (100, 100, 104));
    }

    #[test]
    fn few_samples_far_off_are_seen_and_so_is_a_little_more_light_on_many() {
        let shown = held(&mut settled(), frame(|x, y| if (x, y) == (50, 36) { 145.0 } else { 100.0 }), &resting());
        assert_eq!(luma(&shown, 50, 36), 145);
        let mut steady = settled();
        for number in 1..=60 {
            let light = 100.0 + f64::from(number);
            let shown = held(&mut steady, frame(|_, _| light), &resting());
            let worst = shown.picture.planes[0].data.iter().map(|v| (light - f64::from(*v)).abs()).fold(0.0, f64::max);
            assert!(worst <= 2.0, "{light}: {worst} behind");
        }
    }

    #[test]
    fn the_largest_changes_are_taken_in_by_their_weight() {
        for (before, now, expected) in [(0u16, 255, 39_168i32), (255, 0, 26_112)] {
            let mut means = vec![before << 8; SQUARE * SQUARE];
            mix::<SQUARE>(&mut means, &Plane::new(SQUARE, SQUARE, now), (0, 0), (0.6 * WHOLE as f32) as i32);
            assert!(means.iter().all(|mean| (i32::from(*mean) - expected).abs() <= 2), "{}", means[0]);
        }
    }

    #[test]
    fn light_that_came_and_stays_is_shown_as_it_is() {
        let mut steady = settled();
        let shown = (0..20).map(|_| held(&mut steady, frame(|_, _| 101.0), &resting())).last().unwrap();
        assert!(shown.picture.planes[0].data.iter().all(|v| *v == 101));
    }

    /// A twentieth of a sample a frame: no block leaves its place.
    #[test]
    fn what_creeps_is_not_left_behind() {
        let mut steady = Steady::default();
        for number in 0..200 {
            let wave =
                |x: usize| 100.0 + 28.0 * ((x as f64 - 0.05 * f64::from(number)) * std::f64::consts::TAU / 16.0).sin();
            let shown = held(&mut steady, frame(|x, _| wave(x)), &resting());
            let squares = (0..192).map(|x| (f64::from(luma(&shown, x, 64)) - wave(x)).powi(2)).sum::<f64>();
            let apart = (squares / 192.0).sqrt();
            assert!(apart < 5.0, "frame {number}: {apart} levels behind");
        }
    }

    #[test]
    fn another_size_begins_anew() {
        let mut steady = settled();
        let now = frame(|_, _| 101.0);
        assert_eq!(held(&mut steady, now.clone(), &resting()[1..]), now);
        assert!(steady.ages.is_empty());
    }
}
