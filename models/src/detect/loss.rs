//! How the detector learns: which cell answers for which object, and what a wrong answer costs.
//!
//! - Assignment is task-aligned (Feng et al. 2021, TOOD): among the cells inside an object those ten answer for it that
//!   already classify and locate it best together, `score^0.5 * iou^6`.
//! - Classes: quality focal loss (Li et al. 2020, GFL); a cell is asked for how good its box is, not for plain one.
//! - Boxes: generalised IoU (Rezatofighi et al. 2019), weighted by the same quality.

use tch::{Kind, Reduction, TchError, Tensor};

use super::maps::{BOX_CHANNELS, STRIDES, decode_box, sigmoid};
use crate::boxes::Rect;
use crate::data::{Object, Truth};

/// How many cells answer for one object.
const CELLS_PER_OBJECT: usize = 10;
const SCORE_POWER: f32 = 0.5;
const IOU_POWER: i32 = 6;
const BOX_WEIGHT: f64 = 2.5;

/// The loss of a batch, and its two parts for the log. All scalars; `total` carries the gradient.
#[derive(Debug)]
pub struct Loss {
    pub total: Tensor,
    pub classes: f64,
    pub boxes: f64,
}

/// The loss of the network's raw `maps` (finest first, batch of N) for `width` x `height` input, against one truth per
/// picture in input pixels.
///
/// # Errors
/// When maps, input size and truths do not belong together.
pub fn loss(maps: &[Tensor], (width, height): (u32, u32), truths: &[Truth]) -> Result<Loss, TchError> {
    let grid = Grid::new(width, height);
    let flat = maps.iter().map(|m| m.f_to_kind(Kind::Float)?.f_flatten(2, 3)).collect::<Result<Vec<_>, _>>()?;
    let flat = Tensor::f_cat(&flat, 2)?;
    let (batch, channels, cells) = flat.size3()?;
    let classes = channels as usize - BOX_CHANNELS;
    if cells as usize != grid.cells.len() || batch as usize != truths.len() {
        return Err(TchError::Shape(format!(
            "{batch} pictures with {cells} cells against {} truths and {} cells of a {width}x{height} input",
            truths.len(),
            grid.cells.len()
        )));
    }
    let device = flat.device();
    let targets = Targets::assign(&grid, &Vec::<f32>::try_from(flat.f_detach()?.f_view([-1])?)?, classes, truths);
    // Ten poor cells are one good object's worth; an empty batch still has a class loss.
    let normaliser = targets.qualities.iter().sum::<f32>().max(1.0) as f64;

    let logits = flat.f_narrow(1, BOX_CHANNELS as i64, classes as i64)?;
    let shape = [batch, classes as i64, cells];
    let wanted = Tensor::f_from_slice(&targets.scores)?.f_view(shape)?.f_to_device(device)?;
    let counted = Tensor::f_from_slice(&targets.counted)?.f_view([batch, 1, cells])?.f_to_device(device)?;
    let distance = logits.f_sigmoid()?.f_sub(&wanted)?.f_square()?.f_mul(&counted)?;
    let entropy = logits.f_binary_cross_entropy_with_logits::<Tensor>(&wanted, None, None, Reduction::None)?;
    let class_loss = entropy.f_mul(&distance)?.f_sum(Kind::Float)?.f_div_scalar(normaliser)?;

    let box_loss = if targets.indices.is_empty() {
        class_loss.f_zeros_like()?
    } else {
        let indices = Tensor::f_from_slice(&targets.indices)?.f_to_device(device)?;
        let raw = flat.f_narrow(1, 0, BOX_CHANNELS as i64)?.f_permute([0, 2, 1])?.f_reshape([-1, 4])?;
        let found = raw.f_index_select(0, &indices)?.f_softplus()?;
        let wanted = Tensor::f_from_slice(&targets.distances)?.f_view([-1, 4])?.f_to_device(device)?;
        let weights = Tensor::f_from_slice(&targets.qualities)?.f_to_device(device)?;
        let error = giou_of_distances(&found, &wanted)?.f_neg()?.f_add_scalar(1.0)?;
        error.f_mul(&weights)?.f_sum(Kind::Float)?.f_div_scalar(normaliser)?
    };
    let total = class_loss.f_add(&box_loss.f_mul_scalar(BOX_WEIGHT)?)?;
    Ok(Loss { classes: f64::try_from(&class_loss)?, boxes: f64::try_from(&box_loss)?, total })
}

