//! Label files, in the three formats that detectors are usually trained from: YOLO text, Pascal VOC XML and MOTChallenge
//! text. Files are hostile until read: every bad line is an error that names it.

use std::collections::BTreeMap;

use super::{Object, Truth};
use crate::boxes::Rect;

/// What is wrong with a label file; the caller adds the file's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("line {line}: expected {expected}, got \"{text}\"")]
    Line { line: usize, expected: &'static str, text: String },
    #[error("not well-formed XML: {0}")]
    Xml(#[from] roxmltree::Error),
    #[error("object {index}: {what}")]
    Voc { index: usize, what: &'static str },
    #[error("class \"{class}\" cannot be mapped: there is no label \"{label}\"")]
    UnknownLabel { class: String, label: String },
}

/// An object as its file has it: the class is still a word or a number in the file's own counting.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    pub rect: Rect,
    pub class: String,
    /// Marked as too hard (VOC) or not to be scored (MOT): neither truth nor background.
    pub ignore: bool,
}

/// From the classes of label files to the classes of a model.
#[derive(Debug, Clone)]
pub struct ClassMap {
    labels: Vec<String>,
    /// The file's class -> the model's. When given, other classes of the file are not looked at.
    given: BTreeMap<String, usize>,
}

impl ClassMap {
    /// `pairs` are (class in the file, label of the model); none of them takes labels by name, numbers by position.
    ///
    /// # Errors
    /// When a pair names a label that the model does not have.
    pub fn new(labels: &[String], pairs: &[(String, String)]) -> Result<Self, Error> {
        let position = |(class, label): &(String, String)| match labels.iter().position(|l| l == label) {
            Some(index) => Ok((class.clone(), index)),
            None => Err(Error::UnknownLabel { class: class.clone(), label: label.clone() }),
        };
        let given = pairs.iter().map(position).collect::<Result<_, _>>()?;
        Ok(ClassMap { labels: labels.to_vec(), given })
    }

    fn get(&self, class: &str) -> Option<usize> {
        if !self.given.is_empty() {
            return self.given.get(class).copied();
        }
        let by_position = || class.parse().ok().filter(|&index: &usize| index < self.labels.len());
        self.labels.iter().position(|label| label == class).or_else(by_position)
    }

    /// What a picture's labels say in the model's classes. Objects of other classes are background.
    pub fn truth(&self, labelled: &[Labelled]) -> Truth {
        let mut truth = Truth::default();
        for one in labelled {
            match self.get(&one.class) {
                Some(_) if one.ignore => truth.ignore.push(one.rect),
                Some(class) => truth.objects.push(Object { rect: one.rect, class }),
                None => {}
            }
        }
        truth
    }
}

/// YOLO text: `class cx cy w h` a line, in fractions of the picture's size. A confidence or a polygon's further numbers
/// after the box are not looked at.
///
/// # Errors
/// Names the first line that is not five numbers, 0 to 1 after the first.
pub fn yolo(text: &str, width: usize, height: usize) -> Result<Vec<Labelled>, Error> {
    let (width, height) = (width as f32, height as f32);
    let line = |(number, line): (usize, &str)| {
        let bad =
            || Error::Line { line: number, expected: "class cx cy w h, fractions of the picture", text: line.into() };
        let mut fields = line.split_ascii_whitespace();
        let class = fields.next().ok_or_else(bad)?.to_string();
        let values: Vec<f32> = fields.take(4).map_while(|f| f.parse().ok()).collect();
        match values[..] {
            [cx, cy, w, h] if values.iter().all(|v| (-0.01..=1.01).contains(v)) => {
                let rect = Rect { x: (cx - w / 2.0) * width, y: (cy - h / 2.0) * height, w: w * width, h: h * height };
                Ok(Labelled { rect, class, ignore: false })
            }
            _ => Err(bad()),
        }
    };
    lines(text).map(line).collect()
}

/// Pascal VOC XML: every `object` with its `name` and `bndbox`; `difficult` ones are marked to be ignored.
///
/// # Errors
/// Names the first object without a name or with a box that is none.
pub fn voc(text: &str) -> Result<Vec<Labelled>, Error> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(text, options)?;
    let objects = document.root_element().children().filter(|n| n.has_tag_name("object"));
    let mut found = Vec::new();
    for (index, object) in objects.enumerate() {
        let bad = |what| Error::Voc { index, what };
        let child = |name| object.children().find(|n| n.has_tag_name(name));
        let class = child("name").and_then(|n| n.text()).ok_or(bad("it has no name"))?.trim().to_string();
        let area = child("bndbox").ok_or(bad("it has no bndbox"))?;
        let side = |name| {
            let text = area.children().find(|n| n.has_tag_name(name)).and_then(|n| n.text());
            text.and_then(|t| t.trim().parse::<f32>().ok()).filter(|v| v.is_finite())
        };
        let sides = (side("xmin"), side("ymin"), side("xmax"), side("ymax"));
        let (Some(x1), Some(y1), Some(x2), Some(y2)) = sides else {
            return Err(bad("xmin, ymin, xmax and ymax must be numbers"));
        };
        let ignore = child("difficult").and_then(|n| n.text()).is_some_and(|t| t.trim() == "1");
        // Some annotation tools leave boxes of a click without a drag behind.
        if x2 > x1 && y2 > y1 {
            found.push(Labelled { rect: Rect::from_corners(x1, y1, x2, y2), class, ignore });
        }
    }
    Ok(found)
}

