//! Where each output row and column is taken from: tables that are computed once and then only looked up.

use super::geometry::Axis;

/// How samples of half resolution are brought to full: only chroma differs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    /// Interpolated between the two nearest.
    Linear,
    /// The nearest repeated.
    Repeat,
}

/// Weights are held in 1/2048, OpenCV's unit for pictures of bytes: who wants the boxes that a network gives in its own
/// library has to give it the same levels, and a thousandth of a score can hang on one.
const WEIGHT_UNIT: f32 = 2048.0;

/// For each output, the sample before it (-1 where it lies before the first) and how far it lies beyond that sample, 0
/// to 1. `step` is how many samples of the axis one sample of the plane stands for (2 for chroma of half resolution,
/// which sits in their centre).
fn positions(axis: Axis, step: usize, between: Between) -> impl Iterator<Item = (isize, f32)> {
    let last = axis.len.div_ceil(step) - 1;
    // As OpenCV arrives at it: the last bit decides where a weight is rounded to.
    let scale = 1.0 / (axis.scaled as f64 / axis.len as f64);
    (0..axis.outputs).map(move |i| {
        let centre = ((i + axis.skipped) as f64 + 0.5) * scale / step as f64;
        if between == Between::Repeat {
            return ((centre as usize).min(last) as isize, 0.0);
        }
        let at = (centre - 0.5) as f32;
        (at.floor() as isize, at - at.floor())
    })
}

/// Of the two samples that an output lies between, the first's and the second's part.
fn weights(fraction: f32) -> [i16; 2] {
    [1.0 - fraction, fraction].map(|part| (part * WEIGHT_UNIT).round_ties_even() as i16)
}

/// The two rows an output row lies between. Beyond the edges the outermost is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tap {
    pub rows: [usize; 2],
    pub weights: [i16; 2],
}

pub(super) fn taps(axis: Axis, step: usize, between: Between) -> Vec<Tap> {
    let last = axis.len.div_ceil(step) as isize - 1;
    let tap = |(lo, fraction): (isize, f32)| {
        let weights = weights(fraction);
        let above = lo.clamp(0, last) as usize;
        // With no weight the other row is not to be read: one row less to make.
        let below = if weights[1] == 0 { above } else { (lo + 1).clamp(0, last) as usize };
        Tap { rows: [above, below], weights }
    };
    positions(axis, step, between).map(tap).collect()
}

/// Outputs that are computed together; tables are padded to a multiple.
pub(super) const GROUP: usize = 16;
/// Samples that one table look-up of the widest kernel can reach.
pub(super) const WINDOW: usize = 64;

/// The columns of a row, by what is cheapest.
#[derive(Debug, Clone)]
pub(super) enum Columns {
    /// Each sample as it is, from the first on.
    Same,
    /// The mean of each two, from the first on.
    Halved,
    Table(ColumnTable),
}

/// Pairs of neighbours and their weights.
#[derive(Debug, Clone)]
pub(super) struct ColumnTable {
    /// The left sample of each pair.
    pub left: Vec<i32>,
    /// Weights in 1/2048: the left one's in the low, the right one's in the high 16 bits.
    pub weights: Vec<u32>,
    /// Where every group reaches no further than a window.
    pub windows: Option<Windows>,
}

/// Per group, where its window starts and which samples of it make the pairs: left, right, left, right, ...
#[derive(Debug, Clone)]
pub(super) struct Windows {
    pub start: Vec<u32>,
    pub lanes: Vec<[u16; 2 * GROUP]>,
}

impl Columns {
    pub fn new(axis: Axis, step: usize, between: Between) -> Self {
        let last = axis.len.div_ceil(step) as isize - 1;
        let inside = |(lo, fraction): (isize, f32)| match lo {
            lo if lo < 0 => (0, 0.0),
            lo if lo >= last => (last as usize, 0.0),
            lo => (lo as usize, fraction),
        };
        let positions: Vec<_> = positions(axis, step, between).map(inside).collect();
        let regular = |stride: usize, fraction: f32| {
            positions.iter().enumerate().all(|(i, &(lo, f))| lo == i * stride && f == fraction)
        };
        if regular(1, 0.0) {
            Columns::Same
        } else if regular(2, 0.5) {
            Columns::Halved
        } else {
            Columns::Table(ColumnTable::new(&positions))
        }
    }
}

impl ColumnTable {
    fn new(positions: &[(usize, f32)]) -> Self {
        let padded = positions.len().next_multiple_of(GROUP);
        let last = positions.last().copied().unwrap_or((0, 0.0));
        let (left, weights): (Vec<i32>, Vec<u32>) = (0..padded)
            .map(|i| {
                let (lo, fraction) = positions.get(i).copied().unwrap_or(last);
                let [left, right] = weights(fraction).map(|w| w as u32);
                (lo as i32, left | (right << 16))
            })
            .unzip();
        let windows = Windows::new(&left);
        ColumnTable { left, weights, windows }
    }
}

impl Windows {
    fn new(left: &[i32]) -> Option<Self> {
        let mut windows = Windows { start: Vec::new(), lanes: Vec::new() };
        for group in left.chunks_exact(GROUP) {
            let start = group[0];
            let mut lanes = [0; 2 * GROUP];
            for (pair, &lo) in lanes.chunks_exact_mut(2).zip(group) {
                let offset = (lo - start) as usize;
                if offset + 1 >= WINDOW {
                    return None;
                }
                pair.copy_from_slice(&[offset as u16, offset as u16 + 1]);
            }
            windows.start.push(start as u32);
            windows.lanes.push(lanes);
        }
        Some(windows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(len: usize, outputs: usize) -> Axis {
        Axis { outputs, skipped: 0, scaled: outputs, len }
    }

    #[test]
    fn common_ratios_need_no_table() {
        assert!(matches!(Columns::new(axis(640, 640), 1, Between::Linear), Columns::Same));
        assert!(matches!(Columns::new(axis(1280, 640), 1, Between::Linear), Columns::Halved));
        assert!(matches!(Columns::new(axis(1280, 640), 2, Between::Linear), Columns::Same));
        assert!(matches!(Columns::new(axis(1281, 640), 1, Between::Linear), Columns::Table(_)));
    }

    #[test]
    fn edges_are_repeated() {
        let taps = taps(axis(2, 8), 1, Between::Linear);
        assert_eq!(taps[0], Tap { rows: [0, 0], weights: [768, 1280] });
        assert_eq!(taps[7], Tap { rows: [1, 1], weights: [1280, 768] });
        assert!(taps.iter().all(|t| t.rows.iter().all(|row| *row < 2)));
    }

    #[test]
    fn steep_reductions_have_no_windows() {
        let Columns::Table(near) = Columns::new(axis(1500, 640), 1, Between::Linear) else { panic!("a table") };
        assert!(near.windows.is_some());
        let Columns::Table(far) = Columns::new(axis(3840, 640), 1, Between::Linear) else { panic!("a table") };
        assert!(far.windows.is_none());
    }

    #[test]
    fn repeated_chroma_follows_luma_in_pairs() {
        let taps = taps(axis(5, 5), 2, Between::Repeat);
        assert_eq!(taps.iter().map(|t| t.rows[0]).collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
    }
}
