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

/// For each output, the sample before it and how far it lies beyond that sample, 0 to 1. `step` is how many samples of
/// the axis one sample of the plane stands for (2 for chroma of half resolution, which sits in their centre).
fn positions(axis: Axis, step: usize, between: Between) -> impl Iterator<Item = (usize, f64)> {
    let last = axis.len.div_ceil(step) - 1;
    let scale = axis.len as f64 / axis.scaled as f64;
    (0..axis.outputs).map(move |i| {
        let centre = ((i + axis.skipped) as f64 + 0.5) * scale / step as f64;
        if between == Between::Repeat {
            return ((centre as usize).min(last), 0.0);
        }
        let at = (centre - 0.5).clamp(0.0, last as f64);
        (at as usize, at.fract())
    })
}

/// The two rows an output row lies between. The nearer one is the base, so that the weight of the other, in 1/65536,
/// is at most a half and fits 16 bits with a sign, which is what the fast multiplication takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tap {
    pub base: usize,
    pub other: usize,
    pub weight: i16,
}

pub(super) fn taps(axis: Axis, step: usize, between: Between) -> Vec<Tap> {
    let tap = |(lo, fraction): (usize, f64)| {
        let (base, other, part) = if fraction <= 0.5 {
            (lo, lo + 1, fraction)
        } else {
            (lo + 1, lo, 1.0 - fraction)
        };
        let weight = (part * 65536.0).round().min(i16::MAX as f64) as i16;
        // With no weight the other row is not to be read: it need not exist.
        Tap {
            base,
            other: if weight == 0 { base } else { other },
            weight,
        }
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
    /// Weights in 1/16384: the left one's in the low, the right one's in the high 16 bits.
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
        let positions: Vec<_> = positions(axis, step, between).collect();
        let regular = |stride: usize, fraction: f64| {
            positions
                .iter()
                .enumerate()
                .all(|(i, &(lo, f))| lo == i * stride && f == fraction)
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
    fn new(positions: &[(usize, f64)]) -> Self {
        let padded = positions.len().next_multiple_of(GROUP);
        let last = positions.last().copied().unwrap_or((0, 0.0));
        let (left, weights): (Vec<i32>, Vec<u32>) = (0..padded)
            .map(|i| {
                let (lo, fraction) = positions.get(i).copied().unwrap_or(last);
                let right = (fraction * 16384.0).round() as u32;
                (lo as i32, (16384 - right) | (right << 16))
            })
            .unzip();
        let windows = Windows::new(&left);
        ColumnTable { left, weights, windows }
    }
}

impl Windows {
    fn new(left: &[i32]) -> Option<Self> {
        let mut windows = Windows {
            start: Vec::new(),
            lanes: Vec::new(),
        };
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
        Axis {
            outputs,
            skipped: 0,
            scaled: outputs,
            len,
        }
    }

    #[test]
    fn common_ratios_need_no_table() {
        assert!(matches!(
            Columns::new(axis(640, 640), 1, Between::Linear),
            Columns::Same
        ));
        assert!(matches!(
            Columns::new(axis(1280, 640), 1, Between::Linear),
            Columns::Halved
        ));
        assert!(matches!(
            Columns::new(axis(1280, 640), 2, Between::Linear),
            Columns::Same
        ));
        assert!(matches!(
            Columns::new(axis(1281, 640), 1, Between::Linear),
            Columns::Table(_)
        ));
    }

    #[test]
    fn edges_are_repeated() {
        let taps = taps(axis(2, 8), 1, Between::Linear);
        assert_eq!(
            taps[0],
            Tap {
                base: 0,
                other: 0,
                weight: 0
            }
        );
        assert_eq!(
            taps[7],
            Tap {
                base: 1,
                other: 1,
                weight: 0
            }
        );
        assert!(taps.iter().all(|t| t.base < 2 && t.other < 2));
    }

    #[test]
    fn steep_reductions_have_no_windows() {
        let Columns::Table(near) = Columns::new(axis(1500, 640), 1, Between::Linear) else {
            panic!("a table")
        };
        assert!(near.windows.is_some());
        let Columns::Table(far) = Columns::new(axis(3840, 640), 1, Between::Linear) else {
            panic!("a table")
        };
        assert!(far.windows.is_none());
    }

    #[test]
    fn repeated_chroma_follows_luma_in_pairs() {
        let taps = taps(axis(5, 5), 2, Between::Repeat);
        assert_eq!(taps.iter().map(|t| t.base).collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
    }
}
