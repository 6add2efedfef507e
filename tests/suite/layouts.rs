//! Whole detectors, from the photo to boxes on the photo, against what their own libraries give.
//!
//! The networks and the expected boxes come from tests/reference/generate.py; the photos are those of the shared data. A
//! photo goes through our own preparation, a bare TorchScript module, recognition of the layout, decoding, suppression and
//! mapping back. Corners must agree to 1 pixel of the photo and scores to 1e-3.

use std::path::Path;

use gst_torch_models::boxes::{Detection, Rect};
use gst_torch_models::builtin;
use gst_torch_models::detect::ultraface;
use gst_torch_models::detect::{Hints, Layout, Outputs, Params, decode};
use gst_torch_runtime::planes::{
    Colour, Fit, FrameInfo, Geometry, InputSpec, Layout as MemoryLayout, PixelFormat, Planes, Preprocessor,
};
use gst_video::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tch::{CModule, IValue, Kind, Tensor};

use crate::common;

const PIXELS: f32 = 1.0;
const SCORE: f32 = 1e-3;

#[test]
fn yolov5_rows_decode_as_published() {
    agrees("yolov5", module("yolov5"));
}

#[test]
fn yolov8_gives_the_boxes_of_ultralytics() {
    agrees("yolov8", module("yolov8"));
}

#[test]
fn yolo11_on_a_wide_input_gives_the_boxes_of_ultralytics() {
    agrees("yolo11", module("yolo11"));
}

#[test]
fn end_to_end_yolov10_gives_the_boxes_of_ultralytics() {
    agrees("yolov10", module("yolov10"));
}

#[test]
fn end_to_end_yolo26_gives_the_boxes_of_ultralytics() {
    agrees("yolo26", module("yolo26"));
}

#[test]
fn rtdetr_gives_the_boxes_of_ultralytics() {
    agrees("rtdetr", module("rtdetr"));
}

#[test]
fn yolox_grids_decode_as_published() {
    agrees("yolox", module("yolox"));
}

#[test]
fn detr_dictionaries_decode_as_published() {
    agrees("detr", module("detr"));
}

#[test]
fn sigmoid_detr_tuples_decode_as_published() {
    agrees("deformable-detr", module("deformable-detr"));
}

#[test]
fn torchvision_ssd_gives_the_boxes_of_torchvision() {
    agrees("torchvision-ssd", module("torchvision-ssd"));
}

#[test]
fn torchvision_retinanet_gives_the_boxes_of_torchvision() {
    agrees("torchvision-retinanet", module("torchvision-retinanet"));
}

#[test]
fn ultraface_finds_the_faces_that_its_project_finds() {
    let Some(weights) = common::data("ultraface/models/pretrained/version-slim-320.pth") else {
        return;
    };
    // Through a file, as a user would have it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ultraface.pt");
    std::fs::write(&file, ultraface::torchscript(&weights, 320, 240).unwrap()).unwrap();
    agrees("ultraface", CModule::load(&file).unwrap());
}

#[test]
fn exported_files_say_what_their_card_would() {
    for (name, classes) in [("yolov8", 80), ("yolo11", 12), ("yolov10", 7), ("yolo26", 5), ("rtdetr", 9)] {
        let reference = Reference::read(name);
        let path = common::root().join(format!("tests/reference/models/{name}.pt"));
        let info = builtin::open(path.to_str().unwrap()).unwrap().info;
        assert_eq!(info.task.value.as_deref(), Some("detect"), "{name}");
        assert_eq!(info.labels.value.len(), classes, "{name}");
        assert_eq!(info.size.value, Some([reference.spec.width, reference.spec.height]), "{name}");
        assert_eq!(info.fit.value, reference.spec.fit, "{name}");
    }
}

/// What a file of tests/reference/expected says.
struct Reference {
    layout: Layout,
    classes: usize,
    params: Params,
    spec: InputSpec,
    /// Photos go into the network as they are.
    as_it_is: bool,
    photos: Vec<Value>,
}

