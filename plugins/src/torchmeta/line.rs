//! One line of JSON for one frame. `docs/metadata.md` describes it for those who read it.

use serde::Serialize;

use crate::meta::Object;

/// A frame and what was found in it. Fields are written in this order, unknown ones as null.
#[derive(Debug, Serialize)]
pub struct Frame {
    /// Presentation time of the buffer, in nanoseconds.
    pub pts: Option<u64>,
    /// Counted from 0 since the element started.
    pub frame: u64,
    /// In pixels.
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub objects: Vec<Found>,
}

#[derive(Debug, Serialize)]
pub struct Found {
    id: i32,
    parent: Option<i32>,
    label: Option<String>,
    /// 0 to 1. Models compute in single precision, and digits beyond it are noise.
    confidence: Option<f32>,
    /// x, y, width, height in pixels.
    #[serde(rename = "box")]
    rect: [f32; 4],
    track: Option<u64>,
}

impl From<Object> for Found {
    fn from(object: Object) -> Self {
        let rect = object.rect;
        Found {
            id: object.id,
            parent: object.parent,
            label: Some(object.label).filter(|label| !label.is_empty()),
            confidence: Some(object.confidence as f32).filter(|confidence| confidence.is_finite()),
            rect: [rect.x, rect.y, rect.w, rect.h],
            track: object.track,
        }
    }
}

impl Frame {
    /// The line, with its end. A coordinate that is not a number becomes null.
    pub fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use gst_torch_models::boxes::Rect;

    use super::*;

    fn text(frame: &Frame) -> String {
        String::from_utf8(frame.to_line().unwrap()).unwrap()
    }

    #[test]
    fn a_line_has_all_fields_in_order() {
        let rect = Rect { x: 0.1, y: -2.5, w: 30.0, h: 40.25 };
        let person =
            Object { id: 1, parent: None, label: "person".into(), confidence: 0.9f32.into(), rect, track: Some(7) };
        let face = Object { id: 2, parent: Some(1), label: String::new(), confidence: f64::NAN, rect, track: None };
        let objects = [person, face].map(Found::from).into();
        let frame = Frame { pts: Some(40_000_000), frame: 1, width: Some(320), height: Some(240), objects };
        assert_eq!(
            text(&frame),
            concat!(
                r#"{"pts":40000000,"frame":1,"width":320,"height":240,"objects":["#,
                r#"{"id":1,"parent":null,"label":"person","confidence":0.9,"box":[0.1,-2.5,30.0,40.25],"track":7},"#,
                r#"{"id":2,"parent":1,"label":null,"confidence":null,"box":[0.1,-2.5,30.0,40.25],"track":null}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_unknown_is_null() {
        let frame = Frame { pts: None, frame: 0, width: None, height: None, objects: Vec::new() };
        assert_eq!(text(&frame), "{\"pts\":null,\"frame\":0,\"width\":null,\"height\":null,\"objects\":[]}\n");
    }

    #[test]
    fn odd_labels_and_numbers_stay_on_one_line_of_valid_json() {
        let rect = Rect { x: f32::NAN, y: f32::INFINITY, w: 1e30, h: 0.0 };
        let label = "a \"b\"\n\\ 行人 \u{1}".to_string();
        let object =
            Object { id: -1, parent: None, label: label.clone(), confidence: 1e-9, rect, track: Some(u64::MAX) };
        let frame = Frame { pts: Some(u64::MAX), frame: 9, width: None, height: None, objects: vec![object.into()] };
        let text = text(&frame);
        assert_eq!(text.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["objects"][0]["label"], label);
        assert_eq!(read["objects"][0]["box"][0], serde_json::Value::Null);
        assert_eq!(read["objects"][0]["track"], u64::MAX);
    }
}
