//! The curves as a picture: for every clip a panel of PSNR and, further down, one of SSIM, both over kbit/s.

mod axis;
pub mod canvas;

use std::path::Path;

use anyhow::{Result, ensure};
use gst_torch_models::metrics::ssim;

use super::report::{ClipReport, Point, Report};
use axis::{Axis, Scale, label};
use canvas::{Align, Canvas, Colour, Pen};

const PANEL: (f32, f32) = (600.0, 400.0);
/// Left, top, right and bottom of a panel, around the curves.
const MARGIN: [f32; 4] = [54.0, 62.0, 20.0, 46.0];
const EDGE: f32 = 16.0;
const LEGEND: f32 = 44.0;
/// Panels beside each other at most.
const COLUMNS: usize = 3;

const INK: Colour = [40, 40, 40];
const FAINT: Colour = [225, 225, 225];
const FRAME: Colour = [140, 140, 140];

struct Measure {
    title: &'static str,
    of: fn(&Point) -> Option<f64>,
}

const MEASURES: [Measure; 2] = [
    Measure { title: "PSNR (6:1:1), dB", of: |point| Some(point.psnr) },
    Measure { title: "SSIM of luma, dB: −10 log(1 − SSIM)", of: |point| point.ssim.map(ssim::decibels) },
];

pub fn write(report: &Report, path: &Path) -> Result<()> {
    ensure!(!report.clips.is_empty(), "there is no curve to draw");
    draw(report)?.write(path)
}

fn draw(report: &Report) -> Result<Canvas> {
    let codecs = codecs(report);
    // Of a single clip both measures lie beside each other, of more one above the other.
    let (columns, rows) = match report.clips.len() {
        1 => (MEASURES.len(), 1),
        clips => (clips.min(COLUMNS), MEASURES.len() * clips.div_ceil(COLUMNS)),
    };
    let width = 2.0 * EDGE + columns as f32 * PANEL.0;
    let legend = Legend::new(&codecs, width)?;
    let height = 2.0 * EDGE + rows as f32 * PANEL.1 + legend.height();
    let mut canvas = Canvas::new(width as u32, height as u32)?;
    for (part, measure) in MEASURES.iter().enumerate() {
        for (index, clip) in report.clips.iter().enumerate() {
            let place = if rows == 1 { part } else { part * rows / MEASURES.len() * columns + index };
            let left = EDGE + (place % columns) as f32 * PANEL.0;
            let top = EDGE + (place / columns) as f32 * PANEL.1;
            panel(&mut canvas, clip, measure, &codecs, left, top);
        }
    }
    legend.draw(&mut canvas, height - EDGE - legend.height());
    Ok(canvas)
}

/// All codecs of the report in order, each with its pen.
fn codecs(report: &Report) -> Vec<(String, Pen)> {
    let mut names: Vec<&str> = Vec::new();
    for curve in report.clips.iter().flat_map(|clip| &clip.curves) {
        if !names.contains(&curve.codec.as_str()) {
            names.push(&curve.codec);
        }
    }
    let peers = names.iter().filter(|name| peer(name).is_some()).count();
    names.iter().enumerate().map(|(index, name)| (name.to_string(), pen(name, index.saturating_sub(peers)))).collect()
}

/// Colours of Okabe and Ito, which the colour-blind tell apart; what does not predict is dashed.
fn peer(name: &str) -> Option<(Colour, bool)> {
    Some(match name {
        "mjpeg" => ([120, 120, 120], true),
        "x264-ultrafast" => ([86, 180, 233], false),
        "x264-medium" => ([0, 114, 178], false),
        "x265-medium" => ([204, 121, 167], false),
        "x264-intra-ultrafast" => ([86, 180, 233], true),
        "x264-intra-medium" => ([0, 114, 178], true),
        _ => return None,
    })
}

/// Peers have thin lines; `number` counts our models.
fn pen(name: &str, number: usize) -> Pen {
    const OURS: [Colour; 4] = [[213, 94, 0], [0, 158, 115], [230, 159, 0], [0, 0, 0]];
    match peer(name) {
        Some((colour, dashed)) => Pen { colour, width: 2.0, dashed },
        None => Pen { colour: OURS[number % OURS.len()], width: 3.5, dashed: false },
    }
}

