//! An invisible watermark: generated video can be recognised as such.
//!
//! A pattern of one tile, repeated over the frame and the same in every frame, is added to all colours alike. It is a spread
//! spectrum (Cox et al., "Secure spread spectrum watermarking for multimedia", 1997): random phases at the frequencies
//! that compression keeps and eyes overlook, 0.1 to 0.3 cycles a pixel, and stronger where the picture is busy and hides it.
//!
//! It is found by adding up what frames, evened out, have in common at each place of the tile, and comparing that with the
//! pattern at every shift. The shifts at which it does not lie say how large a likeness is chance, so that no threshold goes
//! by the contents of the frames. Tiles of 61 pixels do not beat with the blocks that codecs work in.

use std::sync::OnceLock;

use multiversion::multiversion;

use super::random::{Random, Stream};

/// Width and height of a tile, in pixels.
pub const TILE: usize = 61;
/// Cycles a pixel.
const BAND: (f64, f64) = (0.1, 0.3);
const SEED: u64 = 0x6773_742d_746f_7263;
/// In levels of 8 bits: where nothing moves, the share of the local deviation that comes on top, and the most in all.
const FLOOR: f32 = 1.2;
const SHARE: f32 = 0.1;
const CEILING: f32 = 4.0;
/// A frame of fewer pixels has fewer to find it in, and so carries it stronger, up to so many times.
const PIXELS: f32 = 64.0 * 64.0;
const STRONGEST: f32 = 4.5;
/// In levels; the most of all, at the deviation of the pattern.
const LIMIT: f32 = 8.0;
/// What is local reaches so many pixels to each side.
const REACH: usize = 2;

/// The pattern: mean 0, variance 1.
fn pattern() -> &'static [f32] {
    static PATTERN: OnceLock<Vec<f32>> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut random = Random::new(SEED, Stream::Key(0));
        let most = (BAND.1 * TILE as f64) as i64;
        let mut sum = vec![0.0; TILE * TILE];
        let turn = |cycles: i64, at: usize| (cycles * at as i64).rem_euclid(TILE as i64) as f64 / TILE as f64;
        for down in -most..=most {
            for across in 0..=most {
                let radius = ((down * down + across * across) as f64).sqrt() / TILE as f64;
                // Of two opposite frequencies one; which, does not matter.
                if !(BAND.0..=BAND.1).contains(&radius) || across == 0 && down < 0 {
                    continue;
                }
                let phase = random.even();
                for (y, row) in sum.chunks_exact_mut(TILE).enumerate() {
                    for (x, value) in row.iter_mut().enumerate() {
                        *value += (std::f64::consts::TAU * (turn(across, x) + turn(down, y) + phase)).cos();
                    }
                }
            }
        }
        let deviation = (sum.iter().map(|v| v * v).sum::<f64>() / sum.len() as f64).sqrt();
        sum.into_iter().map(|v| (v / deviation) as f32).collect()
    })
}

/// Adds the watermark to a picture of 0 to 1: one plane or three, each `width * height` numbers. They may leave 0 to 1 by it.
// Compiled for several sets of instructions, which all give the same bits: nothing is fused.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
pub fn mark(picture: &mut [f32], width: usize, height: usize) {
    add_pattern(picture, width, height);
}

/// What [`mark`] does, with the instructions of the function it lands in.
#[inline(always)]
fn add_pattern(picture: &mut [f32], width: usize, height: usize) {
    let count = width * height;
    if count == 0 || !picture.len().is_multiple_of(count) {
        return;
    }
    let channels = picture.len() / count;
    let mut luma = vec![0.0f32; count];
    for plane in picture.chunks_exact(count) {
        luma.iter_mut().zip(plane).for_each(|(sum, v)| *sum += v);
    }
    luma.iter_mut().for_each(|sum| *sum /= channels as f32);
    let squares: Vec<f32> = luma.iter().map(|v| v * v).collect();
    let (mut means, mut energies) = (Boxes::new(&luma, width, height), Boxes::new(&squares, width, height));
    let strength = (PIXELS / count as f32).powf(0.9).clamp(1.0, STRONGEST);
    let (floor, share, ceiling) = (FLOOR * strength / 255.0, SHARE, (CEILING * strength).min(LIMIT) / 255.0);
    let pattern = pattern();
    let mut offsets = vec![0.0; width];
    for y in 0..height {
        let (means, energies) = (means.row(y), energies.row(y));
        let tile = &pattern[y % TILE * TILE..][..TILE];
        let local = means.chunks(TILE).zip(energies.chunks(TILE));
        for (offsets, (means, energies)) in offsets.chunks_mut(TILE).zip(local) {
            for (((offset, mean), energy), p) in offsets.iter_mut().zip(means).zip(energies).zip(tile) {
                let deviation = (energy - mean * mean).max(0.0).sqrt();
                *offset = p * (floor + share * deviation).min(ceiling);
            }
        }
        for plane in picture.chunks_exact_mut(count) {
            plane[y * width..][..width].iter_mut().zip(&offsets).for_each(|(v, offset)| *v += offset);
        }
    }
}

