//! Hand-made tensors through every decoder, and outputs that no network should give.

use tch::{Device, Kind, Tensor};

use super::*;

const SIZE: (usize, usize) = (64, 32);

fn hints(classes: usize) -> Hints {
    Hints { classes, size: SIZE, ..Hints::default() }
}

/// A `(1, rows, columns)` tensor.
fn table<const C: usize>(rows: &[[f32; C]]) -> Tensor {
    Tensor::from_slice(&rows.concat()).view([1, rows.len() as i64, C as i64])
}

fn zeros(shape: &[i64]) -> Tensor {
    Tensor::zeros(shape, (Kind::Float, Device::Cpu))
}

fn run(layout: Layout, outputs: &Outputs) -> Vec<Detection> {
    decode(layout, outputs, &hints(2), &Params::default()).unwrap()
}

fn corners(found: &Detection) -> [f32; 4] {
    let r = found.rect;
    [r.x, r.y, r.x + r.w, r.y + r.h]
}

fn named(entries: Vec<(&str, Tensor)>) -> Outputs {
    Outputs(entries.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect())
}

fn pair(a: Tensor, b: Tensor) -> Outputs {
    named(vec![("", a), ("", b)])
}

#[test]
fn yolov5_multiplies_objectness_and_class() {
    let outputs = Outputs::single(table(&[
        [20.0, 10.0, 8.0, 4.0, 0.9, 0.1, 0.8],
        [20.0, 10.0, 8.0, 4.0, 0.5, 0.7, 0.7],   // 0.35: below
        [40.0, 10.0, 8.0, 4.0, 0.8, 0.75, 0.75], // equal: the first class
    ]));
    let found = run(Layout::YoloV5, &outputs);
    assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(corners(&found[0]), [16.0, 8.0, 24.0, 12.0]);
    assert!((found[0].confidence - 0.72).abs() < 1e-6 && (found[1].confidence - 0.6).abs() < 1e-6);
}

#[test]
fn yolov8_is_the_same_turned_round_and_crosses_blocks() {
    // More boxes than a block holds, with something in the first and in the last.
    let n = 1100;
    let mut values = zeros(&[1, 6, n]);
    for (at, class, score) in [(3, 0, 0.7f64), (1099, 1, 0.9)] {
        for (row, value) in [(0, 10.0 + at as f64), (1, 10.0), (2, 4.0), (3, 2.0), (4 + class, score)] {
            let _ = values.get(0).get(row).get(at).fill_(value);
        }
    }
    let found = run(Layout::YoloV8, &Outputs::single(values.shallow_clone()));
    assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(corners(&found[1]), [11.0, 9.0, 15.0, 11.0]);
    assert!((found[0].confidence - 0.9).abs() < 1e-6);

    let _ = values.fill_(f64::NAN);
    assert!(run(Layout::YoloV8, &Outputs::single(values)).is_empty());
}

