//! Which layout a network's outputs have.

use super::decode::{Params, decode};
use super::layout::{Activation, Error, Hints, Layout, Result};
use super::outputs::{Outputs, Table, shape};

impl Layout {
    /// The layout of a network that returned `outputs` (for a picture or for zeros).
    ///
    /// The card's word decides, if there is one and the tensors agree. Else their names do (torchvision, DETR), else
    /// what the exporter embedded and their shapes: a YOLO head has one row, or with anchors three, for every cell of
    /// its strides. Where shapes leave a choice, the numbers make it:
    ///
    /// - YOLOX's raw rows or decoded ones: the decoded centres lie all over the input and average near its middle, the
    ///   raw ones are offsets of about a cell;
    /// - end-to-end YOLO or RT-DETR: pixels, or 0 to 1;
    /// - SSD or DETR: rows of probabilities that add up to 1, or logits. Whether DETR's last logit is "no object" follows
    ///   from the number of labels, and cannot be told without them.
    ///
    /// # Errors
    /// When the model was made for another task, when no layout or more than one fits, and when the card's layout does
    /// not; the shapes and the layouts with their words are listed.
    pub fn recognise(outputs: &Outputs, hints: &Hints) -> Result<Layout> {
        if let Some(task) = hints.task.as_deref().filter(|task| *task != "detect") {
            return Err(Error::Task(task.to_owned()));
        }
        if let Some(layout) = hints.layout {
            // Decoding for a threshold that nothing reaches checks the shapes.
            decode(layout, outputs, hints, &Params { confidence: 2.0, ..Params::default() })?;
            return Ok(layout);
        }
        let has = |names: [&str; 2]| names.iter().all(|name| outputs.named(name).is_some());
        if has(["boxes", "labels"]) && outputs.named("scores").is_some() {
            return Ok(Layout::Torchvision);
        }
        let found = match (scores_and_boxes(outputs)?, outputs.tables().first()) {
            (Some((scores, boxes)), _) => two_tables(&scores, &boxes, hints),
            // What follows the first is what it was made from, in graphs that were traced as for training.
            (None, Some((_, table))) => one_table(&read(table)?, hints),
            (None, None) => Vec::new(),
        };
        match found[..] {
            [layout] => Ok(layout),
            [] => Err(Error::Unknown { found: outputs.to_string(), fitting: "none".into() }),
            _ => {
                let fitting = found.iter().map(|layout| layout.word()).collect::<Vec<_>>().join(" or ");
                Err(Error::Unknown { found: outputs.to_string(), fitting })
            }
        }
    }
}

/// The strides that detection heads have: the usual three, with a coarser or a finer level, and the tiny ones.
pub(crate) const PYRAMIDS: [&[usize]; 4] = [&[8, 16, 32], &[8, 16, 32, 64], &[4, 8, 16, 32], &[16, 32]];

/// Cells of all levels together.
pub(crate) fn cells(strides: &[usize], (width, height): (usize, usize)) -> usize {
    strides.iter().map(|s| width.div_ceil(*s) * height.div_ceil(*s)).sum()
}

fn read(tensor: &tch::Tensor) -> Result<Table> {
    Table::read(tensor)?.ok_or_else(|| Error::Unknown { found: shape(tensor), fitting: "none".into() })
}

fn one_table(table: &Table, hints: &Hints) -> Vec<Layout> {
    // Queries and suppressed boxes are few; a grid that small is no detector's.
    const MOST_QUERIES: usize = 2000;
    let (rows, columns) = (table.rows, table.columns);
    let grid = |n: usize, anchors: usize| PYRAMIDS.iter().any(|strides| anchors * cells(strides, hints.size) == n);
    let mut found = Vec::new();
    if hints.end_to_end != Some(true) {
        if rows > 4 && hints.fit(rows - 4) && grid(columns, 1) {
            found.push(Layout::YoloV8);
        }
        if columns > 5 && hints.fit(columns - 5) {
            if grid(rows, 3) {
                found.push(Layout::YoloV5);
            }
            if grid(rows, 1) {
                found.push(if raw_offsets(table, hints) { Layout::Yolox } else { Layout::YoloV5 });
            }
        }
    }
    if found.is_empty() && rows <= MOST_QUERIES {
        let normalised = normalised(table);
        if columns == 6 && !normalised {
            found.push(Layout::EndToEnd);
        } else if normalised && (columns == 6 || columns > 4 && hints.fit(columns - 4)) {
            found.push(Layout::RtDetr);
        }
    }
    found
}

/// Whether the centres are offsets of about a cell, not pixels all over the input.
fn raw_offsets(table: &Table, hints: &Hints) -> bool {
    let sum: f64 = table.iter().map(|row| f64::from(row[0]) + f64::from(row[1])).filter(|v| v.is_finite()).sum();
    let middle = (hints.size.0 + hints.size.1) as f64 / 2.0;
    sum / (table.rows as f64) < middle / 8.0
}

