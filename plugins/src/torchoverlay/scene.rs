//! Boxes and labels on a canvas: what goes where, how large, in which colour.

use gst_torch_models::boxes::Rect;

use super::canvas::{Area, Canvas};
use super::colour::{self, BLACK, ColourModel, Rgb};
use super::style::Style;
use super::text::Typeface;
use crate::meta::Object;

/// Draws `objects`: all boxes first, then the labels, each where it hides least.
pub fn draw(canvas: &mut Canvas<'_>, objects: &[Object], style: &Style, face: &mut Typeface, colours: &ColourModel) {
    let line = style.line_width(canvas.width, canvas.height);
    let visible: Vec<(&Object, Area)> = objects
        .iter()
        .filter_map(|object| Some((object, area_of(&object.rect)?)))
        .filter(|(_, area)| !area.intersection(&canvas.area()).is_empty())
        .collect();
    for (object, area) in &visible {
        outline(canvas, *area, line, colours, colour_of(object));
    }
    let boxes: Vec<Area> = visible.iter().map(|(_, area)| *area).collect();
    let mut plates: Vec<Area> = Vec::with_capacity(visible.len());
    for (object, area) in &visible {
        let text = style.text(object);
        if !text.is_empty() {
            let plate = label(canvas, *area, &text, (&plates, &boxes), face, colours, colour_of(object));
            plates.push(plate);
        }
    }
}

fn colour_of(object: &Object) -> Rgb {
    object.track.map_or_else(|| colour::of_label(&object.label), colour::of_track)
}

/// The pixels of a box, rounded at its corners; none for a box without extent, or that is not a number.
fn area_of(rect: &Rect) -> Option<Area> {
    // Far outside any frame, and far from overflow.
    let pixel = |v: f32| v.round().clamp(-1e6, 1e6) as i32;
    let corners = [rect.x, rect.y, rect.x + rect.w, rect.y + rect.h];
    if corners.iter().any(|v| v.is_nan()) {
        return None;
    }
    let [x0, y0, x1, y1] = corners.map(pixel);
    let area = Area { x0, y0, x1, y1 };
    (!area.is_empty()).then_some(area)
}

/// Four lines just inside the box.
fn outline(canvas: &mut Canvas<'_>, area: Area, line: i32, colours: &ColourModel, colour: Rgb) {
    let ink = colours.ink(colour);
    let Area { x0, y0, x1, y1 } = area;
    if x1 - x0 <= 2 * line || y1 - y0 <= 2 * line {
        canvas.fill(area, ink);
        return;
    }
    canvas.fill(Area { y1: y0 + line, ..area }, ink);
    canvas.fill(Area { y0: y1 - line, ..area }, ink);
    let between = Area { y0: y0 + line, y1: y1 - line, ..area };
    canvas.fill(Area { x1: x0 + line, ..between }, ink);
    canvas.fill(Area { x0: x1 - line, ..between }, ink);
}

/// A plate in the object's colour with black text on it, wholly inside the frame where the frame is large enough.
/// Gives where it went, which depends on the plates and boxes that are there.
fn label(
    canvas: &mut Canvas<'_>,
    area: Area,
    text: &str,
    (plates, boxes): (&[Area], &[Area]),
    face: &mut Typeface,
    colours: &ColourModel,
    colour: Rgb,
) -> Area {
    let margin = (face.size() as i32 / 4).max(1);
    let text = face.fit(text, canvas.width - 2 * margin);
    let size = (face.width(&text) + 2 * margin, face.height());
    let plate = place(area, size, canvas.area(), plates, boxes);
    canvas.fill(plate, colours.ink(colour));
    face.draw(canvas, plate.x0 + margin, plate.y0 + face.ascent(), &text, colours.ink(BLACK));
    plate
}

