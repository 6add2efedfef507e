//! Moves what was restored of the frame before to where things are in the present one.
//!
//! The motion is found by the codec's block search, between the noisy frame and the restored one, both smoothed alike so
//! that noise does not decide; what is moved is the restored frame as it is. A block that was nowhere before is left out: a
//! picture that is wrong makes ghosts, none at all makes noise for one frame.

use std::thread;

use super::samples::Frame;
use crate::codec::motion::{self, Effort, Reference, Settings};
use crate::codec::picture::{Picture, Plane};
use crate::codec::symbols::{Block, Mode, Vector};

/// How far things may move between two frames, in luma samples.
const RANGE: u16 = 32;
/// Above this noise, pictures are smoothed twice.
const NOISY: f64 = 20.0;
/// Side of a block in luma samples.
const SIDE: usize = 16;
/// When a block may stay: if the mean square of its difference is at most so many times that of noise, whose own mean over a
/// block that is smoothed deviates by a sixth, and besides [`SOFT`] or [`BLUR`]; unless what was found is so many times better.
struct Patience {
    noise: f64,
    better: f64,
    /// Of the blocks about it, so many must rest, as a part of all.
    about: f64,
}

/// First by what it is, then by where it is: amid what rests, hardly anything moves.
const PATIENCE: [Patience; 2] =
    [Patience { noise: 1.6, better: 1.5, about: 0.0 }, Patience { noise: 3.0, better: 4.0, about: 0.85 }];
/// A block whose difference has a mean square of so many times that of noise is where it belongs, the second where all about it
/// rested before: what would match better would match the noise.
const ENOUGH: [f64; 2] = [1.0, 1.9];
/// A part of a block's variance, as which texture that was not restored counts, or so many squared levels.
const SOFT: f64 = 0.15;
const BLUR: f64 = 10.0;
/// Rows of blocks from which a second thread is worth its start.
const ROWS_APART: usize = 16;

/// Finds motion, and remembers it as what is likely to go on. One for each stream.
#[derive(Debug, Clone, Default)]
pub struct Aligner {
    blocks: Vec<Block>,
}

