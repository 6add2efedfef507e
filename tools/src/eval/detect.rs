//! `gst-torch eval detect`: AP50 of a detector on labelled pictures and videos, run as `torchdetect` runs it: the same
//! engine, the same way from pixels to tensor, the same decoding.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use gst_torch_models::boxes::{Detection, Rect};
use gst_torch_models::builtin;
use gst_torch_models::data::picture::Picture;
use gst_torch_models::detect::decode::{Params, decode};
use gst_torch_models::detect::layout::{Hints, Layout};
use gst_torch_models::detect::outputs::Outputs;
use gst_torch_models::metrics::ap::{Report, average_precision};
use gst_torch_runtime::planes::{self, FrameInfo, PixelFormat, Planes, Preprocessor};
use gst_torch_runtime::{Batching, DeviceSpec, Engine, Model, PrecisionSpec};

use crate::train::dataset::{self, Source};
use crate::train::score::{EVERY_BOX, MAX_BOXES};

#[derive(clap::Args, Debug, Clone)]
#[command(after_long_help = dataset::HELP)]
pub struct Args {
    /// A built-in model, a card or a TorchScript file
    #[arg(long, default_value = "person", value_name = "MODEL")]
    model_file: String,
    /// What to score against: a video or a folder of pictures, with options (see below); may be repeated
    #[arg(long, required = true, value_name = "PATH[,OPTION...]")]
    val: Vec<Source>,
    /// auto, cpu, cuda, cuda:N or mps
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    /// auto, fp32, fp16 or bf16
    #[arg(long, default_value = "auto")]
    precision: PrecisionSpec,
    /// Of two boxes of a class that overlap by more than this, the less confident is dropped
    #[arg(long, default_value_t = Params::default().iou)]
    iou_threshold: f32,
}

pub fn run(args: Args) -> Result<()> {
    score(&args).map(drop)
}

/// Scores and prints.
fn score(args: &Args) -> Result<Report> {
    let model = builtin::open(&args.model_file)?.expect_task("detect")?.load(args.device, args.precision)?;
    let labels = &model.info().labels.value;
    ensure!(!labels.is_empty(), "{}: no labels are known, so nothing can be compared by name", args.model_file);
    let params = Params { confidence: EVERY_BOX, iou: args.iou_threshold, max_detections: MAX_BOXES };
    let mut detector = Detector::new(&model, params)?;
    println!("{}: {} on {}", args.model_file, detector.engine.describe(), detector.engine.device());

    let (mut truths, mut found) = (Vec::new(), Vec::new());
    for source in &args.val {
        let before = truths.len();
        let each = |sample: dataset::Sample| {
            found.push(detector.detect(&sample.picture)?);
            truths.push(sample.truth);
            Ok(())
        };
        source.each(labels, each).with_context(|| format!("data source {source}"))?;
        ensure!(truths.len() > before, "data source {source} has no picture");
    }
    let report = average_precision(&truths, &found, labels.len(), 0.5);
    for ((label, score), objects) in labels.iter().zip(&report.classes).zip(&report.objects) {
        if let Some(score) = score {
            println!("{label:20} {objects:6} objects   AP50 {score:.4}");
        }
    }
    println!("{:20} {:6} pictures  AP50 {:.4}", "mean", truths.len(), report.mean());
    Ok(report)
}

/// The element's way from a frame to boxes.
struct Detector {
    engine: Arc<Engine>,
    model: Arc<Model>,
    preprocessor: Option<Preprocessor>,
    layout: Option<Layout>,
    hints: Hints,
    params: Params,
}

impl Detector {
    fn new(model: &Arc<Model>, params: Params) -> Result<Self> {
        let info = model.info();
        let size = info.size.value.context("the model does not say its input size; write a card for it")?;
        let spec = info.input_spec(size);
        let hints = Hints {
            task: info.task.value.clone(),
            layout: info.layout.value.as_deref().map(str::parse).transpose()?,
            classes: info.labels.value.len(),
            size: (spec.width, spec.height),
            end_to_end: info.end_to_end,
        };
        Ok(Detector {
            engine: model.engine(spec.channels(), spec.height, spec.width)?,
            model: Arc::clone(model),
            preprocessor: None,
            layout: None,
            hints,
            params,
        })
    }

    fn detect(&mut self, picture: &Picture) -> Result<Vec<Detection>> {
        let frame = FrameInfo::new(PixelFormat::Rgb, picture.width(), picture.height());
        if self.preprocessor.as_ref().is_none_or(|p| *p.info() != frame) {
            let spec = self.model.info().input_spec([self.hints.size.0, self.hints.size.1]);
            self.preprocessor = Some(Preprocessor::new(&frame, &spec)?);
        }
        let preprocessor = self.preprocessor.as_ref().context("a preprocessor was made above")?;
        let planes = Planes::new(frame, &[(picture.rgb(), picture.width() * 3)])?;
        let (device, kind) = (self.engine.device().torch(), self.engine.input_kind());
        let input = preprocessor.run_on(&planes, device, kind, planes::Layout::ChannelsLast)?;
        let outputs = Outputs(self.engine.submit(input, Batching::default()).wait()?);
        let layout = match self.layout {
            Some(layout) => layout,
            None => *self.layout.insert(Layout::recognise(&outputs, &self.hints)?),
        };
        let found = decode(layout, &outputs, &self.hints, &self.params)?;
        let (width, height) = (picture.width() as f32, picture.height() as f32);
        let in_picture = |detection: &Detection| {
            let Rect { x, y, w, h } = detection.rect;
            let [x1, y1, x2, y2] = preprocessor.geometry().to_source([x, y, x + w, y + h]);
            Detection { rect: Rect::from_corners(x1, y1, x2, y2).clip(width, height), ..*detection }
        };
        Ok(found.iter().map(in_picture).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A file of the shared data, or of the cache that `make test` fills. `None`, and said so, where it is absent.
    fn file(path: PathBuf) -> Option<String> {
        let there = path.exists();
        if !there {
            eprintln!("skipped: {} is absent", path.display());
        }
        there.then(|| path.display().to_string())
    }

    fn data(path: &str) -> Option<String> {
        // Cargo runs tests in the folder of their crate.
        let beside = || PathBuf::from("../../shared/data");
        file(std::env::var_os("GST_TORCH_DATA").map_or_else(beside, PathBuf::from).join(path))
    }

    fn clip() -> Option<String> {
        file(gst_torch_runtime::cache_folder()?.join("opencv-doc/usr/share/doc/opencv-doc/examples/data/vtest.avi"))
    }

    fn ap50(model: &str, val: String) -> f64 {
        let args = Args {
            model_file: model.into(),
            val: vec![val.parse().unwrap()],
            device: DeviceSpec::Cpu,
            precision: "fp32".parse().unwrap(),
            iou_threshold: Params::default().iou,
        };
        score(&args).unwrap().mean()
    }

    #[test]
    fn person_reaches_its_score_on_the_validation_frames_of_vtest() {
        let (Some(clip), Some(labels)) = (clip(), data("labels/vtest.txt")) else { return };
        let score = ap50("person", format!("{clip},labels={labels},frames=601-795,every=4"));
        assert!(score >= 0.75, "AP50 {score:.4}");
    }

    #[test]
    fn cells_reaches_its_score_on_the_validation_list_of_bccd() {
        let Some(set) = data("bccd/BCCD") else { return };
        let list = format!("list={set}/ImageSets/Main/val.txt");
        let score = ap50("cells", format!("{set}/JPEGImages,labels={set}/Annotations,{list}"));
        assert!(score >= 0.80, "AP50 {score:.4}");
    }
}
