//! The text format of the MOTChallenge, one box a line:
//! `frame, id, left, top, width, height, confidence, x, y, z` with frames from 1 (motchallenge.net/instructions).

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::boxes::Rect;

/// One line of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Of the object; -1 in files of detections.
    pub id: i64,
    pub rect: Rect,
    /// In files of detections whatever scale the detector has; in ground truth 0 says "not to be scored".
    pub confidence: f32,
}

/// All boxes of one file, by frame number. Frames without boxes are absent.
pub type Frames = BTreeMap<u64, Vec<Entry>>;

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    pub what: String,
}

/// Reads a file's text. Columns may be parted by commas, blanks or both; those after the seventh are not looked at, and
/// a missing confidence is 1. Empty lines are skipped.
pub fn parse(text: &str) -> Result<Frames, ParseError> {
    let mut frames = Frames::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (frame, entry) = parse_line(line).map_err(|what| ParseError { line: number + 1, what })?;
        frames.entry(frame).or_default().push(entry);
    }
    Ok(frames)
}

/// No recording is longer than this (four days at 30 frames a second), and a sequence is gone through frame by frame.
const MAX_FRAME: f64 = 1e7;

fn parse_line(line: &str) -> Result<(u64, Entry), String> {
    const COLUMNS: [&str; 7] = ["frame", "id", "left", "top", "width", "height", "confidence"];
    let mut values = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let mut fields = line.split(|c: char| c == ',' || c.is_whitespace()).filter(|field| !field.is_empty());
    for (i, name) in COLUMNS.iter().enumerate() {
        let Some(field) = fields.next() else {
            if i < 6 {
                return Err(format!("{i} columns, expected at least 6 ({})", COLUMNS[..6].join(", ")));
            }
            break;
        };
        values[i] = match field.parse::<f64>() {
            Ok(value) if value.is_finite() => value,
            _ => return Err(format!("{name} is {field:?}, expected a number")),
        };
    }
    let [frame, id, x, y, w, h, confidence] = values;
    if frame.fract() != 0.0 || !(0.0..=MAX_FRAME).contains(&frame) {
        return Err(format!("frame is {frame}, expected a whole number from 0 to {MAX_FRAME}"));
    }
    let rect = Rect { x: x as f32, y: y as f32, w: w as f32, h: h as f32 };
    Ok((frame as u64, Entry { id: id as i64, rect, confidence: confidence as f32 }))
}

/// Text in this format, sub-pixels to the hundredth.
pub fn format(frames: &Frames) -> String {
    let mut text = String::new();
    for (frame, entries) in frames {
        for Entry { id, rect, confidence } in entries {
            let Rect { x, y, w, h } = rect;
            let _ = writeln!(text, "{frame},{id},{x:.2},{y:.2},{w:.2},{h:.2},{confidence:.4},-1,-1,-1");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_commas_and_blanks() {
        let frames = parse("1,-1,10.5,20,30,40,0.9,-1,-1,-1\n\n3 7 1 2 3 4\r\n").unwrap();
        let rect = Rect { x: 10.5, y: 20.0, w: 30.0, h: 40.0 };
        assert_eq!(frames[&1], [Entry { id: -1, rect, confidence: 0.9 }]);
        assert_eq!(frames[&3][0].id, 7);
        assert_eq!(frames[&3][0].confidence, 1.0);
    }

    #[test]
    fn what_was_written_is_read_again() {
        let text = "1,1,1.25,2.00,3.00,4.50,0.5000,-1,-1,-1\n2,1,1.50,2.00,3.00,4.50,1.0000,-1,-1,-1\n";
        assert_eq!(format(&parse(text).unwrap()), text);
    }

    #[test]
    fn bad_lines_are_named() {
        let error = parse("1,1,2,3,4,5,1\n1,1,2,three,4,5,1").unwrap_err();
        assert_eq!(error.to_string(), "line 2: top is \"three\", expected a number");
        assert!(parse("1,2,3").unwrap_err().to_string().contains("3 columns, expected at least 6"));
        assert!(parse("1.5,1,2,3,4,5").unwrap_err().to_string().contains("frame is 1.5"));
        assert!(parse("1e12,1,2,3,4,5").unwrap_err().to_string().contains("0 to 10000000"));
        assert!(parse("1,1,nan,3,4,5").is_err());
    }
}