impl Reference {
    fn read(name: &str) -> Reference {
        let path = common::root().join(format!("tests/reference/expected/{name}.json"));
        let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let input = &json["input"];
        let number = |v: &Value| v.as_f64().unwrap() as f32;
        let three = |key: &str| std::array::from_fn(|i| number(&input[key][i]));
        Reference {
            layout: json["layout"].as_str().unwrap().parse().unwrap(),
            classes: json["classes"].as_u64().unwrap() as usize,
            params: Params {
                confidence: number(&json["confidence"]),
                iou: number(&json["iou"]),
                max_detections: json["max_detections"].as_u64().unwrap() as usize,
            },
            spec: InputSpec {
                width: input["size"][0].as_u64().unwrap() as usize,
                height: input["size"][1].as_u64().unwrap() as usize,
                colour: if input["colour"] == "bgr" { Colour::Bgr } else { Colour::Rgb },
                fit: if input["fit"] == "stretch" { Fit::Stretch } else { Fit::Letterbox },
                pad: input["pad"].as_u64().unwrap() as u8,
                scale: number(&input["scale"]),
                mean: three("mean"),
                std: three("std"),
            },
            as_it_is: input["fit"] == "none",
            photos: json["photos"].as_array().unwrap().clone(),
        }
    }
}

fn module(name: &str) -> CModule {
    CModule::load(common::root().join(format!("tests/reference/models/{name}.pt"))).unwrap()
}

/// Runs all photos of a reference and compares.
fn agrees(name: &str, module: CModule) {
    common::init();
    let reference = Reference::read(name);
    assert!(reference.photos.len() >= 20);
    let mut layout = None;
    let mut summary = Summary::default();
    for photo in &reference.photos {
        let file = photo["file"].as_str().unwrap();
        let Some(path) = common::data(file) else { return };
        let picture = Picture::decode(&path);
        assert_eq!(
            picture.digest(),
            photo["rgb"],
            "{file} was decoded to other pixels than OpenCV's; nothing to compare"
        );
        let mut expected = expected(photo);
        let found = detect(&module, &reference, &picture, &mut layout);
        compare(&reference.params, &mut expected, found, &mut summary, &format!("{name}, {file}"));
    }
    eprintln!("{name}: {summary:?}");
    assert!(summary.wrong.is_empty(), "{name}: {} disagree:\n{}", summary.wrong.len(), summary.wrong.join("\n"));
    assert!(summary.boxes > 50, "only {} boxes: this compares nothing", summary.boxes);
}

/// Boxes on the photo, as the element makes them.
fn detect(module: &CModule, reference: &Reference, picture: &Picture, layout: &mut Option<Layout>) -> Vec<Detection> {
    let planes = Planes::new(picture.info, &[(&picture.rgb, 3 * picture.info.width)]).unwrap();
    let preprocessor = if reference.as_it_is {
        Preprocessor::full_size(&picture.info)
    } else {
        Preprocessor::new(&picture.info, &reference.spec)
    }
    .unwrap();
    let mut input = preprocessor.empty(1, Kind::Float, MemoryLayout::Contiguous).unwrap();
    preprocessor.run(&planes, &mut input).unwrap();

    let outputs = run(module, input, reference.as_it_is);
    let (width, height) = preprocessor.geometry().input();
    let hints = Hints { classes: reference.classes, size: (width, height), ..Hints::default() };
    // Recognised by the first photo, as the element does it when it warms up.
    let layout = *layout.get_or_insert_with(|| Layout::recognise(&outputs, &hints).unwrap());
    assert_eq!(layout, reference.layout);

    let mut found = decode(layout, &outputs, &hints, &reference.params).unwrap();
    for detection in &mut found {
        detection.rect = on_photo(preprocessor.geometry(), detection);
    }
    found
}

fn on_photo(geometry: &Geometry, found: &Detection) -> Rect {
    let [x1, y1, x2, y2] = geometry.to_source(corners(found));
    Rect::from_corners(x1, y1, x2, y2)
}

fn run(module: &CModule, input: Tensor, as_list: bool) -> Outputs {
    let _guard = tch::no_grad_guard();
    let output = if as_list {
        module.forward_is(&[IValue::TensorList(vec![input.squeeze_dim(0)])])
    } else {
        module.forward_is(&[IValue::Tensor(input)])
    };
    let mut outputs = Vec::new();
    flatten(String::new(), output.unwrap(), &mut outputs);
    Outputs(outputs)
}

