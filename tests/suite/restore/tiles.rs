//! Tiles: what they give is what the whole gives, and memory decides how large they are.

use gst_torch_models::restore::restorer::{Options, Request, Restorer};
use gst_torch_runtime::memory;
use gst_torch_runtime::planes::Rect;

use super::*;
use crate::scripted;

fn restore(restorer: &Arc<Restorer>, frame: &Buffer, request: Request) -> Buffer {
    let pending = restorer.submit(&frame.planes().unwrap(), request).unwrap();
    let mut out = frame.clone();
    pending.finish(&mut out.planes_mut().unwrap()).unwrap();
    out
}

fn difference(a: &Buffer, b: &Buffer) -> u8 {
    let (a, b) = (a.planes().unwrap(), b.planes().unwrap());
    (0..a.info().format.planes()).map(|p| largest_difference(a.plane(p).0, b.plane(p).0)).max().unwrap()
}

#[test]
fn tiles_give_what_the_whole_gives() {
    let folder = tempfile::tempdir().unwrap();
    let blurs = scripted::blurs(folder.path(), "blurs.pt");
    for (name, format) in [("denoise", PixelFormat::I420), (blurs.to_str().unwrap(), PixelFormat::Rgb)] {
        let model = load(name);
        let frame = picture(format, 322, 200);
        let whole = Restorer::new(&model, frame.planes().unwrap().info(), &Options::default(), false).unwrap();
        let expected = restore(&whole, &frame, Request::default());
        for tile_size in [64, 128, 200] {
            let options = Options { tile_size, ..Options::default() };
            let tiled = Restorer::new(&model, frame.planes().unwrap().info(), &options, false).unwrap();
            let got = restore(&tiled, &frame, Request::default());
            assert!(
                difference(&got, &expected) <= 1,
                "{name} in tiles of {tile_size}: {}",
                difference(&got, &expected)
            );
        }
    }
}

#[test]
fn tiles_in_bf16_give_what_the_whole_gives_frame_after_frame() {
    let model = load_in("denoise", "bf16");
    let frames = [0, 1, 2, 3, 4, 5].map(|seed| picture_of(PixelFormat::I420, 640, 360, seed));
    let info = *frames[0].planes().unwrap().info();
    let run = |tile_size| {
        let options = Options { tile_size, ..Options::default() };
        let restorer = Restorer::new(&model, &info, &options, false).unwrap();
        frames.each_ref().map(|frame| restore(&restorer, frame, Request::default()))
    };
    let expected = run(0);
    // A network that looks back makes more of what was rounded differently with every frame; so nothing may be.
    for tile_size in [64, 128, 256] {
        for (number, (got, expected)) in run(tile_size).iter().zip(&expected).enumerate() {
            let apart = difference(got, expected);
            assert!(apart <= 1, "frame {number} in tiles of {tile_size}: {apart}");
        }
    }
}

#[test]
fn tiles_too_close_together_show_which_is_what_the_test_above_looks_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = load(scripted::blurs(folder.path(), "blurs.pt").to_str().unwrap());
    let frame = picture(PixelFormat::Rgb, 322, 200);
    let info = *frame.planes().unwrap().info();
    let whole = Restorer::new(&model, &info, &Options::default(), false).unwrap();
    let options = Options { tile_size: 64, tile_overlap: 1, ..Options::default() };
    let tiled = Restorer::new(&model, &info, &options, false).unwrap();
    let seams = restore(&tiled, &frame, Request::default());
    assert!(difference(&seams, &restore(&whole, &frame, Request::default())) > 10);
}

#[test]
fn the_element_takes_tiles_of_the_size_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::blurs(folder.path(), "blurs.pt");
    let caps = caps("RGB", 200, 120);
    let run = |settings: &str| {
        let mut harness = with_model(&model, settings);
        harness.set_src_caps(caps.clone());
        harness.push(frame(&caps, 0)).unwrap();
        bytes(&harness.pull().unwrap())
    };
    assert!(largest_difference(&run("tile-size=64"), &run("")) <= 1);
    assert!(largest_difference(&run("tile-size=64 tile-overlap=9"), &run("")) <= 1);
}