impl Aligner {
    /// `before`, as restored, moved to where its things are in `frame`, which has noise of `level` (standard deviation in
    /// levels of 8 bits). Blocks that are not found are all 0, luma and chroma. `None` if the sizes differ.
    pub fn align(&mut self, frame: &Frame, before: &Frame, level: f64) -> Option<Frame> {
        if (frame.width, frame.height) != (before.width, before.height) {
            return None;
        }
        let times = if level > NOISY { 2 } else { 1 };
        let (target, smooth) = (smoothed(&frame.picture, times), smoothed(&before.picture, times));
        let (reference, searched) = (Reference::new(&before.picture), Reference::new(&smooth));
        let settings = settings(level, times);
        let (columns, rows) = target.blocks();
        let former = (self.blocks.len() == columns * rows).then_some(&self.blocks[..]);

        // Slices of rows do not see each other's vectors, so that two threads can have one each.
        let middle = if rows >= ROWS_APART { rows / 2 } else { rows };
        let slice = |first: usize, last: usize| {
            let former = former.map(|blocks| &blocks[first * columns..last * columns]);
            let mut blocks = motion::search(&target, &searched, None, first..last, former, &settings);
            let mut moved = Picture::grey(columns, last - first);
            motion::compensate(&searched, None, &blocks, columns, first, &mut moved);
            settle(&mut blocks, &target, &smooth, &moved, (first, frame.height), left(level, times));
            motion::compensate(&reference, None, &blocks, columns, first, &mut moved);
            blank(&blocks, columns, &mut moved);
            (blocks, moved)
        };
        let (mut blocks, mut moved) = (Vec::new(), Picture::grey(columns, 0));
        let mut take = |(found, part): (Vec<Block>, Picture)| {
            blocks.extend(found);
            append(&mut moved, part);
        };
        if middle == rows {
            take(slice(0, rows));
        } else {
            let (above, below) = thread::scope(|scope| {
                let below = scope.spawn(|| slice(middle, rows));
                (slice(0, middle), below.join())
            });
            take(above);
            take(below.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        self.blocks = blocks;
        Some(Frame { picture: moved, width: frame.width, height: frame.height })
    }

    /// What was found last: blocks of 16x16 luma samples in reading order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }
}

/// What smoothing leaves of the noise is what the search should not look into. The price of a bit is several times the codec's:
/// noise, too, has a best match somewhere, and only its neighbours tell a block that it is none.
fn settings(level: f64, times: usize) -> Settings {
    let left = left(level, times);
    Settings {
        lambda: (2.5 * left) as f32 + 1.0,
        dead: (4.2 * left) as f32 + 2.0,
        enough: ENOUGH.map(|times| (times * left * left) as f32),
        range: RANGE,
        effort: Effort::Fast,
        threads: 1,
    }
}

/// What is left of noise of `level` after smoothing so often, in levels of 8 bits.
fn left(level: f64, times: usize) -> f64 {
    level.clamp(1.0, 100.0) * if times > 1 { 0.27 } else { 0.375 }
}

/// Puts to rest what need not have moved: the best match of a noisy block is often elsewhere, or nowhere, though the block
/// differs from what was there before by no more than its noise, and by what a restored picture is softer. `before` is what was
/// there, `found` what the motion brought; `blocks` begin in row `first`, as `found` does. Pictures are `height` high: what is
/// below repeats the noise of their last row. `left` is the deviation of the noise.
fn settle(
    blocks: &mut [Block],
    target: &Picture,
    before: &Picture,
    found: &Picture,
    (first, height): (usize, usize),
    left: f64,
) {
    let columns = target.planes[0].width / SIDE;
    for Patience { noise, better, about } in PATIENCE {
        let resting: Vec<bool> = blocks.iter().map(rests).collect();
        for (index, block) in blocks.iter_mut().enumerate() {
            if resting[index] || share_about(&resting, columns, index) < about {
                continue;
            }
            let (x, above) = (index % columns * SIDE, index / columns * SIDE);
            let y = above + first * SIDE;
            let rows = SIDE.min(height - y);
            let difference = |other: &Picture, from: usize| -> f64 {
                let lines = (0..rows).map(|row| (target.planes[0].row(y + row), other.planes[0].row(from + row)));
                let pairs = lines.flat_map(|(a, b)| a[x..x + SIDE].iter().zip(&b[x..x + SIDE]));
                let sum = pairs.map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum::<u32>();
                f64::from(sum) / (rows * SIDE) as f64
            };
            let distance = difference(before, y);
            let soft = (SOFT * variance(target, x, y, rows)).max(BLUR);
            let no_better = || block.mode == Mode::Flat || distance <= better * difference(found, above);
            if distance <= noise * left * left + soft && no_better() {
                *block = Block { mode: Mode::Skip, ..Block::default() };
            }
        }
    }
}

/// Whether a block shows what was at its place before.
pub fn rests(block: &Block) -> bool {
    block.mode != Mode::Flat && block.vectors.iter().all(|v| *v == Vector::default())
}

/// The share of the blocks about one, in rows of `columns`, that rest.
fn share_about(resting: &[bool], columns: usize, index: usize) -> f64 {
    let (x, y, rows) = (index % columns, index / columns, resting.len() / columns);
    let span = |v: usize, count: usize| v.saturating_sub(1)..(v + 2).min(count);
    let about = span(y, rows).flat_map(|y| span(x, columns).map(move |x| y * columns + x)).filter(|i| *i != index);
    let (rest, all) = about.fold((0, 0), |(rest, all), i| (rest + u32::from(resting[i]), all + 1));
    f64::from(rest) / f64::from(all.max(1))
}

/// Of the luma of a block, or of its first rows.
fn variance(picture: &Picture, x: usize, y: usize, rows: usize) -> f64 {
    let samples = (y..y + rows).flat_map(|y| &picture.planes[0].row(y)[x..x + SIDE]);
    let add = |(sum, squares): (u32, u32), v: &u8| (sum + u32::from(*v), squares + u32::from(*v).pow(2));
    let (sum, squares) = samples.fold((0, 0), add);
    let count = (rows * SIDE) as f64;
    f64::from(squares) / count - (f64::from(sum) / count).powi(2)
}

/// Clears the blocks that have no motion.
fn blank(blocks: &[Block], columns: usize, moved: &mut Picture) {
    for (index, _) in blocks.iter().enumerate().filter(|(_, block)| block.mode == Mode::Flat) {
        for (plane, size) in moved.planes.iter_mut().zip([16, 8, 8]) {
            for y in 0..size {
                plane.row_mut(index / columns * size + y)[index % columns * size..][..size].fill(0);
            }
        }
    }
}

fn append(picture: &mut Picture, below: Picture) {
    for (plane, below) in picture.planes.iter_mut().zip(below.planes) {
        plane.width = below.width;
        plane.height += below.height;
        plane.data.extend(below.data);
    }
}

/// Weights of 1, 2, 1 both ways, so often. Chroma is left as it is; the search hardly looks at it.
fn smoothed(picture: &Picture, times: usize) -> Picture {
    let [luma, u, v] = &picture.planes;
    let mut luma = smooth(luma);
    for _ in 1..times {
        luma = smooth(&luma);
    }
    Picture { planes: [luma, smooth(u), smooth(v)] }
}

fn smooth(plane: &Plane) -> Plane {
    let mut out = Plane::new(plane.width, plane.height, 0);
    let mut sums = vec![0u16; plane.width];
    for y in 0..plane.height {
        let rows = [y.saturating_sub(1), y, (y + 1).min(plane.height - 1)].map(|y| plane.row(y));
        for (x, sum) in sums.iter_mut().enumerate() {
            *sum = u16::from(rows[0][x]) + 2 * u16::from(rows[1][x]) + u16::from(rows[2][x]);
        }
        let row = out.row_mut(y);
        let last = sums.len() - 1;
        let weigh = |left: u16, middle: u16, right: u16| ((left + 2 * middle + right + 8) >> 4) as u8;
        row[0] = weigh(sums[0], sums[0], sums[last.min(1)]);
        for (sample, three) in row[1..].iter_mut().zip(sums.windows(3)) {
            *sample = weigh(three[0], three[1], three[2]);
        }
        row[last] = weigh(sums[last.saturating_sub(1)], sums[last], sums[last]);
    }
    out
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::restore::degrade::normal;

    /// Random shapes of a few samples' size, which nothing but the right vector matches.
    fn scene(seed: u64) -> Vec<f64> {
        let mut rng = StdRng::seed_from_u64(seed);
        let coarse: Vec<f64> = (0..60 * 60).map(|_| rng.random_range(40.0..200.0)).collect();
        let at = |x: usize, y: usize| coarse[y * 60 + x];
        (0..300 * 300)
            .map(|i| {
                let (x, y) = ((i % 300) as f64 / 6.0, (i / 300) as f64 / 6.0);
                let (fx, fy) = (x.fract(), y.fract());
                let (x, y) = (x as usize, y as usize);
                let row = |y| at(x, y) * (1.0 - fx) + at(x + 1, y) * fx;
                row(y) * (1.0 - fy) + row(y + 1) * fy
            })
            .collect()
    }

    fn view(scene: &[f64], x: usize, y: usize, deviation: f64) -> Frame {
        let mut rng = StdRng::seed_from_u64(1);
        let luma: Vec<u8> = (0..160 * 144)
            .map(|i| scene[(y + i / 160) * 300 + x + i % 160] + deviation * normal(&mut rng))
            .map(|v| v.round() as u8)
            .collect();
        let chroma = vec![128; 80 * 72];
        Frame::copy(160, 144, [(&luma, 160), (&chroma, 80), (&chroma, 80)]).unwrap()
    }

    /// Mean absolute error of luma, 16 samples from the border on.
    fn error(a: &Frame, b: &Frame) -> f64 {
        let rows = 16..128;
        let row = |y: usize| {
            let (a, b) = (&a.picture.planes[0].row(y)[16..144], &b.picture.planes[0].row(y)[16..144]);
            a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / 128.0
        };
        rows.clone().map(row).sum::<f64>() / rows.len() as f64
    }

    #[test]
    fn what_moved_is_brought_back_through_noise() {
        let scene = scene(3);
        let before = view(&scene, 40, 40, 0.0);
        for (x, y, deviation) in [(40, 40, 25.0), (47, 38, 0.0), (47, 38, 25.0), (36, 45, 50.0)] {
            let clean = view(&scene, x, y, 0.0);
            let moved = Aligner::default().align(&view(&scene, x, y, deviation), &before, deviation).unwrap();
            let found = error(&moved, &clean);
            assert!(found < 3.5, "moved by {x}, {y} with noise {deviation}: {found}");
            assert!((x, y) == (40, 40) || error(&before, &clean) > 10.0, "the test would prove nothing");
        }
    }

    #[test]
    fn blocks_that_are_nowhere_in_another_scene_are_left_out() {
        let (now, before) = (view(&scene(3), 40, 40, 10.0), view(&scene(4), 40, 40, 0.0));
        let moved = Aligner::default().align(&now, &before, 10.0).unwrap();
        let luma = &moved.picture.planes[0].data;
        let left_out = luma.iter().filter(|v| **v == 0).count() as f64 / luma.len() as f64;
        assert!(left_out > 0.1, "{left_out}");
    }

    #[test]
    fn amid_what_rests_more_may_differ() {
        let even = |value: u8| {
            let mut picture = Picture::grey(3, 3);
            picture.planes[0].data.fill(value);
            picture
        };
        let moving = Block { mode: Mode::Inter, vectors: [Vector { x: 8, y: 0 }; 4], ..Block::default() };
        let resting = Block { mode: Mode::Skip, ..Block::default() };
        // Twice the square of the noise from what was there; what was found is nearer, by less than twice.
        let settled = |about: Block| {
            let mut blocks = [about; 9];
            blocks[4] = moving;
            settle(&mut blocks, &even(100), &even(114), &even(108), (0, 48), 10.0);
            blocks.map(|block| rests(&block))
        };
        assert_eq!(settled(resting), [true; 9]);
        assert_eq!(settled(moving), [false; 9]);
        let mut blocks = [resting; 9];
        blocks[4] = moving;
        settle(&mut blocks, &even(100), &even(114), &even(106), (0, 48), 10.0);
        assert!(!rests(&blocks[4]), "what was found is far better");
    }

    #[test]
    fn sizes_must_agree_and_any_size_is_one() {
        let frame = |width: usize, height: usize| {
            let plane = vec![9; width * height];
            let half = width.div_ceil(2);
            Frame::copy(width, height, [(&plane, width), (&plane, half), (&plane, half)]).unwrap()
        };
        let mut aligner = Aligner::default();
        assert!(aligner.align(&frame(16, 16), &frame(16, 17), 5.0).is_none());
        for (width, height) in [(1, 1), (17, 31), (3, 300)] {
            let moved = aligner.align(&frame(width, height), &frame(width, height), f64::NAN).unwrap();
            assert_eq!((moved.width, moved.height), (width, height));
        }
    }
}