/// Means over squares of `2 * REACH + 1` pixels, as far as they lie in the picture; row after row.
struct Boxes<'a> {
    data: &'a [f32],
    width: usize,
    height: usize,
    /// Sums down the columns, of the rows from `first` to `end`.
    columns: Vec<f32>,
    rows: std::ops::Range<usize>,
    means: Vec<f32>,
}

impl<'a> Boxes<'a> {
    #[inline(always)]
    fn new(data: &'a [f32], width: usize, height: usize) -> Self {
        Boxes { data, width, height, columns: vec![0.0; width], rows: 0..0, means: vec![0.0; width] }
    }

    /// Rows are to be asked for one after the other.
    #[inline(always)]
    fn row(&mut self, y: usize) -> &[f32] {
        let rows = y.saturating_sub(REACH)..(y + REACH + 1).min(self.height);
        // Added anew for each row: taking away again what was added would leave roundings behind.
        if rows != self.rows {
            self.columns.fill(0.0);
            for row in self.data[rows.start * self.width..rows.end * self.width].chunks_exact(self.width) {
                self.columns.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
            }
            self.rows = rows.clone();
        }
        const SIDE: usize = 2 * REACH + 1;
        let share = 1.0 / (rows.len() * SIDE) as f32;
        // All but the first and last few, whose squares reach over the border; summed so that compilers see vectors.
        let inner = (self.width + 1).saturating_sub(SIDE);
        if inner > 0 {
            let means = &mut self.means[REACH..][..inner];
            means.fill(0.0);
            for shift in 0..SIDE {
                means.iter_mut().zip(&self.columns[shift..]).for_each(|(mean, column)| *mean += column * share);
            }
        }
        let near = REACH.min(self.width);
        for x in (0..near).chain(self.width.saturating_sub(REACH).max(near)..self.width) {
            let columns = &self.columns[x.saturating_sub(REACH)..(x + REACH + 1).min(self.width)];
            self.means[x] = columns.iter().sum::<f32>() / (rows.len() * columns.len()) as f32;
        }
        &self.means
    }
}

/// Looks for the watermark in frames that follow each other.
#[derive(Debug, Clone)]
pub struct Detector {
    /// By place of the tile.
    sums: Vec<f64>,
    frames: u64,
}

impl Default for Detector {
    fn default() -> Self {
        Detector { sums: vec![0.0; TILE * TILE], frames: 0 }
    }
}

/// How much frames resemble the watermark, in standard deviations of what chance gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    pub frames: u64,
    /// Where it lies in frames as they were made.
    pub score: f64,
    /// The best of all shifts: in frames that were cropped, or put into larger ones.
    pub best: f64,
    /// Pixels that the best is away from the left and upper border, less than a tile.
    pub shift: (usize, usize),
}

impl Finding {
    /// Of this and more, one video in a million has it by chance.
    pub const SCORE: f64 = 5.0;
    /// The same for the best of all shifts.
    pub const BEST: f64 = 7.0;

    pub fn is_marked(&self) -> bool {
        self.score >= Self::SCORE || self.best >= Self::BEST
    }
}

impl Detector {
    /// Luma of one frame, in levels of 8 bits; rows are `stride` bytes apart.
    pub fn add(&mut self, luma: &[u8], stride: usize, width: usize, height: usize) {
        const SOFTENING: f32 = 1.0;
        const LARGEST: f32 = 2.5;
        let rows = luma.chunks(stride.max(1)).take(height).filter(|row| row.len() >= width);
        let levels: Vec<f32> = rows.flat_map(|row| row[..width].iter().map(|&level| f32::from(level))).collect();
        if width == 0 || levels.len() != width * height {
            return;
        }
        let mut means = Boxes::new(&levels, width, height);
        let mut rest = levels.clone();
        for y in 0..height {
            rest[y * width..][..width].iter_mut().zip(means.row(y)).for_each(|(v, mean)| *v -= mean);
        }
        let squares: Vec<f32> = rest.iter().map(|v| v * v).collect();
        let mut energies = Boxes::new(&squares, width, height);
        for y in 0..height {
            let sums = &mut self.sums[y % TILE * TILE..][..TILE];
            for (x, (v, energy)) in rest[y * width..][..width].iter().zip(energies.row(y)).enumerate() {
                let evened = v / (energy.max(0.0).sqrt() + SOFTENING);
                sums[x % TILE] += f64::from(evened.clamp(-LARGEST, LARGEST));
            }
        }
        self.frames += 1;
    }