/// MOTChallenge text: `frame,track,x,y,w,h[,score[,class...]]` a line, frames counted from 1; the objects of each frame.
/// A score of 0 marks what is not to be scored; without a class (or -1) it is class "0".
///
/// # Errors
/// Names the first line that is not such numbers.
pub fn mot(text: &str) -> Result<BTreeMap<u32, Vec<Labelled>>, Error> {
    let mut frames: BTreeMap<u32, Vec<Labelled>> = BTreeMap::new();
    for (number, line) in lines(text) {
        let bad = || Error::Line { line: number, expected: "frame,track,x,y,w,h,score,class", text: line.into() };
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let value = |index: usize| fields.get(index).and_then(|f| f.parse::<f32>().ok()).filter(|v| v.is_finite());
        let frame = fields[0].parse().ok().filter(|&f: &u32| f > 0).ok_or_else(bad)?;
        let (Some(x), Some(y), Some(w), Some(h)) = (value(2), value(3), value(4), value(5)) else {
            return Err(bad());
        };
        if w <= 0.0 || h <= 0.0 {
            return Err(bad());
        }
        let class = fields.get(7).filter(|class| !class.is_empty() && **class != "-1").unwrap_or(&"0").to_string();
        let labelled = Labelled { rect: Rect { x, y, w, h }, class, ignore: value(6) == Some(0.0) };
        frames.entry(frame).or_default().push(labelled);
    }
    Ok(frames)
}

/// Frames, or an area of frames, that say nothing: see [`ignore_spans`].
#[derive(Debug, Clone, PartialEq)]
pub struct IgnoreSpan {
    pub first: u32,
    pub last: u32,
    /// `None` is the whole frame.
    pub area: Option<Rect>,
}

impl IgnoreSpan {
    pub fn covers(&self, frame: u32) -> bool {
        (self.first..=self.last).contains(&frame)
    }
}

/// The `.ignore.txt` beside MOT text: `first,last` (whole frames) or `first,last,x1,y1,x2,y2` (an area of them) a line.
///
/// # Errors
/// Names the first line that is neither.
pub fn ignore_spans(text: &str) -> Result<Vec<IgnoreSpan>, Error> {
    let line = |(number, line): (usize, &str)| {
        let bad = || Error::Line { line: number, expected: "first,last or first,last,x1,y1,x2,y2", text: line.into() };
        let values: Option<Vec<f32>> = line.split(',').map(|f| f.trim().parse().ok()).collect();
        let (first, last, area) = match values.as_deref() {
            Some(&[first, last]) => (first, last, None),
            Some(&[first, last, x1, y1, x2, y2]) if x2 > x1 && y2 > y1 => {
                (first, last, Some(Rect::from_corners(x1, y1, x2, y2)))
            }
            _ => return Err(bad()),
        };
        if first < 0.0 || last < first {
            return Err(bad());
        }
        Ok(IgnoreSpan { first: first as u32, last: last as u32, area })
    };
    lines(text).map(line).collect()
}

