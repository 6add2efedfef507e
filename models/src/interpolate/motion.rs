//! The motion of a picture that is not there: for each of its blocks the vector along which the pictures before and after it
//! agree.
//!
//! The block at `p` of time `t` was at `p - t v` in the first picture and is at `p + (1 - t) v` in the second; `v` is
//! sought by comparing these two, so that every place of the new picture has a vector, without holes and overlaps. That
//! is bidirectional motion estimation (Choi et al. 2000); a time beyond 1 is extrapolation by the same formulas.
//! From coarse to fine, each block tries the vectors of its neighbours (de Haan et al. 1993, "true-motion estimation with
//! 3-D recursive search") and walks downhill from the best; what vectors cost more than their neighbours' keeps the field smooth
//! where pictures say little.

use super::still::Still;
use crate::codec::motion::interpolate::Area;
use crate::codec::motion::measure::sad;
use crate::codec::motion::{Padded, threads};
use crate::codec::symbols::Vector;

/// Side of the blocks that have a vector each. They are matched by windows of twice that.
pub const CELL: usize = 8;
const WINDOW: usize = 16;
/// Windows begin so far before their blocks.
const LEAD: i32 = 4;
/// At the coarsest level every vector up to this is tried.
const RANGE: i32 = 10;
/// What a difference of one sample to a neighbour's vector costs, in sums of absolute differences over a window; and the
/// most that one neighbour may cost, so that objects can move against each other.
const SMOOTHNESS: i32 = 48;
const APART_MAX: i32 = 8;
/// What it costs to move at all: noise is better averaged where it stands than matched.
const MOTION: i32 = 64;
/// How often all blocks of a level are visited.
const PASSES: usize = 2;
const STEPS: usize = 6;
/// Blocks that differ by less are not matched between samples: a mean difference of half a level.
const MATCHED: u32 = 128;
/// Blocks that differ by less where they are do not move, whatever matches better: a mean difference of one level.
const QUIET: u32 = 256;
/// What a step between samples costs.
const FRACTION: u32 = 16;
/// Vectors of less than a sample are none: more often than not they match noise and what a coder left, and where they are
/// true, the mean of both pictures is hardly less sharp.
const AT_REST: i16 = 3;

/// A vector for each block of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Blocks of [`CELL`] across and down.
    pub columns: usize,
    pub rows: usize,
    /// From the first picture to the second, in quarters of a luma sample.
    pub vectors: Vec<Vector>,
    /// Sum of absolute differences of the windows that each vector matches.
    pub errors: Vec<u32>,
}

impl Field {
    /// The index of a block; of the nearest where there is none.
    pub fn nearest(&self, column: i32, row: i32) -> usize {
        let column = column.clamp(0, self.columns as i32 - 1) as usize;
        let row = row.clamp(0, self.rows as i32 - 1) as usize;
        row * self.columns + column
    }
}

/// `t` of a vector's component, rounded: how far the content has come from the first picture.
pub fn part(component: i16, time: f32) -> i16 {
    (f32::from(component) * time).round() as i16
}

/// The motion through `time`. Both pictures are of the same size.
pub fn estimate(before: &Still, after: &Still, time: f32) -> Field {
    assert_eq!(before.blocks(), after.blocks(), "both pictures have the same size");
    let mut coarser: Option<Search> = None;
    for (before, after) in before.levels.iter().zip(&after.levels).rev() {
        let mut search = Search::new(before, after, time);
        match &coarser {
            None => search.exhaust(),
            Some(coarser) => search.inherit(coarser),
        }
        for pass in 0..PASSES {
            search.visit(pass % 2 == 1);
        }
        coarser = Some(search);
    }
    let search = coarser.expect("a picture has a level");
    let (columns, rows) = (search.columns, search.rows);
    // Each block is refined by itself, so that all cores can: it takes as long as all that went before.
    let part = (rows.div_ceil(threads()) * columns).max(1);
    let mut refined = vec![(Vector::default(), 0); columns * rows];
    std::thread::scope(|scope| {
        for (first, refined) in (0..).step_by(part).zip(refined.chunks_mut(part)) {
            let search = &search;
            scope.spawn(move || {
                (first..).zip(refined).for_each(|(index, found)| *found = refine(search, index, after));
            });
        }
    });
    let (vectors, errors) = refined.into_iter().unzip();
    Field { columns, rows, vectors, errors }
}

/// A vector in whole samples of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Whole {
    x: i16,
    y: i16,
}

