//! Caps of frames that leave larger than they come.

use gst::glib;
use gst::prelude::*;

/// Caps with width and height multiplied.
pub fn enlarged(caps: &gst::CapsRef, scale: usize) -> gst::Caps {
    let scale = i32::try_from(scale).unwrap_or(i32::MAX);
    map_sides(caps, |least, most| Some((least.saturating_mul(scale), most.saturating_mul(scale))))
}

/// Caps with width and height divided; what has no whole size is left out.
pub fn reduced(caps: &gst::CapsRef, scale: usize) -> gst::Caps {
    let scale = i32::try_from(scale).unwrap_or(i32::MAX).max(1);
    map_sides(caps, |least, most| {
        let (least, most) = ((least.saturating_add(scale - 1)) / scale, most / scale);
        (least <= most).then_some((least, most))
    })
}

/// Caps without width and height.
pub fn of_any_size(caps: &gst::CapsRef) -> gst::Caps {
    let mut out = caps.to_owned();
    for structure in out.make_mut().iter_mut() {
        structure.remove_fields(["width", "height"]);
    }
    out
}

fn map_sides(caps: &gst::CapsRef, map: impl Fn(i32, i32) -> Option<(i32, i32)>) -> gst::Caps {
    let mut out = gst::Caps::new_empty();
    for (structure, features) in caps.iter_with_features() {
        let mut structure = structure.to_owned();
        let sides = ["width", "height"].map(|name| {
            let Ok(value) = structure.value(name) else { return Some((name, None)) };
            map_value(value, &map).map(|mapped| (name, Some(mapped)))
        });
        let [Some(width), Some(height)] = sides else { continue };
        for (name, value) in [width, height] {
            if let Some(value) = value {
                structure.set_value(name, value);
            }
        }
        if let Some(out) = out.get_mut() {
            out.append_structure_full(structure, Some(features.to_owned()));
        }
    }
    out
}

/// A number, a range of numbers or a list of them; `None` where nothing of it is left.
fn map_value(value: &glib::Value, map: &impl Fn(i32, i32) -> Option<(i32, i32)>) -> Option<glib::SendValue> {
    if let Ok(number) = value.get::<i32>() {
        let (least, most) = map(number, number)?;
        return (least == most).then(|| least.to_send_value());
    }
    if let Ok(range) = value.get::<gst::IntRange<i32>>() {
        let (least, most) = map(range.min(), range.max())?;
        return Some(if least == most {
            least.to_send_value()
        } else {
            gst::IntRange::new(least, most).to_send_value()
        });
    }
    let list = value.get::<gst::List>().ok()?;
    let mapped: Vec<_> = list.iter().filter_map(|value| map_value(value, map)).collect();
    (!mapped.is_empty()).then(|| gst::List::from_values(mapped).to_send_value())
}

/// The caps of what leaves: those that came, of another size. The colours are written down, since what they are taken for
/// where nothing is said goes by the height.
pub fn output_caps(caps: &gst::CapsRef, info: &gst_video::VideoInfo, scale: usize) -> gst::Caps {
    if scale == 1 {
        return caps.to_owned();
    }
    let mut out = enlarged(caps, scale);
    if let Some(structure) = out.make_mut().structure_mut(0)
        && !structure.has_field("colorimetry")
    {
        let colorimetry = info.colorimetry().to_string();
        if !colorimetry.is_empty() {
            structure.set("colorimetry", colorimetry);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(text: &str) -> gst::Caps {
        gst::init().unwrap();
        text.parse().unwrap()
    }

    #[test]
    fn sizes_are_multiplied_and_divided_whatever_they_are_written_as() {
        for (small, large) in [
            ("video/x-raw,width=3,height=5", "video/x-raw,width=6,height=10"),
            ("video/x-raw,width=[1,100],height={2,4}", "video/x-raw,width=[2,200],height={4,8}"),
            ("video/x-raw,format=I420", "video/x-raw,format=I420"),
            ("video/x-raw(memory:DMABuf),width=3,height=5", "video/x-raw(memory:DMABuf),width=6,height=10"),
        ] {
            assert_eq!(enlarged(&caps(small), 2), caps(large));
            assert_eq!(reduced(&caps(large), 2), caps(small));
        }
    }

    #[test]
    fn what_has_no_half_is_left_out() {
        assert!(reduced(&caps("video/x-raw,width=7,height=10"), 2).is_empty());
        assert_eq!(
            reduced(&caps("video/x-raw,width={7,8},height=[1,9]"), 4),
            caps("video/x-raw,width={2},height=[1,2]")
        );
        assert_eq!(
            enlarged(&caps("video/x-raw,width=[1,max],height=1"), 4),
            caps("video/x-raw,width=[4,max],height=4")
        );
    }

    #[test]
    fn a_size_that_is_not_known_yet_is_any() {
        let given = caps("video/x-raw,format=I420,width=3,height=[1,9];video/x-raw(memory:DMABuf),width=2");
        assert_eq!(of_any_size(&given), caps("video/x-raw,format=I420;video/x-raw(memory:DMABuf)"));
    }

    #[test]
    fn colours_are_written_down_so_that_they_stay_at_another_height() {
        let given = caps("video/x-raw,format=I420,width=640,height=360,framerate=25/1");
        let info = gst_video::VideoInfo::from_caps(&given).unwrap();
        let out = gst_video::VideoInfo::from_caps(&output_caps(&given, &info, 2)).unwrap();
        assert_eq!((out.width(), out.height(), out.fps()), (1280, 720, gst::Fraction::new(25, 1)));
        assert_eq!(out.colorimetry(), info.colorimetry());
        assert_eq!(output_caps(&given, &info, 1), given);
    }
}