/// Generalised IoU of boxes that are given as distances `(P, 4)` (left, top, right, bottom) from a common point.
fn giou_of_distances(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    let sides = |t: &Tensor| -> Result<(Tensor, Tensor), TchError> {
        let both = t.f_narrow(1, 0, 2)?.f_add(&t.f_narrow(1, 2, 2)?)?;
        Ok((both.f_select(1, 0)?, both.f_select(1, 1)?))
    };
    let area = |(w, h): (Tensor, Tensor)| w.f_mul(&h);
    let (inner_w, inner_h) = sides(&a.f_minimum(b)?)?;
    let inner = inner_w.f_clamp_min(0.0)?.f_mul(&inner_h.f_clamp_min(0.0)?)?;
    let union = area(sides(a)?)?.f_add(&area(sides(b)?)?)?.f_sub(&inner)?.f_add_scalar(1e-7)?;
    let hull = area(sides(&a.f_maximum(b)?)?)?.f_add_scalar(1e-7)?;
    inner.f_div(&union)?.f_sub(&hull.f_sub(&union)?.f_div(&hull)?)
}

/// The cells of all levels, in the order in which the flattened maps list them.
struct Grid {
    cells: Vec<Cell>,
    levels: Vec<GridLevel>,
}

struct GridLevel {
    stride: f32,
    columns: usize,
    rows: usize,
    first: usize,
}

struct Cell {
    x: f32,
    y: f32,
    stride: f32,
    column: usize,
    row: usize,
}

impl Grid {
    fn new(width: u32, height: u32) -> Self {
        let mut grid = Grid { cells: Vec::new(), levels: Vec::new() };
        for stride in STRIDES {
            let columns = (width as usize).div_ceil(stride as usize);
            let rows = (height as usize).div_ceil(stride as usize);
            let stride = stride as f32;
            grid.levels.push(GridLevel { stride, columns, rows, first: grid.cells.len() });
            grid.cells.extend((0..rows * columns).map(|i| {
                let (column, row) = (i % columns, i / columns);
                Cell { x: (column as f32 + 0.5) * stride, y: (row as f32 + 0.5) * stride, stride, column, row }
            }));
        }
        grid
    }

    /// The cells whose point lies inside `rect`; for a box too small to hold any, the finest cell under its centre.
    fn inside(&self, rect: &Rect) -> Vec<usize> {
        let mut found = Vec::new();
        for level in &self.levels {
            let range = |from: f32, extent: f32, count: usize| {
                let first = (from / level.stride - 0.5).ceil().max(0.0) as usize;
                let end = ((from + extent) / level.stride - 0.5).ceil().max(0.0) as usize;
                first..end.min(count)
            };
            for row in range(rect.y, rect.h, level.rows) {
                found.extend(
                    range(rect.x, rect.w, level.columns).map(|column| level.first + row * level.columns + column),
                );
            }
        }
        if let (true, Some(finest)) = (found.is_empty(), self.levels.first()) {
            let under = |centre: f32, count: usize| ((centre / finest.stride).max(0.0) as usize).min(count - 1);
            let column = under(rect.x + rect.w / 2.0, finest.columns);
            found.push(finest.first + under(rect.y + rect.h / 2.0, finest.rows) * finest.columns + column);
        }
        found
    }
}

/// What the network should have said: dense class scores, and boxes for the cells that answer for an object.
struct Targets {
    /// `(N, classes, cells)`, 0 to 1.
    scores: Vec<f32>,
    /// `(N, cells)`: 0 where the class loss must not look (ignored areas), else 1.
    counted: Vec<f32>,
    /// Of the answering cells: index into `(N * cells)`, wanted distances in strides, weight.
    indices: Vec<i64>,
    distances: Vec<f32>,
    qualities: Vec<f32>,
}

struct Answer {
    cell: usize,
    object: usize,
    alignment: f32,
    iou: f32,
}

