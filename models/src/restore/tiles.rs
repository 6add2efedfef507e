//! Tiles of a picture that is too large for one pass: where they lie, and how their results become one picture again.
//!
//! A pixel near the edge of a tile is computed from less of the picture than it would be in the whole, up to the `reach` of
//! the network, half its receptive field. So tiles overlap, and where they do the results are blended along a ramp that
//! leaves out `reach` pixels of each: where the overlap is wider than twice the reach, every pixel is what the whole would
//! give. Where it is not, the ramp at least hides the seam.

use super::maps::Maps;

/// A part of a map, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Its column and row in the grid.
    pub place: (usize, usize),
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// How tiles are to be laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Longest side of a tile; 0 is one tile for all.
    pub side: usize,
    /// Pixels that neighbours share, at least; at most seven eighths of a side are taken.
    pub overlap: usize,
    /// Half the receptive field of the network.
    pub reach: usize,
    /// Tiles begin at multiples of this, and their sides are multiples, where the map's are.
    pub multiple: usize,
}

/// Equal tiles over a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    across: Axis,
    down: Axis,
}

impl Grid {
    /// Over a map of `width` x `height`, both multiples of `layout.multiple`.
    pub fn new((width, height): (usize, usize), layout: Layout) -> Grid {
        Grid::of_size((width, height), (layout.side, layout.side), layout)
    }

    /// As `new`, with tiles that need not be square.
    pub fn of_size((width, height): (usize, usize), tile: (usize, usize), layout: Layout) -> Grid {
        let across = Axis::new(width, &Layout { side: tile.0, ..layout });
        Grid { across, down: Axis::new(height, &Layout { side: tile.1, ..layout }) }
    }

    /// Width and height of every tile.
    pub fn tile(&self) -> (usize, usize) {
        (self.across.tile, self.down.tile)
    }

    pub fn is_whole(&self) -> bool {
        self.across.starts.len() == 1 && self.down.starts.len() == 1
    }

    /// All tiles, row by row.
    pub fn tiles(&self) -> impl Iterator<Item = Tile> + '_ {
        let (width, height) = self.tile();
        let row = move |(row, y): (usize, usize)| {
            let tile = move |(column, &x): (usize, &usize)| Tile { place: (column, row), x, y, width, height };
            self.across.starts.iter().enumerate().map(tile)
        };
        self.down.starts.iter().copied().enumerate().flat_map(row)
    }

    /// Adds a tile's result, `channels` maps of the tile's size times `scale`, to a map that began at 0. After all tiles it
    /// holds the picture.
    pub fn add(&self, tile: &Tile, result: &[f32], scale: usize, whole: &mut Maps) {
        let (width, height) = (tile.width * scale, tile.height * scale);
        let across = self.across.weights(tile.place.0, scale);
        let down = self.down.weights(tile.place.1, scale);
        // Columns without weight are left out at both ends.
        let first = across.iter().position(|w| *w > 0.0).unwrap_or(0);
        let end = across.iter().rposition(|w| *w > 0.0).map_or(0, |last| last + 1);
        for (channel, plane) in result.chunks_exact(width * height).enumerate() {
            for (y, (row, &weight)) in plane.chunks_exact(width).zip(&down).enumerate() {
                if weight == 0.0 {
                    continue;
                }
                let target = &mut whole.row_mut(channel, tile.y * scale + y)[tile.x * scale..][first..end];
                for ((t, v), w) in target.iter_mut().zip(&row[first..end]).zip(&across[first..end]) {
                    *t += v * (w * weight);
                }
            }
        }
    }
}

/// Tiles along one side.
#[derive(Debug, Clone, PartialEq)]
struct Axis {
    tile: usize,
    starts: Vec<usize>,
    /// Pixels over which one tile gives way to the next.
    ramp: f32,
}

impl Axis {
    fn new(length: usize, layout: &Layout) -> Axis {
        let multiple = layout.multiple.max(1);
        let tile = match layout.side {
            0 => length,
            side => (side / multiple * multiple).max(multiple).min(length),
        };
        let overlap = layout.overlap.min(tile - tile.div_ceil(8));
        let step = ((tile - overlap) / multiple * multiple).max(multiple);
        let last = length - tile;
        let mut starts: Vec<usize> = (0..last).step_by(step).collect();
        starts.push(last);
        let exact = overlap.checked_sub(2 * layout.reach).filter(|ramp| *ramp > 0);
        Axis { tile, starts, ramp: exact.unwrap_or(overlap / 4).max(1) as f32 }
    }

    /// What each pixel of a tile, enlarged `scale` times, counts for. At every pixel the tiles' weights add up to 1: each
    /// tile is there from the middle of its overlap with the one before to the middle of that with the next.
    fn weights(&self, index: usize, scale: usize) -> Vec<f32> {
        let scaled = |v: usize| (v * scale) as f32;
        let ramp = self.ramp * scale as f32;
        let begins = |index: usize| {
            let before = index.checked_sub(1)?;
            let middle = scaled(self.starts.get(index)? + self.starts[before] + self.tile) / 2.0;
            Some(move |at: f32| ((at - middle) / ramp + 0.5).clamp(0.0, 1.0))
        };
        let (here, next) = (begins(index), begins(index + 1));
        let start = scaled(self.starts[index]);
        (0..self.tile * scale)
            .map(|i| {
                let at = start + i as f32 + 0.5;
                here.as_ref().map_or(1.0, |begun| begun(at)) - next.as_ref().map_or(0.0, |begun| begun(at))
            })
            .collect()
    }
}