/// The lines that hold something, counted from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let trimmed = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    trimmed.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(labels: &[&str], pairs: &[(&str, &str)]) -> Result<ClassMap, Error> {
        let labels: Vec<String> = labels.iter().map(|l| l.to_string()).collect();
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        ClassMap::new(&labels, &pairs)
    }

    #[test]
    fn yolo_fractions_become_pixels() {
        let found = yolo("0 0.5 0.5 0.25 0.5\n\n16 0.1 0.2 0.1 0.2 0.9\n", 640, 480).unwrap();
        assert_eq!(found[0].rect, Rect { x: 240.0, y: 120.0, w: 160.0, h: 240.0 });
        assert_eq!((found[0].class.as_str(), found[1].class.as_str()), ("0", "16"));
    }

    #[test]
    fn yolo_errors_name_the_line() {
        for text in ["0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2", "0 0.5 0.5 0.2 0.2\n0 50 50 20 20", "0 0 0 0 0\n0 a 0 0 0"] {
            assert!(yolo(text, 10, 10).unwrap_err().to_string().starts_with("line 2"), "{text}");
        }
    }

    #[test]
    fn voc_objects_have_names_and_corners() {
        let xml = "<annotation><object><name>RBC</name><difficult>1</difficult><bndbox><xmin>10</xmin><ymin>20</ymin>\
                   <xmax>30</xmax><ymax>60</ymax></bndbox></object><object><name>WBC</name><bndbox><xmin>1</xmin>\
                   <ymin>1</ymin><xmax>1</xmax><ymax>5</ymax></bndbox></object></annotation>";
        let found = voc(xml).unwrap();
        assert_eq!(found.len(), 1, "the second has no width");
        assert_eq!(found[0].rect, Rect { x: 10.0, y: 20.0, w: 20.0, h: 40.0 });
        assert!(found[0].ignore);
        assert!(voc("<annotation><object/></annotation>").is_err());
        assert!(voc("<annotation>").is_err());
    }

    #[test]
    fn mot_lines_are_grouped_by_frame() {
        let found = mot("1,1,639.3,238.6,48.5,87.4,1.000,person\n3,2,1,2,3,4\n3,-1,1,2,3,4,0,-1,-1,-1\n").unwrap();
        assert_eq!(found[&1][0].class, "person");
        assert_eq!((found[&3].len(), found[&3][0].class.as_str()), (2, "0"));
        assert!(!found[&3][0].ignore && found[&3][1].ignore);
        for bad in ["0,1,1,1,1,1", "1,1,1,1,0,1", "1,1,1,1", "x"] {
            assert!(mot(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ignored_spans_are_frames_or_areas() {
        let found = ignore_spans("201,218\n28,112,395,150,460,275\n").unwrap();
        assert!(found[0].covers(201) && found[0].covers(218) && !found[0].covers(219));
        assert_eq!(found[1].area, Some(Rect { x: 395.0, y: 150.0, w: 65.0, h: 125.0 }));
        for bad in ["5,4", "1,2,3", "1,2,9,9,3,3"] {
            assert!(ignore_spans(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn classes_map_by_name_by_position_or_as_given() {
        let found = yolo("0 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2", 10, 10).unwrap();
        let plain = map(&["person", "car"], &[]).unwrap().truth(&found);
        assert_eq!(plain.objects.iter().map(|o| o.class).collect::<Vec<_>>(), [0]);
        let given = map(&["person", "car"], &[("2", "car")]).unwrap().truth(&found);
        assert_eq!(given.objects.iter().map(|o| o.class).collect::<Vec<_>>(), [1]);
        assert!(map(&["person"], &[("2", "car")]).unwrap_err().to_string().contains("\"car\""));
    }
}