impl Targets {
    /// `predictions` is `(N, 4 + classes, cells)`, raw.
    fn assign(grid: &Grid, predictions: &[f32], classes: usize, truths: &[Truth]) -> Targets {
        let cells = grid.cells.len();
        let mut targets = Targets {
            scores: vec![0.0; truths.len() * classes * cells],
            counted: vec![1.0; truths.len() * cells],
            indices: Vec::new(),
            distances: Vec::new(),
            qualities: Vec::new(),
        };
        let per_picture = (BOX_CHANNELS + classes) * cells;
        for (picture, (truth, predicted)) in truths.iter().zip(predictions.chunks_exact(per_picture)).enumerate() {
            targets.ignore_areas(grid, picture, truth);
            for (answer, quality) in answers(grid, predicted, &truth.objects) {
                let object = &truth.objects[answer.object];
                let cell = &grid.cells[answer.cell];
                targets.scores[(picture * classes + object.class) * cells + answer.cell] = quality;
                targets.counted[picture * cells + answer.cell] = 1.0;
                targets.indices.push((picture * cells + answer.cell) as i64);
                let Rect { x, y, w, h } = object.rect;
                let sides = [cell.x - x, cell.y - y, x + w - cell.x, y + h - cell.y];
                targets.distances.extend(sides.map(|d| d / cell.stride));
                targets.qualities.push(quality);
            }
        }
        targets
    }

    fn ignore_areas(&mut self, grid: &Grid, picture: usize, truth: &Truth) {
        let counted = &mut self.counted[picture * grid.cells.len()..][..grid.cells.len()];
        for area in &truth.ignore {
            for cell in grid.inside(area) {
                counted[cell] = 0.0;
            }
        }
    }
}