fn flatten(name: String, value: IValue, outputs: &mut Vec<(String, Tensor)>) {
    match value {
        IValue::Tensor(tensor) => outputs.push((name, tensor)),
        IValue::TensorList(tensors) => outputs.extend(tensors.into_iter().map(|tensor| (name.clone(), tensor))),
        IValue::Tuple(items) | IValue::GenericList(items) => {
            items.into_iter().for_each(|item| flatten(name.clone(), item, outputs));
        }
        IValue::GenericDict(entries) => {
            for (key, value) in entries {
                let IValue::String(key) = key else { panic!("key {key:?}") };
                flatten(key, value, outputs);
            }
        }
        other => panic!("{other:?} in an output"),
    }
}

/// A decoded photo, rows without padding.
struct Picture {
    info: FrameInfo,
    rgb: Vec<u8>,
}

impl Picture {
    /// By libjpeg with its default settings, as OpenCV does: other decoders differ by a few levels.
    fn decode(path: &Path) -> Picture {
        let line = "filesrc name=source ! gdkpixbufdec ! video/x-raw,format=RGB ! appsink name=sink sync=false";
        let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.by_name("source").unwrap().set_property("location", path.to_str().unwrap());
        let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let sample = sink.pull_sample().unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        let info = gst_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer().unwrap(), &info).unwrap();
        let (width, height) = (info.width() as usize, info.height() as usize);
        let stride = frame.plane_stride()[0] as usize;
        let data = frame.plane_data(0).unwrap();
        let rgb = (0..height).flat_map(|row| &data[row * stride..][..3 * width]).copied().collect();
        Picture { info: FrameInfo::new(PixelFormat::Rgb, width, height), rgb }
    }

    fn digest(&self) -> String {
        Sha256::digest(&self.rgb).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn expected(photo: &Value) -> Vec<Detection> {
    let number = |v: &Value| v.as_f64().unwrap() as f32;
    let rows = photo["boxes"].as_array().unwrap().iter();
    rows.map(|row| Detection {
        rect: Rect::from_corners(number(&row[0]), number(&row[1]), number(&row[2]), number(&row[3])),
        confidence: number(&row[4]),
        class: row[5].as_u64().unwrap() as usize,
    })
    .collect()
}

fn corners(found: &Detection) -> [f32; 4] {
    let r = found.rect;
    [r.x, r.y, r.x + r.w, r.y + r.h]
}

#[derive(Debug, Default)]
struct Summary {
    boxes: usize,
    largest_pixels: f32,
    largest_score: f32,
    wrong: Vec<String>,
}

/// Pairs the two lists off. A box too close to the threshold, or to where the list was cut off, may be in one of them only.
fn compare(params: &Params, expected: &mut [Detection], found: Vec<Detection>, summary: &mut Summary, photo: &str) {
    let full = expected.len() == params.max_detections;
    let last = expected.iter().map(|d| d.confidence).fold(f32::INFINITY, f32::min);
    let sure = 2.0 * SCORE + if full { last } else { params.confidence };
    let mut left = found;
    for wanted in expected.iter() {
        let distance = |d: &Detection| {
            let apart = corners(d).iter().zip(corners(wanted)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            (apart, (d.confidence - wanted.confidence).abs())
        };
        let near = |d: &&(usize, (f32, f32))| d.1.0 <= PIXELS && d.1.1 <= SCORE;
        let candidates: Vec<(usize, (f32, f32))> =
            left.iter().enumerate().filter(|(_, d)| d.class == wanted.class).map(|(i, d)| (i, distance(d))).collect();
        let partner = candidates.iter().filter(near).min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        match partner {
            Some(&(i, (pixels, score))) => {
                left.swap_remove(i);
                summary.boxes += 1;
                summary.largest_pixels = summary.largest_pixels.max(pixels);
                summary.largest_score = summary.largest_score.max(score);
            }
            None if wanted.confidence > sure => {
                let closest = candidates.iter().min_by(|a, b| a.1.0.total_cmp(&b.1.0)).map(|c| c.1);
                summary.wrong.push(format!("{photo}: not found: {wanted:?}, closest {closest:?}"));
            }
            None => {}
        }
    }
    let extra = left.iter().filter(|d| d.confidence > sure);
    summary.wrong.extend(extra.map(|d| format!("{photo}: not expected: {d:?}")));
}