#[test]
fn yolov8_suppresses_within_a_class() {
    let boxes =
        table(&[[20.0, 10.0, 8.0, 4.0, 0.9, 0.0], [20.5, 10.0, 8.0, 4.0, 0.8, 0.0], [20.0, 10.0, 8.0, 4.0, 0.0, 0.7]]);
    let found = run(Layout::YoloV8, &Outputs::single(boxes.transpose(1, 2)));
    assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn end_to_end_is_taken_as_it_is() {
    let row = [1.0, 2.0, 30.0, 20.0, 0.8, 7.0];
    let found = run(Layout::EndToEnd, &Outputs::single(table(&[row, row, [0.0; 6]])));
    assert_eq!(found.len(), 2);
    assert_eq!((corners(&found[0]), found[0].class), ([1.0, 2.0, 30.0, 20.0], 7));
}

#[test]
fn yolox_adds_cells_and_takes_exponentials() {
    // 8x4, 4x2 and 2x1 cells.
    let mut rows = vec![[0f32; 7]; 42];
    rows[8 + 2] = [0.5, 0.25, 2f32.ln(), 1f32.ln(), 0.9, 0.1, 0.9]; // stride 8, cell (2, 1)
    rows[32 + 8 + 1] = [0.5, 0.5, 0.0, 0.0, 0.8, 0.9, 0.1]; // stride 32, cell (1, 0)
    let found = run(Layout::Yolox, &Outputs::single(table(&rows)));
    assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(corners(&found[0]), [12.0, 6.0, 28.0, 14.0]);
    assert_eq!(corners(&found[1]), [32.0, 0.0, 64.0, 32.0]);
}

#[test]
fn detr_leaves_out_no_object_and_scales_the_boxes() {
    let logits = table(&[[0.0, 3.0, 0.0], [0.0, 0.0, 9.0], [1000.0, -1000.0, 0.0]]);
    let boxes = table(&[[0.5, 0.5, 0.25, 0.5], [0.5; 4], [0.25, 0.5, 0.5, 1.0]]);
    let layout = Layout::Detr { activation: Activation::Softmax };
    for outputs in [
        pair(logits.shallow_clone(), boxes.shallow_clone()),
        pair(boxes.shallow_clone(), logits.shallow_clone()),
        named(vec![
            ("pred_boxes", boxes.shallow_clone()),
            ("last_hidden_state", zeros(&[1, 3, 8])),
            ("logits", logits.shallow_clone()),
        ]),
    ] {
        let found = run(layout, &outputs);
        assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(corners(&found[0]), [0.0, 0.0, 32.0, 32.0]);
        assert_eq!(corners(&found[1]), [24.0, 8.0, 40.0, 24.0]);
        let e3 = 3f32.exp();
        assert!((found[1].confidence - e3 / (e3 + 2.0)).abs() < 1e-6);
    }
}

#[test]
fn sigmoid_queries_may_give_two_boxes() {
    let layout = Layout::Detr { activation: Activation::Sigmoid };
    let found = run(layout, &pair(table(&[[1.0, 2.0]]), table(&[[0.5, 0.5, 0.5, 0.5]])));
    assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn rtdetr_comes_in_both_of_its_forms() {
    let scores = run(Layout::RtDetr, &Outputs::single(table(&[[0.5, 0.5, 0.5, 0.5, 0.2, 0.7]])));
    let chosen = run(Layout::RtDetr, &Outputs::single(table(&[[0.5, 0.5, 0.5, 0.5, 0.7, 1.0]])));
    assert_eq!(scores, chosen);
    assert_eq!((corners(&scores[0]), scores[0].class), ([16.0, 8.0, 48.0, 24.0], 1));
}

#[test]
fn ssd_skips_the_background_and_keeps_every_class_above() {
    let scores = table(&[[0.1, 0.45, 0.45], [0.9, 0.05, 0.05]]);
    let outputs = pair(scores, table(&[[0.0, 0.25, 0.5, 1.0], [0.0, 0.0, 1.0, 1.0]]));
    let found = run(Layout::Ssd, &outputs);
    assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(corners(&found[0]), [0.0, 8.0, 32.0, 32.0]);
    let with_background = decode(Layout::Ssd, &outputs, &hints(3), &Params::default()).unwrap();
    assert_eq!(with_background.iter().map(|d| d.class).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn torchvision_keeps_its_labels() {
    let outputs = named(vec![
        ("boxes", Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 0.0, 0.0, 9.0, 9.0]).view([2, 4])),
        ("labels", Tensor::from_slice(&[90i64, 1])),
        ("scores", Tensor::from_slice(&[0.9f32, 0.1])),
    ]);
    let found = run(Layout::Torchvision, &outputs);
    assert_eq!(found.len(), 1);
    assert_eq!((corners(&found[0]), found[0].class), ([1.0, 2.0, 3.0, 4.0], 90));
}

#[test]
fn our_own_maps_are_suppressed() {
    let map = zeros(&[1, 6, 4, 8]);
    let _ = map.narrow(1, 4, 2).fill_(-10.0);
    for column in [2, 3] {
        let _ = map.get(0).narrow(0, 0, 4).select(2, column).select(1, 1).fill_(5.0);
        let _ = map.get(0).get(4).get(1).get(column).fill_(3.0 - column as f64);
    }
    let found = run(Layout::Maps, &Outputs::single(map));
    assert_eq!(found.len(), 1);
    assert!((found[0].confidence - 1.0 / (1.0 + (-1f32).exp())).abs() < 1e-6);
}

#[test]
fn shapes_of_no_detector_are_refused_and_named() {
    let odd = || -> Vec<Outputs> {
        let mut all = vec![Outputs(Vec::new()), Outputs::single(Tensor::new()), Outputs::single(Tensor::from(1.0f32))];
        for shape in [&[1, 3][..], &[1, 3, 3], &[2, 84, 21], &[1, 2, 3, 4], &[1, 3, 0], &[0]] {
            all.push(Outputs::single(zeros(shape)));
        }
        all.push(pair(zeros(&[1, 3, 2]), zeros(&[1, 4, 4])));
        all.push(named(vec![("boxes", zeros(&[2, 4])), ("labels", zeros(&[3])), ("scores", zeros(&[2]))]));
        all.push(named(vec![("boxes", Tensor::new()), ("labels", Tensor::new()), ("scores", Tensor::new())]));
        all
    };
    for layout in Layout::ALL {
        for outputs in odd() {
            // Shapes that do fit a layout are fine as long as nothing is found in zeros; none may panic.
            match decode(layout, &outputs, &hints(0), &Params::default()) {
                Ok(found) => assert!(found.is_empty(), "{layout} {outputs}"),
                Err(error) => assert!(error.to_string().len() < 500, "{error}"),
            }
        }
    }
    let error = decode(Layout::YoloV5, &Outputs::single(zeros(&[1, 3, 5])), &hints(0), &Params::default());
    assert_eq!(error.unwrap_err().to_string(), "output layout 'yolov5' expects (1, N, 5 + classes), found (1, 3, 5)");
}

#[test]
fn nan_infinite_and_huge_numbers_give_no_panic_and_no_broken_box() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e30] {
        let fill = |shape: &[i64]| zeros(shape).f_fill_(f64::from(value)).unwrap();
        for (layout, outputs) in [
            (Layout::YoloV5, Outputs::single(fill(&[1, 9, 7]))),
            (Layout::YoloV8, Outputs::single(fill(&[1, 6, 9]))),
            (Layout::EndToEnd, Outputs::single(fill(&[1, 9, 6]))),
            (Layout::Yolox, Outputs::single(fill(&[1, 42, 7]))),
            (Layout::Detr { activation: Activation::Softmax }, pair(fill(&[1, 9, 3]), fill(&[1, 9, 4]))),
            (Layout::Detr { activation: Activation::Sigmoid }, pair(fill(&[1, 9, 3]), fill(&[1, 9, 4]))),
            (Layout::RtDetr, Outputs::single(fill(&[1, 9, 6]))),
            (Layout::Ssd, pair(fill(&[1, 9, 3]), fill(&[1, 9, 4]))),
            (
                Layout::Torchvision,
                named(vec![("boxes", fill(&[9, 4])), ("labels", fill(&[9])), ("scores", fill(&[9]))]),
            ),
            (Layout::Maps, Outputs::single(fill(&[1, 6, 4, 8]))),
        ] {
            for found in run(layout, &outputs) {
                assert!(found.confidence.is_finite(), "{layout} {value}: {found:?}");
                assert!(corners(&found).iter().all(|v| !v.is_nan()), "{layout} {value}: {found:?}");
            }
        }
    }
}

#[test]
fn max_detections_keeps_the_most_confident() {
    let rows: Vec<_> = (0..50).map(|i| [i as f32, 0.0, i as f32 + 1.0, 1.0, 0.5 + i as f32 / 100.0, 0.0]).collect();
    let outputs = Outputs::single(table(&rows));
    let params = Params { max_detections: 3, ..Params::default() };
    let found = decode(Layout::EndToEnd, &outputs, &hints(0), &params).unwrap();
    assert_eq!(found.iter().map(|d| d.rect.x).collect::<Vec<_>>(), [49.0, 48.0, 47.0]);
}