/// Whether all boxes are 0 to 1. Boxes of nothing but zeros, with which suppressed outputs are filled up, are not.
fn normalised(table: &Table) -> bool {
    let mut boxes = table.iter().filter_map(|row| row.get(..4)).flatten();
    boxes.clone().all(|v| (0.0..=1.0).contains(v)) && boxes.any(|v| *v > 0.0)
}

fn two_tables(scores: &Table, boxes: &Table, hints: &Hints) -> Vec<Layout> {
    if probabilities(scores) {
        // Probabilities with centres and sizes are a DETR with its softmax inside, which is none of ours.
        let corners = boxes.iter().all(|b| b[0] <= b[2] && b[1] <= b[3]);
        return if corners { vec![Layout::Ssd] } else { Vec::new() };
    }
    let softmax = Layout::Detr { activation: Activation::Softmax };
    let sigmoid = Layout::Detr { activation: Activation::Sigmoid };
    match scores.columns {
        _ if hints.classes == 0 => vec![softmax, sigmoid],
        columns if columns == hints.classes + 1 => vec![softmax],
        columns if columns == hints.classes => vec![sigmoid],
        _ => Vec::new(),
    }
}

/// Whether every row adds up to 1, as after a softmax; in bf16, about.
fn probabilities(table: &Table) -> bool {
    let sums_to_one = |row: &[f32]| row.iter().all(|v| *v >= 0.0) && (row.iter().sum::<f32>() - 1.0).abs() < 0.05;
    table.columns > 1 && table.rows > 0 && table.iter().all(sums_to_one)
}