/// Where a plate of `(width, height)` goes: above its box, else below it, else inside at the top or the bottom, flush
/// with its left or else its right side; of these, the first that hides least. Hidden text is worse than a hidden object.
fn place(area: Area, (width, height): (i32, i32), frame: Area, plates: &[Area], boxes: &[Area]) -> Area {
    let at = |(x0, y0): (i32, i32)| {
        let x0 = x0.min(frame.x1 - width).max(frame.x0);
        let y0 = y0.min(frame.y1 - height).max(frame.y0);
        Area { x0, y0, x1: x0 + width, y1: y0 + height }
    };
    let hidden = |plate: &Area| -> i64 {
        let overlap = |others: &[Area]| -> i64 { others.iter().map(|other| plate.intersection(other).size()).sum() };
        8 * overlap(plates) + overlap(boxes)
    };
    let rows = [area.y0 - height, area.y1, area.y0, area.y1 - height];
    let places = rows.into_iter().flat_map(|y0| [(area.x0, y0), (area.x1 - width, y0)]).map(at);
    places.min_by_key(hidden).unwrap_or_else(|| at((area.x0, area.y0)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ALL, Frame, RGB};
    use super::*;

    const STYLE: Style = Style { labels: true, confidence: true, ids: true, line_width: 0, font_size: 0 };
    const MODEL: ColourModel = ColourModel::Rgb { offset: [0.0; 3], scale: [255.0; 3] };

    fn object(x: f32, y: f32, w: f32, h: f32) -> Object {
        let rect = Rect { x, y, w, h };
        Object { id: 1, parent: None, label: "person".into(), confidence: 0.875, rect, track: None }
    }

    fn draw_on(frame: &mut Frame, objects: &[Object], style: &Style) {
        let mut face = Typeface::new(style.font_size(frame.width, frame.height)).unwrap();
        draw(&mut frame.canvas(), objects, style, &mut face, &MODEL);
    }

    #[test]
    fn a_box_is_its_outline_and_nothing_inside() {
        let mut frame = Frame::new(100, 100, RGB);
        let style = Style { labels: false, confidence: false, ids: false, line_width: 2, ..STYLE };
        draw_on(&mut frame, &[object(10.0, 20.0, 30.0, 40.0)], &style);
        let colour = colour::of_label("person");
        for y in 0..100 {
            for x in 0..100 {
                let inside = |m: i32| (10 + m..40 - m).contains(&x) && (20 + m..60 - m).contains(&y);
                let expected = if inside(0) && !inside(2) { colour[0] } else { 100 };
                assert_eq!(frame.sample(0, x, y), expected, "at {x},{y}");
            }
        }
    }

    #[test]
    fn labels_stay_in_the_frame_wherever_the_box_is() {
        let frame = Area { x0: 0, y0: 0, x1: 200, y1: 100 };
        for (x0, y0) in [(-50, -50), (0, 0), (180, 90), (-50, 95), (190, -20), (50, 40)] {
            let area = Area { x0, y0, x1: x0 + 60, y1: y0 + 70 };
            let plate = place(area, (80, 15), frame, &[], &[area]);
            assert_eq!(plate.intersection(&frame), plate, "box at {x0},{y0}");
        }
        let all = Area { x0: 0, y0: -9, x1: 200, y1: 300 };
        assert_eq!(place(all, (80, 15), frame, &[], &[all]), Area { x0: 0, y0: 0, x1: 80, y1: 15 });
    }

    #[test]
    fn labels_avoid_each_other_and_the_boxes() {
        let frame = Area { x0: 0, y0: 0, x1: 200, y1: 100 };
        let area = Area { x0: 80, y0: 30, x1: 120, y1: 70 };
        let first = place(area, (50, 12), frame, &[], &[area]);
        assert_eq!(first, Area { x0: 80, y0: 18, x1: 130, y1: 30 }, "above");
        let above = Area { x0: 85, y0: 0, x1: 200, y1: 30 };
        let second = place(area, (50, 12), frame, &[first], &[area, above]);
        assert_eq!(second, Area { x0: 80, y0: 70, x1: 130, y1: 82 }, "below");
        let below = Area { x0: 121, y0: 60, x1: 200, y1: 100 };
        let third = place(area, (50, 12), frame, &[first], &[area, above, below]);
        assert_eq!(third, Area { x0: 70, y0: 70, x1: 120, y1: 82 }, "below, flush right");
    }

    #[test]
    fn odd_boxes_and_frames_do_no_harm() {
        let nan = f32::NAN;
        let odd = [
            object(nan, 0.0, 5.0, 5.0),
            object(0.0, 0.0, nan, 5.0),
            object(f32::NEG_INFINITY, 0.0, f32::INFINITY, 5.0),
            object(-1e30, -1e30, 2e30, 2e30),
            object(f32::MIN, f32::MIN, f32::MAX, f32::MAX),
            object(5.0, 5.0, 0.0, 0.0),
            object(5.0, 5.0, -3.0, 4.0),
            object(-10.0, -10.0, 12.0, 12.0),
            object(1e9, 1e9, 3.0, 3.0),
            object(0.4, 0.4, 0.3, 0.3),
            Object { label: "an exceedingly long label\n".repeat(20), ..object(0.0, 0.0, 9.0, 9.0) },
        ];
        for layout in ALL {
            for (width, height) in [(1, 1), (1, 7), (3, 1), (5, 5), (33, 17), (64, 64)] {
                let mut frame = Frame::new(width, height, layout);
                draw_on(&mut frame, &odd, &STYLE);
                assert!(frame.padding_is_untouched(), "{layout:?} {width}x{height}");
            }
        }
    }

    #[test]
    fn boxes_outside_or_without_extent_leave_the_frame_alone() {
        let mut frame = Frame::new(64, 48, RGB);
        let outside = [
            object(64.0, 0.0, 10.0, 10.0),
            object(-30.0, 5.0, 29.0, 9.0),
            object(5.0, 5.0, 0.0, 9.0),
            object(f32::NAN, f32::NAN, f32::NAN, f32::NAN),
        ];
        draw_on(&mut frame, &outside, &STYLE);
        for y in 0..48 {
            assert!((0..64).all(|x| (0..3).all(|c| frame.sample(c, x, y) == 100)));
        }
    }

    #[test]
    fn text_is_black_on_a_plate_in_the_colour_of_the_box() {
        let mut frame = Frame::new(160, 120, RGB);
        draw_on(&mut frame, &[object(20.0, 40.0, 100.0, 60.0)], &STYLE);
        let pixels: Vec<[u8; 3]> = (0..160)
            .flat_map(|x| (24..40).map(move |y| (x, y)))
            .map(|(x, y)| [0, 1, 2].map(|c| frame.sample(c, x, y)))
            .collect();
        assert!(pixels.contains(&colour::of_label("person")));
        assert!(pixels.contains(&BLACK));
    }
}