/// The answering cells of one picture with the score that each is asked for.
fn answers(grid: &Grid, predicted: &[f32], objects: &[Object]) -> Vec<(Answer, f32)> {
    let cells = grid.cells.len();
    let mut chosen: Vec<Answer> = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        let mut candidates: Vec<Answer> = grid
            .inside(&object.rect)
            .into_iter()
            .map(|cell| {
                let Cell { column, row, stride, .. } = grid.cells[cell];
                let raw = std::array::from_fn(|side| predicted[side * cells + cell]);
                let iou = decode_box(column, row, stride, raw).iou(&object.rect);
                let score = sigmoid(predicted[(BOX_CHANNELS + object.class) * cells + cell]);
                // The constant keeps an order, by IoU alone, where sixth powers of a fresh network vanish.
                let alignment = score.powf(SCORE_POWER) * iou.powi(IOU_POWER) + 1e-9 * (1.0 + iou);
                Answer { cell, object: index, alignment, iou }
            })
            .collect();
        candidates.sort_by(|a, b| b.alignment.total_cmp(&a.alignment));
        candidates.truncate(CELLS_PER_OBJECT);
        chosen.extend(candidates);
    }
    // A cell can answer for one object only: the one that its box covers best.
    chosen.sort_by(|a, b| a.cell.cmp(&b.cell).then(b.iou.total_cmp(&a.iou)));
    chosen.dedup_by_key(|answer| answer.cell);

    let mut best = vec![(0f32, 0f32); objects.len()];
    for answer in &chosen {
        let (alignment, iou) = &mut best[answer.object];
        *alignment = alignment.max(answer.alignment);
        *iou = iou.max(answer.iou);
    }
    let scored = chosen.into_iter().map(|answer| {
        let (alignment, iou) = best[answer.object];
        let quality = answer.alignment / alignment * iou;
        (answer, quality)
    });
    scored.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn object(x: f32, y: f32, w: f32, h: f32, class: usize) -> Object {
        Object { rect: Rect { x, y, w, h }, class }
    }

    /// Maps of a 64x64 input in which every cell says: four by four cells, probability one half.
    fn maps(classes: i64) -> Vec<Tensor> {
        let level = |cells: i64| {
            let map = Tensor::zeros([1, 4 + classes, cells, cells], (Kind::Float, Device::Cpu));
            let _ = map.narrow(1, 0, 4).fill_(2f64.exp_m1().ln());
            map.set_requires_grad(true)
        };
        vec![level(8), level(4), level(2)]
    }

    #[test]
    fn cells_inside_a_box_are_those_whose_point_is() {
        let grid = Grid::new(64, 64);
        // Stride 8 points 4, 12, 20, ...; stride 16: 8, 24, ...; stride 32: 16, 48.
        let found = grid.inside(&Rect::from_corners(10.0, 10.0, 22.0, 14.0));
        assert_eq!(found, [8 + 1, 8 + 2]);
        let found = grid.inside(&Rect::from_corners(0.0, 0.0, 16.5, 16.5));
        assert_eq!(found, [0, 1, 8, 9, 64, 64 + 16]);
    }

    #[test]
    fn a_box_between_all_points_still_has_a_cell() {
        let grid = Grid::new(64, 64);
        assert_eq!(grid.inside(&Rect { x: 5.0, y: 13.0, w: 2.0, h: 2.0 }), [8]);
    }

    #[test]
    fn giou_matches_hand_worked_boxes() {
        let point = Tensor::from_slice(&[2.0f32, 2.0, 2.0, 2.0]).view([1, 4]);
        // The same box; half of it (IoU 0.5, hull = the larger one); beside it with a gap: union 32, hull 4 x 12.
        for (other, expected) in
            [([2.0f32, 2.0, 2.0, 2.0], 1.0), ([2.0, 2.0, 0.0, 2.0], 0.5), ([-6.0, 2.0, 10.0, 2.0], -16.0 / 48.0)]
        {
            let other = Tensor::from_slice(&other).view([1, 4]);
            let giou = giou_of_distances(&point, &other).unwrap().double_value(&[0]);
            assert!((giou - expected).abs() < 1e-5, "{giou} for {other:?}");
        }
    }

    #[test]
    fn the_best_aligned_cells_answer_and_ignored_cells_are_silent() {
        let grid = Grid::new(64, 64);
        let predictions: Vec<f32> = {
            let flat: Vec<Tensor> = maps(1).iter().map(|m| m.detach().flatten(2, 3)).collect();
            Vec::try_from(Tensor::cat(&flat, 2).view([-1])).unwrap()
        };
        // Exactly the box that the stride-8 cell (3, 3) already says: point 28, 28, and 16 to each side.
        let truth = Truth {
            objects: vec![object(12.0, 12.0, 32.0, 32.0, 0)],
            ignore: vec![Rect { x: 0.0, y: 0.0, w: 64.0, h: 10.0 }],
        };
        let targets = Targets::assign(&grid, &predictions, 1, &[truth]);
        assert_eq!(targets.indices.len(), CELLS_PER_OBJECT);
        assert!((targets.scores[3 * 8 + 3] - 1.0).abs() < 1e-5);
        assert!(targets.scores[4 * 8 + 4] < 0.7);
        let silent = targets.counted.iter().filter(|&&c| c == 0.0).count();
        assert_eq!(silent, 8 + 4, "one row of stride 8, one of stride 16");
    }

    #[test]
    fn a_few_steps_of_descent_find_the_object() {
        let maps = maps(2);
        let truth = [Truth { objects: vec![object(10.0, 18.0, 30.0, 40.0, 1)], ignore: vec![] }];
        let first = f64::try_from(loss(&maps, (64, 64), &truth).unwrap().total).unwrap();
        for _ in 0..200 {
            loss(&maps, (64, 64), &truth).unwrap().total.backward();
            tch::no_grad(|| {
                for map in &maps {
                    let mut map = map.shallow_clone();
                    let step = map.grad() * 2.0;
                    map -= step;
                    map.zero_grad();
                }
            });
        }
        let last = f64::try_from(loss(&maps, (64, 64), &truth).unwrap().total).unwrap();
        assert!(last < 0.1 * first, "{first} -> {last}");
        let detached: Vec<_> = maps.iter().map(Tensor::detach).collect();
        let found = super::super::maps::decode(&detached, (64, 64), 0.5).unwrap();
        assert!(!found.is_empty());
        assert!(found.iter().all(|d| d.class == 1 && d.rect.iou(&truth[0].objects[0].rect) > 0.7), "{found:?}");
    }

    #[test]
    fn a_batch_without_objects_has_a_finite_loss() {
        let maps = maps(1);
        let loss = loss(&maps, (64, 64), &[Truth::default()]).unwrap();
        assert!(f64::try_from(loss.total).unwrap().is_finite());
        assert_eq!(loss.boxes, 0.0);
    }

    #[test]
    fn truths_that_do_not_fit_are_refused() {
        assert!(loss(&maps(1), (64, 64), &[]).is_err());
        assert!(loss(&maps(1), (640, 64), &[Truth::default()]).is_err());
    }
}