/// Of an output of two tables, the one with a column per class and the one with four numbers per box. Names decide where
/// there are any; else the width does, and where both are 4 wide, that only probabilities add up to 1.
pub(crate) fn scores_and_boxes(outputs: &Outputs) -> Result<Option<(Table, Table)>> {
    let tables = outputs.tables();
    let is_boxes = |name: &str| name.contains("box");
    let [a, b] = match tables[..] {
        [a, b] => [a, b],
        // Auxiliary tensors of a dictionary (hidden states) stay out of it.
        _ => {
            let logits = tables.iter().find(|(name, _)| name.ends_with("logits") || name.ends_with("scores"));
            match (logits, tables.iter().find(|(name, _)| is_boxes(name))) {
                (Some(logits), Some(boxes)) => [*logits, *boxes],
                _ => return Ok(None),
            }
        }
    };
    let [first, second] = [read(a.1)?, read(b.1)?];
    let swap = match (first.columns, second.columns) {
        (4, 4) if is_boxes(a.0) != is_boxes(b.0) => is_boxes(a.0),
        (4, 4) => match (probabilities(&first), probabilities(&second)) {
            (true, false) => false,
            (false, true) => true,
            _ => return Ok(None),
        },
        (4, _) => true,
        (_, 4) => false,
        _ => return Ok(None),
    };
    let (scores, boxes) = if swap { (second, first) } else { (first, second) };
    Ok((scores.rows == boxes.rows && scores.columns > 0).then_some((scores, boxes)))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    /// 8400 cells of the usual three strides.
    fn hints(classes: usize) -> Hints {
        Hints { classes, size: (640, 640), ..Hints::default() }
    }

    fn zeros(shape: &[i64]) -> Tensor {
        Tensor::zeros(shape, (Kind::Float, Device::Cpu))
    }

    fn named<const N: usize>(entries: [(&str, Tensor); N]) -> Outputs {
        Outputs(entries.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect())
    }

    #[test]
    fn yolo_heads_are_told_by_their_grid() {
        for (shape, classes, layout) in [
            (&[1, 84, 8400][..], 80, Layout::YoloV8),
            (&[1, 84, 8400], 0, Layout::YoloV8),
            (&[1, 5, 8400], 1, Layout::YoloV8),
            (&[1, 84, 34000], 0, Layout::YoloV8), // a finer level besides
            (&[1, 25200, 85], 80, Layout::YoloV5),
            (&[1, 25200, 6], 1, Layout::YoloV5),
            (&[1, 6000, 85], 0, Layout::YoloV5), // tiny: strides 16 and 32
            (&[1, 300, 6], 80, Layout::EndToEnd),
            (&[1, 8400, 85], 80, Layout::Yolox),
        ] {
            let found = Layout::recognise(&Outputs::single(zeros(shape)), &hints(classes));
            assert_eq!(found, Ok(layout), "{shape:?}");
        }
        // A square table at a small input can be read both ways; the number of labels decides.
        let square = Outputs::single(zeros(&[1, 84, 84]));
        let small = |classes| Hints { size: (64, 64), classes, ..Hints::default() };
        assert_eq!(Layout::recognise(&square, &small(80)), Ok(Layout::YoloV8));
        let error = Layout::recognise(&square, &small(0)).unwrap_err().to_string();
        assert!(error.contains("yolov8 or yolox"), "{error}");
    }

    #[test]
    fn yolox_is_told_by_where_its_centres_lie() {
        let raw = Tensor::rand([1, 8400, 85], (Kind::Float, Device::Cpu));
        let decoded = raw.shallow_clone() * 640.0;
        assert_eq!(Layout::recognise(&Outputs::single(raw), &hints(80)), Ok(Layout::Yolox));
        assert_eq!(Layout::recognise(&Outputs::single(decoded), &hints(80)), Ok(Layout::YoloV5));
    }

    #[test]
    fn rtdetr_is_told_from_end_to_end_by_its_unit() {
        let boxes = Tensor::rand([1, 300, 6], (Kind::Float, Device::Cpu));
        let pixels = boxes.shallow_clone() * 640.0;
        assert_eq!(Layout::recognise(&Outputs::single(boxes), &hints(0)), Ok(Layout::RtDetr));
        assert_eq!(Layout::recognise(&Outputs::single(pixels), &hints(0)), Ok(Layout::EndToEnd));
        let scores = Tensor::rand([1, 300, 84], (Kind::Float, Device::Cpu));
        assert_eq!(Layout::recognise(&Outputs::single(scores), &hints(80)), Ok(Layout::RtDetr));
    }

    #[test]
    fn two_tables_are_ssd_or_detr_in_any_order() {
        let ssd = || zeros(&[1, 4420, 2]).fill_(0.5);
        let boxes = || Tensor::from_slice(&[0.1f32, 0.1, 0.2, 0.2]).expand([1, 4420, 4], false);
        for outputs in [named([("", ssd()), ("", boxes())]), named([("", boxes()), ("", ssd())])] {
            assert_eq!(Layout::recognise(&outputs, &hints(1)), Ok(Layout::Ssd));
        }
        let softmax = Layout::Detr { activation: Activation::Softmax };
        let sigmoid = Layout::Detr { activation: Activation::Sigmoid };
        let detr = || named([("pred_logits", zeros(&[1, 100, 92])), ("pred_boxes", zeros(&[1, 100, 4]))]);
        assert_eq!(Layout::recognise(&detr(), &hints(91)), Ok(softmax));
        assert_eq!(Layout::recognise(&detr(), &hints(92)), Ok(sigmoid));
        let error = Layout::recognise(&detr(), &hints(0)).unwrap_err().to_string();
        assert!(error.contains("detr-softmax or detr-sigmoid") && error.contains("(1, 100, 92)"), "{error}");
        // Three classes and the background: both tables are four wide.
        let four = || zeros(&[1, 9, 4]).fill_(0.25);
        let wide = || Tensor::from_slice(&[0.1f32, 0.1, 0.9, 0.9]).expand([1, 9, 4], false);
        assert_eq!(Layout::recognise(&named([("", wide()), ("", four())]), &hints(3)), Ok(Layout::Ssd));
    }

    #[test]
    fn dictionaries_of_torchvision_are_told_by_their_keys() {
        let dict = named([("boxes", zeros(&[0, 4])), ("labels", zeros(&[0])), ("scores", zeros(&[0]))]);
        assert_eq!(Layout::recognise(&dict, &hints(0)), Ok(Layout::Torchvision));
    }

    #[test]
    fn a_card_decides_when_the_tensors_agree() {
        let says = |layout| Hints { layout: Some(layout), ..hints(80) };
        let outputs = Outputs::single(zeros(&[1, 8400, 85]));
        assert_eq!(Layout::recognise(&outputs, &says(Layout::YoloV5)), Ok(Layout::YoloV5));
        let error = Layout::recognise(&outputs, &says(Layout::EndToEnd)).unwrap_err().to_string();
        assert!(error.contains("'end-to-end' expects (1, N, 6), found (1, 8400, 85)"), "{error}");
    }

    #[test]
    fn what_is_no_detector_is_refused_with_shapes_and_words() {
        for outputs in [
            Outputs(Vec::new()),
            Outputs::single(Tensor::from(1.0f32)),
            Outputs::single(zeros(&[1, 1000])),
            Outputs::single(zeros(&[1, 3, 640, 640])),
            Outputs::single(zeros(&[1, 7, 9])),
        ] {
            let error = Layout::recognise(&outputs, &hints(0)).unwrap_err().to_string();
            assert!(error.contains(&outputs.to_string()) && error.contains("yolov8"), "{error}");
        }
        let other = Hints { task: Some("segment".into()), ..hints(80) };
        assert!(matches!(Layout::recognise(&Outputs::single(zeros(&[1, 116, 8400])), &other), Err(Error::Task(_))));
    }
}