    /// As if the other's frames had been added here.
    pub fn join(&mut self, other: &Detector) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, other)| *sum += other);
        self.frames += other.frames;
    }

    pub fn finding(&self) -> Finding {
        let likeness: Vec<f64> = (0..TILE * TILE).map(|shift| self.likeness(shift / TILE, shift % TILE)).collect();
        let count = likeness.len() as f64;
        let mean = likeness.iter().sum::<f64>() / count;
        let deviation = (likeness.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        let score = |likeness: f64| if deviation > 0.0 { (likeness - mean) / deviation } else { 0.0 };
        let (place, best) = likeness
            .iter()
            .enumerate()
            .fold((0, f64::MIN), |best, (place, &value)| if value > best.1 { (place, value) } else { best });
        Finding {
            frames: self.frames,
            score: score(likeness[0]),
            best: score(best),
            shift: (place % TILE, place / TILE),
        }
    }

    /// With the pattern moved down and to the right.
    fn likeness(&self, down: usize, across: usize) -> f64 {
        let pattern = pattern();
        let rows = self.sums.chunks_exact(TILE).enumerate().map(|(y, sums)| {
            let row = &pattern[(y + TILE - down) % TILE * TILE..][..TILE];
            let (head, tail) = sums.split_at(across);
            let product = |sums: &[f64], row: &[f32]| sums.iter().zip(row).map(|(s, p)| s * f64::from(*p)).sum::<f64>();
            product(tail, row) + product(head, &row[TILE - across..])
        });
        rows.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something with shades, edges and a little noise, different from frame to frame.
    fn picture(width: usize, height: usize, number: usize) -> Vec<f32> {
        let mut random = Random::new(number as u64, Stream::Frame(1));
        let mut noise = vec![0.0; width * height];
        random.normal(&mut noise);
        let shade = |x: usize, y: usize| {
            let (x, y) = (x as f32 + number as f32 * 0.7, y as f32);
            let edge = if (x * 0.08).sin() * (y * 0.06).cos() > 0.2 { 0.25 } else { 0.0 };
            0.35 + 0.2 * (x * 0.03).sin() * (y * 0.05).cos() + edge
        };
        (0..width * height).map(|i| shade(i % width, i / width) + 0.01 * noise[i]).collect()
    }

    fn levels(picture: &[f32]) -> Vec<u8> {
        picture.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect()
    }

    fn find(width: usize, height: usize, frames: impl Iterator<Item = Vec<u8>>) -> Finding {
        let mut detector = Detector::default();
        frames.for_each(|frame| detector.add(&frame, width, width, height));
        detector.finding()
    }

    #[test]
    fn marked_frames_are_known_and_others_are_not() {
        for (width, height) in [(28, 28), (64, 64), (61, 90), (320, 180)] {
            let plain = find(width, height, (0..20).map(|n| levels(&picture(width, height, n))));
            assert!(!plain.is_marked() && plain.frames == 20, "{width}x{height}: {plain:?}");
            let marked = find(
                width,
                height,
                (0..20).map(|n| {
                    let mut picture = picture(width, height, n);
                    mark(&mut picture, width, height);
                    levels(&picture)
                }),
            );
            assert!(marked.score > 7.0 && marked.is_marked() && marked.shift == (0, 0), "{width}x{height}: {marked:?}");
        }
    }

    #[test]
    fn a_part_of_a_frame_is_enough_wherever_it_lies() {
        let (width, height, left, top) = (320, 180, 37, 21);
        let part = |n| {
            let mut picture = picture(width, height, n);
            mark(&mut picture, width, height);
            let rows = levels(&picture);
            rows.chunks(width).skip(top).take(128).flat_map(|row| row[left..left + 160].to_vec()).collect::<Vec<u8>>()
        };
        let found = find(160, 128, (0..10).map(part));
        assert!(found.is_marked() && found.best > Finding::BEST, "{found:?}");
        assert_eq!(found.shift, ((TILE - left) % TILE, (TILE - top) % TILE));
    }

    #[test]
    fn it_is_the_same_to_the_bit_with_any_instructions() {
        let (width, height) = (75, 41);
        let plain = picture(width, height, 2);
        let marked = |mark: fn(&mut [f32], usize, usize)| {
            let mut picture = [plain.clone(), plain.clone(), plain.clone()].concat();
            mark(&mut picture, width, height);
            picture.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(marked(mark), marked(add_pattern));
    }

    #[test]
    fn it_is_not_seen() {
        let (width, height) = (160, 120);
        let before = picture(width, height, 3);
        let mut after = [before.clone(), before.clone(), before.clone()].concat();
        mark(&mut after, width, height);
        let error = |plane: &[f32]| plane.iter().zip(&before).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        let psnr = |plane: &[f32]| -10.0 * (error(plane) / before.len() as f64).log10();
        let planes: Vec<_> = after.chunks(width * height).collect();
        assert!(psnr(planes[0]) > 42.0, "{}", psnr(planes[0]));
        let (first, second) = (planes[0].iter().zip(&before), planes[2].iter().zip(&before));
        assert!(first.zip(second).all(|((a, p), (b, q))| ((a - p) - (b - q)).abs() < 1e-6), "colours stay");
        let most = planes[0].iter().zip(&before).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most < 5.0 * CEILING / 255.0);
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        assert!(!Detector::default().finding().is_marked());
        assert!(!find(64, 64, (0..3).map(|_| vec![0; 64 * 64])).is_marked());
        let mut detector = Detector::default();
        detector.add(&[1, 2, 3], 64, 64, 64);
        assert_eq!(detector.finding().frames, 0);
        mark(&mut [], 0, 0);
        mark(&mut [0.5; 5], 2, 2);
    }
}