fn panel(canvas: &mut Canvas, clip: &ClipReport, measure: &Measure, codecs: &[(String, Pen)], x: f32, y: f32) {
    let [left, top, right, bottom] = MARGIN;
    let (left, right, top, bottom) = (x + left, x + PANEL.0 - right, y + top, y + PANEL.1 - bottom);
    let ClipReport { width, height, frames, .. } = clip;
    canvas.text(&format!("{}, {width}×{height}, {frames} frames", clip.clip), (left, y + 24.0), 17.0, Align::Left, INK);
    canvas.text(measure.title, (left, y + 48.0), 14.0, Align::Left, INK);
    let points = || clip.curves.iter().flat_map(|curve| &curve.points);
    let across = Axis::around(points().map(|p| p.kbit_per_second), Scale::Logarithmic, left, right);
    let up = Axis::around(points().filter_map(measure.of), Scale::Linear, bottom, top);
    let (Some(across), Some(up)) = (across, up) else {
        canvas.text("not measured", ((left + right) / 2.0, (top + bottom) / 2.0), 16.0, Align::Centre, FRAME);
        return;
    };

    let hair = Pen { colour: FAINT, width: 1.0, dashed: false };
    for tick in across.ticks(8) {
        let at = across.place(tick).round() + 0.5;
        canvas.line(&[(at, top), (at, bottom)], hair);
        canvas.text(&label(tick), (at, bottom + 18.0), 13.0, Align::Centre, INK);
    }
    for tick in up.ticks(6) {
        let at = up.place(tick).round() + 0.5;
        canvas.line(&[(left, at), (right, at)], hair);
        canvas.text(&label(tick), (left - 8.0, at + 5.0), 13.0, Align::Right, INK);
    }
    canvas.text("kbit/s", ((left + right) / 2.0, bottom + 38.0), 14.0, Align::Centre, INK);
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    canvas.line(&corners, Pen { colour: FRAME, ..hair });

    canvas.clip(Some([left, top, right, bottom]));
    for (name, pen) in codecs {
        let Some(curve) = clip.curve(name) else { continue };
        let place = |point: &Point| Some((across.place(point.kbit_per_second), up.place((measure.of)(point)?)));
        let mut places: Vec<_> = curve.points.iter().filter_map(place).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        canvas.line(&places, *pen);
        places.iter().for_each(|&at| canvas.dot(at, 1.0 + 1.2 * pen.width, pen.colour));
    }
    canvas.clip(None);
}

/// Codecs in as many lines as they need.
struct Legend {
    /// Left end and line of each.
    entries: Vec<(String, Pen, f32, usize)>,
}

impl Legend {
    const SAMPLE: f32 = 48.0;
    const SIZE: f32 = 16.0;

    fn new(codecs: &[(String, Pen)], width: f32) -> Result<Legend> {
        let ruler = Canvas::new(1, 1)?;
        let start = EDGE + MARGIN[0];
        let (mut x, mut line) = (start, 0);
        let mut entries = Vec::new();
        for (name, pen) in codecs {
            let needed = Self::SAMPLE + 10.0 + ruler.text_width(name, Self::SIZE);
            if x > start && x + needed > width - EDGE {
                (x, line) = (start, line + 1);
            }
            entries.push((name.clone(), *pen, x, line));
            x += needed + 32.0;
        }
        Ok(Legend { entries })
    }

    fn height(&self) -> f32 {
        let lines = self.entries.last().map_or(0, |(_, _, _, line)| line + 1);
        LEGEND * lines as f32
    }

    fn draw(&self, canvas: &mut Canvas, top: f32) {
        for (name, pen, x, line) in &self.entries {
            let y = top + LEGEND * (*line as f32 + 0.5);
            canvas.line(&[(*x, y), (x + Self::SAMPLE, y)], *pen);
            canvas.dot((x + Self::SAMPLE / 2.0, y), 1.0 + 1.2 * pen.width, pen.colour);
            canvas.text(name, (x + Self::SAMPLE + 10.0, y + 5.5), Self::SIZE, Align::Left, INK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{curve, report};
    use super::*;

    #[test]
    fn curves_and_their_legend_are_in_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.png");
        write(&report(vec![curve("mjpeg", 2e6), curve("x264-medium", 1e6), curve("ours", 0.5e6)]), &path).unwrap();
        let picture = image::open(&path).unwrap().into_rgb8();
        let (width, height) = picture.dimensions();
        // In the panel of PSNR, in that of SSIM and in the legend.
        let areas = [(0..616, 0..416), (616..width, 0..416), (0..width, 416..height)];
        for name in ["mjpeg", "x264-medium", "ours"] {
            let colour = pen(name, 0).colour;
            for (columns, rows) in areas.clone() {
                let drawn = rows.clone().any(|y| columns.clone().any(|x| picture.get_pixel(x, y).0 == colour));
                assert!(drawn, "{name} in columns {columns:?}, rows {rows:?}");
            }
        }
    }

    /// The cheaper of two codecs lies to the left: in one row of pixels, orange before grey.
    #[test]
    fn the_better_codec_lies_to_the_left() {
        let canvas = draw(&report(vec![curve("mjpeg", 2e6), curve("ours", 0.5e6)])).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.png");
        canvas.write(&path).unwrap();
        let picture = image::open(&path).unwrap().into_rgb8();
        let first = |name: &str| {
            let colour = pen(name, 0).colour;
            (80..600).find(|&x| (200..300).any(|y| picture.get_pixel(x, y).0 == colour)).unwrap()
        };
        assert!(first("ours") + 20 < first("mjpeg"), "{} {}", first("ours"), first("mjpeg"));
    }

    #[test]
    fn a_report_without_figures_is_drawn_or_refused_without_a_panic() {
        let mut empty = report(vec![curve("a", 1e6)]);
        empty.clips[0].curves[0].points.clear();
        assert!(draw(&empty).is_ok());
        assert!(write(&Report::default(), Path::new("/nowhere/plot.png")).is_err());
    }
}