/// No tile is made smaller than this for want of memory.
pub const MIN_SIDE: usize = 32;

/// The side of tiles, 0 for one tile, of which `at_once` fit into `free` bytes together, where a pass takes
/// `bytes_per_pixel`. The half of what is free is left to others.
pub fn side_for((width, height): (usize, usize), bytes_per_pixel: f64, at_once: usize, free: u64) -> usize {
    let pixels = free as f64 / 2.0 / at_once.max(1) as f64 / bytes_per_pixel.max(1.0);
    if (width * height) as f64 <= pixels {
        return 0;
    }
    let mut side = width.max(height);
    while side > MIN_SIDE && (side.min(width) * side.min(height)) as f64 > pixels {
        side = side.div_ceil(2);
    }
    side.max(MIN_SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(channels: usize, height: usize, width: usize) -> Maps {
        let mut state = 7u64;
        let mut maps = Maps::zeros(channels, height, width);
        for v in &mut maps.data {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *v = (state >> 40) as f32 / (1u64 << 24) as f32;
        }
        maps
    }

    /// A network of reach `reach`: the mean of a square, what lies outside counting as 0.
    fn blur(maps: &Maps, reach: usize) -> Maps {
        let mut out = Maps::zeros(maps.channels, maps.height, maps.width);
        let span = |at: usize, len: usize| at.saturating_sub(reach)..(at + reach + 1).min(len);
        for c in 0..maps.channels {
            for y in 0..maps.height {
                for x in 0..maps.width {
                    let sum: f32 =
                        span(y, maps.height).map(|y| maps.row(c, y)[span(x, maps.width)].iter().sum::<f32>()).sum();
                    out.row_mut(c, y)[x] = sum / ((2 * reach + 1) as f32).powi(2);
                }
            }
        }
        out
    }

    fn tiled(maps: &Maps, layout: Layout, network: impl Fn(&Maps) -> Maps) -> Maps {
        let grid = Grid::new((maps.width, maps.height), layout);
        let mut whole = Maps::zeros(maps.channels, maps.height, maps.width);
        for tile in grid.tiles() {
            grid.add(&tile, &network(&maps.cut(&tile)).data, 1, &mut whole);
        }
        whole
    }

    fn difference(a: &Maps, b: &Maps) -> f32 {
        a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn an_overlap_of_the_receptive_field_gives_what_the_whole_gives() {
        let maps = noise(2, 50, 73);
        let whole = blur(&maps, 3);
        for side in [16, 17, 24, 40, 64] {
            let layout = Layout { side, overlap: 7, reach: 3, multiple: 1 };
            assert!(difference(&tiled(&maps, layout, |m| blur(m, 3)), &whole) < 1e-6, "{side}");
        }
        let narrow = Layout { side: 16, overlap: 2, reach: 3, multiple: 1 };
        assert!(difference(&tiled(&maps, narrow, |m| blur(m, 3)), &whole) > 0.05, "the test sees seams");
    }

    #[test]
    fn weights_of_all_tiles_add_up_to_one_at_any_scale() {
        for (length, side, overlap, reach, multiple) in [
            (100, 30, 8, 2, 1),
            (100, 30, 14, 0, 2),
            (64, 40, 100, 3, 4),
            (33, 32, 1, 9, 1),
            (5, 0, 4, 1, 1),
            (1, 1, 0, 0, 1),
        ] {
            let axis = Axis::new(length, &Layout { side, overlap, reach, multiple });
            for scale in [1, 2, 4] {
                let mut sums = vec![0.0; length * scale];
                for (index, start) in axis.starts.iter().enumerate() {
                    let weights = axis.weights(index, scale);
                    assert!(weights.iter().all(|w| *w >= 0.0), "{axis:?}");
                    sums[start * scale..][..weights.len()].iter_mut().zip(weights).for_each(|(s, w)| *s += w);
                }
                assert!(sums.iter().all(|s: &f32| (s - 1.0).abs() < 1e-5), "{axis:?} {scale}: {sums:?}");
            }
        }
    }

    #[test]
    fn tiles_lie_inside_at_multiples_and_are_all_of_one_size() {
        let grid = Grid::new((4098 / 2, 4), Layout { side: 256, overlap: 33, reach: 5, multiple: 1 });
        assert_eq!(grid.tile(), (256, 4));
        assert!(grid.tiles().all(|t| t.x + t.width <= 2049 && t.y == 0));
        let grid = Grid::new((96, 64), Layout { side: 50, overlap: 9, reach: 1, multiple: 8 });
        assert_eq!(grid.tile(), (48, 48));
        assert!(grid.tiles().all(|t| t.x % 8 == 0 && t.y % 8 == 0));
        assert!(Grid::new((96, 64), Layout { side: 0, overlap: 9, reach: 1, multiple: 8 }).is_whole());
        assert!(Grid::new((96, 64), Layout { side: 96, overlap: 9, reach: 1, multiple: 8 }).is_whole());
    }

    #[test]
    fn tiles_are_as_large_as_memory_allows() {
        assert_eq!(side_for((1000, 500), 100.0, 1, 1 << 30), 0);
        // 500 kB for each of two at once: 5,000 pixels.
        let side = side_for((1000, 500), 100.0, 2, 2_000_000);
        assert!(side > MIN_SIDE && side * side <= 5000, "{side}");
        assert_eq!(side_for((4000, 2), 100.0, 1, 1_600_000), 0);
        assert_eq!(side_for((1000, 500), 1e9, 1, 1), MIN_SIDE);
    }
}