/// One level of the pyramids.
struct Search<'a> {
    before: &'a Padded,
    after: &'a Padded,
    time: f32,
    columns: usize,
    rows: usize,
    vectors: Vec<Whole>,
    /// Blocks that have something to try: their own vector or a neighbour's is new.
    stale: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(before: &'a Padded, after: &'a Padded, time: f32) -> Self {
        let (width, height) = before.size();
        let (columns, rows) = (width.div_ceil(CELL), height.div_ceil(CELL));
        Search {
            before,
            after,
            time,
            columns,
            rows,
            vectors: vec![Whole::default(); columns * rows],
            stale: vec![true; columns * rows],
        }
    }

    /// Where the window of a block begins in the first picture.
    fn place(&self, index: usize, vector: Whole) -> (i32, i32) {
        let (row, column) = (index / self.columns, index % self.columns);
        let at = |cell: usize, component: i16| (cell * CELL) as i32 - LEAD - i32::from(part(component, self.time));
        (at(column, vector.x), at(row, vector.y))
    }

    fn windows(&self, index: usize, vector: Whole) -> (Area<'a>, Area<'a>) {
        let (x, y) = self.place(index, vector);
        let size = WINDOW as i32;
        let before = self.before.area(x, y, size, 0);
        (before, self.after.area(x + i32::from(vector.x), y + i32::from(vector.y), size, 0))
    }

    fn difference(&self, index: usize, vector: Whole) -> u32 {
        let (before, after) = self.windows(index, vector);
        sad::<WINDOW>(before, after)
    }

    fn cost(&self, index: usize, vector: Whole) -> i32 {
        self.difference(index, vector) as i32 + self.roughness(index, vector)
    }

    /// What the vector costs for being unlike its neighbours'.
    fn roughness(&self, index: usize, vector: Whole) -> i32 {
        let mut apart = 0;
        for neighbour in self.around(index).into_iter().flatten() {
            let other = self.vectors[neighbour];
            let distance = i32::from((vector.x - other.x).abs()) + i32::from((vector.y - other.y).abs());
            apart += distance.min(APART_MAX);
        }
        apart * SMOOTHNESS + i32::from(vector != Whole::default()) * MOTION
    }

    /// The blocks left, right, above and below.
    fn around(&self, index: usize) -> [Option<usize>; 4] {
        let (row, column) = (index / self.columns, index % self.columns);
        [
            (column > 0).then(|| index - 1),
            (column + 1 < self.columns).then_some(index + 1),
            (row > 0).then(|| index - self.columns),
            (row + 1 < self.rows).then_some(index + self.columns),
        ]
    }

    /// Tries every vector in range: the coarsest level is small.
    fn exhaust(&mut self) {
        for index in 0..self.vectors.len() {
            let mut best = (i32::MAX, Whole::default());
            for y in -RANGE..=RANGE {
                for x in -RANGE..=RANGE {
                    let vector = Whole { x: x as i16, y: y as i16 };
                    let cost = self.difference(index, vector) as i32 + (x.abs() + y.abs()) * SMOOTHNESS;
                    if cost < best.0 {
                        best = (cost, vector);
                    }
                }
            }
            self.vectors[index] = best.1;
        }
    }

    /// Begins with what was found at half the resolution.
    fn inherit(&mut self, coarser: &Search) {
        for row in 0..self.rows {
            for column in 0..self.columns {
                let (x, y) = ((column / 2).min(coarser.columns - 1), (row / 2).min(coarser.rows - 1));
                let Whole { x, y } = coarser.vectors[y * coarser.columns + x];
                self.vectors[row * self.columns + column] = Whole { x: x * 2, y: y * 2 };
            }
        }
    }

    /// Gives each block, in reading order or back, the best of its own and its neighbours' vectors and of what lies downhill.
    fn visit(&mut self, back: bool) {
        let count = self.vectors.len();
        for position in 0..count {
            let index = if back { count - 1 - position } else { position };
            if !std::mem::take(&mut self.stale[index]) {
                continue;
            }
            let was = self.vectors[index];
            let mut best = (self.cost(index, self.vectors[index]), self.vectors[index]);
            let mut tried = [self.vectors[index]; 6];
            let others = self.around(index).map(|other| other.map(|other| self.vectors[other]));
            for (slot, vector) in (1..).zip(others.into_iter().flatten().chain([Whole::default()])) {
                if tried[..slot].contains(&vector) {
                    continue;
                }
                tried[slot] = vector;
                let cost = self.cost(index, vector);
                if cost < best.0 {
                    best = (cost, vector);
                }
            }
            for _ in 0..STEPS {
                let from = best.1;
                for (x, y) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
                    let vector = Whole { x: from.x + x, y: from.y + y };
                    let cost = self.cost(index, vector);
                    if cost < best.0 {
                        best = (cost, vector);
                    }
                }
                if best.1 == from {
                    break;
                }
            }
            self.vectors[index] = best.1;
            if best.1 != was {
                self.around(index).into_iter().flatten().for_each(|other| self.stale[other] = true);
            }
        }
    }
}