#[test]
fn tiles_that_are_nearly_all_overlap_are_refused() {
    for overlap in [8, 15, 4096] {
        let text = refusal(&format!("tile-size=16 tile-overlap={overlap}"));
        assert!(text.contains("tile-overlap") && text.contains("tile-size, which is 16"), "{text}");
        assert!(text.contains(&overlap.to_string()), "{text}");
    }
}

#[test]
fn a_pass_that_memory_has_no_room_for_is_done_again_in_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::blurs(folder.path(), "hungry.pt");
    let name = model.to_str().unwrap();
    let caps = caps("RGB", 300, 200);
    let run = |harness: &mut gst_check::Harness, number| {
        harness.push(frame(&caps, number)).unwrap();
        let buffer = harness.pull().unwrap();
        assert_eq!(label(&buffer), label(&frame(&caps, number)));
        bytes(&buffer)
    };
    let mut harness = with_model(&model, "");
    let bus = gst::Bus::new();
    harness.element().unwrap().set_bus(Some(&bus));
    harness.set_src_caps(caps.clone());
    let expected: Vec<_> = (0..3).map(|number| run(&mut harness, number)).collect();
    assert!(bus.pop_filtered(&[gst::MessageType::Warning]).is_none());

    // A picture is 720 kB, its result as much.
    memory::simulate_limit(name, Some(250_000));
    for (number, expected) in (0..3).zip(&expected) {
        assert!(largest_difference(&run(&mut harness, number), expected) <= 1);
    }
    let warning = bus.timed_pop_filtered(gst::ClockTime::from_seconds(1), &[gst::MessageType::Warning]).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else { panic!("not a warning") };
    let text = format!("{} {:?}", warning.error(), warning.debug());
    assert!(text.contains("hungry.pt") && text.contains("out of memory") && text.contains("tiles"), "{text}");

    // The same from the start on.
    let mut late = with_model(&model, "");
    late.set_src_caps(caps.clone());
    assert!(largest_difference(&run(&mut late, 0), &expected[0]) <= 1);

    // Nothing helps: the frame passes as it came, with a warning, and comes back when there is memory.
    memory::simulate_limit(name, Some(1));
    assert_eq!(run(&mut harness, 5), bytes(&frame(&caps, 5)));
    memory::simulate_limit(name, None);
    assert_ne!(run(&mut harness, 6), bytes(&frame(&caps, 6)));
}

#[test]
fn memory_that_is_not_enough_for_one_tile_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let model = scripted::blurs(folder.path(), "starving.pt");
    memory::simulate_limit(model.to_str().unwrap(), Some(1));
    let text = refusal(&format!("model-file={}", model.display()));
    assert!(text.contains("starving.pt") && text.contains("out of memory"), "{text}");
}

#[test]
fn regions_change_and_what_is_around_them_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let halves = scripted::halves(folder.path(), "halves.pt");
    for (name, format) in [("denoise", PixelFormat::I420), (halves.to_str().unwrap(), PixelFormat::Rgb)] {
        let model = load(name);
        let frame = picture(format, 322, 200);
        let info = *frame.planes().unwrap().info();
        let restorer = Restorer::new(&model, &info, &Options::default(), true).unwrap();
        let region = Rect::new(100, 60, 81, 50);
        let request = |regions| Request { regions, noise: Some(20.0), ..Request::default() };
        let got = restore(&restorer, &frame, request(Some(vec![region])));
        let whole = restore(&restorer, &frame, Request { fresh: true, ..request(None) });
        assert_eq!(difference(&restore(&restorer, &frame, request(Some(vec![]))), &frame), 0);
        let (got, whole, frame) = (got.planes().unwrap(), whole.planes().unwrap(), frame.planes().unwrap());
        let step = info.row_bytes(0) / info.width;
        let inner = Rect::new(110, 70, 61, 30);
        for y in 0..info.height {
            for x in 0..info.width {
                let at = |frame: &gst_torch_runtime::planes::Planes| frame.plane(0).0[y * frame.plane(0).1 + x * step];
                let within = |r: Rect| (r.x..r.x + r.width).contains(&x) && (r.y..r.y + r.height).contains(&y);
                if !within(region) {
                    assert_eq!(at(&got), at(&frame), "{name} at {x}, {y}");
                } else if within(inner) {
                    assert!(at(&got).abs_diff(at(&whole)) <= 1, "{name} at {x}, {y}");
                }
            }
        }
    }
}
