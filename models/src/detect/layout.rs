//! The output layouts of detectors: their names, and how one is recognised from the tensors.

use std::fmt;
use std::str::FromStr;

use tch::TchError;

use super::outputs::Outputs;

/// What the output tensors of a detector mean. `N` is the number of boxes, `C` that of classes; pixels are those of the
/// network's input. The words are those of a card's `[output] layout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `yolov5`: `(1, N, 5 + C)`, rows of centre, size in pixels, objectness, class scores. YOLOv5, v6 and v7, and YOLOX
    /// exported with its decoding.
    YoloV5,
    /// `yolov8`: `(1, 4 + C, N)`, columns of centre, size in pixels, class scores. YOLOv8, v9, 11, 12 and v5u.
    YoloV8,
    /// `end-to-end`: `(1, N, 6)`, rows of corners in pixels, score, class; suppressed already. YOLOv10, YOLO26, and any
    /// YOLO exported with `nms=True`.
    EndToEnd,
    /// `yolox`: `(1, N, 5 + C)`, rows of raw offsets and log sizes in grid cells, objectness, class scores; one row per
    /// cell of the strides 8, 16, 32 (and 64).
    Yolox,
    /// `detr-softmax` and `detr-sigmoid`: logits `(1, N, C + 1)` with "no object" last, or `(1, N, C)`, and boxes
    /// `(1, N, 4)` of centre and size, 0 to 1. In any order, or as a dictionary of `pred_logits` (`logits`) and
    /// `pred_boxes`.
    Detr { activation: Activation },
    /// `rtdetr`: RT-DETR as `ultralytics` exports it: `(1, N, 4 + C)`, rows of centre, size (0 to 1), class scores; or,
    /// since 8.4, `(1, N, 6)` with one score and its class.
    RtDetr,
    /// `ssd`: class probabilities `(1, N, C + 1)` with the background first, and boxes `(1, N, 4)` of corners, 0 to 1;
    /// in any order.
    Ssd,
    /// `torchvision`: a dictionary of `boxes (N, 4)` (corners in pixels), `labels (N)` and `scores (N)`; suppressed
    /// already. Labels are kept as they are: torchvision's count from 1, with `__background__` as label 0.
    Torchvision,
    /// `maps`: the raw maps of our own network, see [`super::maps`].
    Maps,
}

/// How DETR-type logits become scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Over all classes and "no object", which is the last: DETR. The best class counts.
    Softmax,
    /// Each class by itself: Deformable DETR, DINO, RT-DETR. Every class above the threshold counts.
    Sigmoid,
}

impl Layout {
    pub const ALL: [Layout; 10] = [
        Layout::YoloV5,
        Layout::YoloV8,
        Layout::EndToEnd,
        Layout::Yolox,
        Layout::Detr { activation: Activation::Softmax },
        Layout::Detr { activation: Activation::Sigmoid },
        Layout::RtDetr,
        Layout::Ssd,
        Layout::Torchvision,
        Layout::Maps,
    ];

    /// The word for a card.
    pub fn word(self) -> &'static str {
        match self {
            Layout::YoloV5 => "yolov5",
            Layout::YoloV8 => "yolov8",
            Layout::EndToEnd => "end-to-end",
            Layout::Yolox => "yolox",
            Layout::Detr { activation: Activation::Softmax } => "detr-softmax",
            Layout::Detr { activation: Activation::Sigmoid } => "detr-sigmoid",
            Layout::RtDetr => "rtdetr",
            Layout::Ssd => "ssd",
            Layout::Torchvision => "torchvision",
            Layout::Maps => "maps",
        }
    }

    fn expects(self) -> &'static str {
        match self {
            Layout::YoloV5 | Layout::Yolox => "(1, N, 5 + classes)",
            Layout::YoloV8 => "(1, 4 + classes, N)",
            Layout::EndToEnd => "(1, N, 6)",
            Layout::Detr { activation: Activation::Softmax } => "logits (1, N, classes + 1) and boxes (1, N, 4)",
            Layout::Detr { activation: Activation::Sigmoid } => "logits (1, N, classes) and boxes (1, N, 4)",
            Layout::RtDetr => "(1, N, 4 + classes) or (1, N, 6), boxes 0 to 1",
            Layout::Ssd => "scores (1, N, 1 + classes) and boxes (1, N, 4)",
            Layout::Torchvision => "a dictionary of boxes (N, 4), labels (N), scores (N)",
            Layout::Maps => "maps (1, 4 + classes, h, w) of the strides 8, 16, 32",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(word: &str) -> Result<Layout> {
        Layout::ALL.into_iter().find(|layout| layout.word() == word).ok_or_else(|| Error::Word(word.to_owned()))
    }
}

/// What is known about a model besides its tensors.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// `detect`, or what the exporter says.
    pub task: Option<String>,
    /// The card's word.
    pub layout: Option<Layout>,
    /// Number of labels; 0 where none are known.
    pub classes: usize,
    /// Width and height of the network's input, pixels.
    pub size: (usize, usize),
    /// Whether the exporter says that suppression is inside the network.
    pub end_to_end: Option<bool>,
}

impl Hints {
    /// Whether a table with so many class columns can belong to the labels.
    pub(crate) fn fit(&self, classes: usize) -> bool {
        classes > 0 && (self.classes == 0 || self.classes == classes)
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the outputs of a network could not be read as boxes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("'{0}' is no output layout; expected one of {words}", words = words())]
    Word(String),
    #[error("the model is made for the task '{0}', not 'detect'")]
    Task(String),
    #[error("the output layout cannot be told from {found}; fitting: {fitting}. Name one in the card as [output] layout: {all}", all = all())]
    Unknown { found: String, fitting: String },
    #[error("output layout '{layout}' expects {expected}, found {found}")]
    Shape { layout: Layout, expected: String, found: String },
    #[error("the outputs cannot be read: {0}")]
    Torch(String),
}

impl Error {
    pub(crate) fn shape(layout: Layout, outputs: &Outputs) -> Self {
        Error::Shape { layout, expected: layout.expects().into(), found: outputs.to_string() }
    }
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        // The whole text may hold a tensor's worth of numbers.
        Error::Torch(error.to_string().lines().next().unwrap_or_default().chars().take(300).collect())
    }
}

fn words() -> String {
    Layout::ALL.map(Layout::word).join(", ")
}

fn all() -> String {
    Layout::ALL.map(|layout| format!("{layout} {}", layout.expects())).join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_layout() {
        for layout in Layout::ALL {
            assert_eq!(layout.to_string().parse::<Layout>().unwrap(), layout);
        }
        let error = "yolo".parse::<Layout>().unwrap_err().to_string();
        assert!(error.contains("'yolo'") && error.contains("detr-softmax"), "{error}");
    }
}