/// The vector to a quarter of a sample, by interpolating the second picture; and the difference that is left.
fn refine(search: &Search, index: usize, after: &Still) -> (Vector, u32) {
    let whole = search.vectors[index];
    let still = search.difference(index, Whole::default());
    if still < QUIET {
        return (Vector::default(), still);
    }
    let place = search.place(index, whole);
    let (before, _) = search.windows(index, whole);
    let mut room = [0; 256];
    let mut difference =
        |vector: Vector| sad::<WINDOW>(before, after.reference.luma_moved::<WINDOW>(place, vector, &mut room));
    let vector = Vector { x: whole.x * 4, y: whole.y * 4 };
    let mut best = (difference(vector), vector);
    if best.0 < MATCHED {
        return (vector, best.0);
    }
    for step in [2, 1] {
        let from = best.1;
        for (x, y) in [(-step, 0), (step, 0), (0, -step), (0, step)] {
            let vector = Vector { x: from.x + x, y: from.y + y };
            let found = difference(vector) + FRACTION;
            if found < best.0 {
                best = (found, vector);
            }
        }
    }
    if best.1.x.abs().max(best.1.y.abs()) <= AT_REST {
        best = (still, Vector::default());
    }
    (best.1, best.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{noise, texture};
    use super::*;
    use crate::codec::picture::Picture;

    fn field(before: Picture, after: Picture, time: f32) -> Field {
        estimate(&Still::new(before), &Still::new(after), time)
    }

    /// The part of the vectors, away from the border, that are within half a sample of what they should be.
    fn right(field: &Field, x: i16, y: i16) -> f64 {
        let inner = (3..field.rows - 3).flat_map(|row| (3..field.columns - 3).map(move |column| (row, column)));
        let vectors: Vec<Vector> = inner.map(|(row, column)| field.vectors[row * field.columns + column]).collect();
        let good = vectors.iter().filter(|v| (v.x - x).abs() <= 2 && (v.y - y).abs() <= 2).count();
        good as f64 / vectors.len() as f64
    }

    #[test]
    fn motion_is_found_at_any_time_between_and_beyond() {
        for (x, y, times) in
            [(6.0, -4.0, [0.5, 0.2, 2.0]), (-2.5, 1.25, [0.5, 0.75, 2.0]), (30.0, 12.0, [0.5, 0.4, 0.6])]
        {
            for time in times {
                let field = field(texture(12, 8, 0.0, 0.0), texture(12, 8, x, y), time);
                assert_eq!((field.columns, field.rows), (24, 16));
                let share = right(&field, (x * 4.0) as i16, (y * 4.0) as i16);
                assert!(share > 0.9, "({x}, {y}) at {time}: {share} are right");
            }
        }
    }

    #[test]
    fn what_stands_still_has_no_motion() {
        for picture in [Picture::grey(5, 3), texture(5, 3, 0.0, 0.0), noise(5, 3, 1)] {
            let field = field(picture.clone(), picture, 0.5);
            assert!(field.vectors.iter().all(|v| *v == Vector::default()));
            assert!(field.errors.iter().all(|error| *error == 0));
        }
        // Nor has what moves by less than a sample.
        let field = field(texture(8, 8, 0.0, 0.0), texture(8, 8, 0.5, 0.0), 0.5);
        assert!(field.vectors.iter().all(|v| *v == Vector::default()));
    }

    #[test]
    fn the_smallest_pictures_have_a_field_too() {
        for (columns, rows) in [(1, 1), (1, 3), (2, 1)] {
            let field = field(noise(columns, rows, 1), noise(columns, rows, 2), 0.5);
            assert_eq!(field.vectors.len(), columns * rows * 4);
            assert_eq!((field.nearest(-1, -1), field.nearest(99, 99)), (0, field.vectors.len() - 1));
        }
    }
}
