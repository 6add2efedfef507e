//! `torchinterpolate`: which frames leave, when, and what they show.

use gst::prelude::*;
use gst_check::Harness;
use gst_video::prelude::*;
use gst_video::{VideoFormat, VideoInfo};

use crate::common;

mod live;
mod pictures;
mod rates;
mod streams;

const MS: u64 = 1_000_000;
const SIZE: (u32, u32) = (96, 64);

/// A harness that knows the caps of both sides.
struct Run {
    harness: Harness,
    info: VideoInfo,
}

fn info(format: VideoFormat, (width, height): (u32, u32), rate: (i32, i32)) -> VideoInfo {
    common::init();
    VideoInfo::builder(format, width, height).fps(gst::Fraction::new(rate.0, rate.1)).build().unwrap()
}

/// I420 of 25 frames a second, and what else is said as in a launch line.
fn plain(properties: &str) -> Run {
    start(properties, &info(VideoFormat::I420, SIZE, (25, 1)), None)
}

fn start(properties: &str, info: &VideoInfo, output: Option<(i32, i32)>) -> Run {
    common::init();
    // A harness is live: on a busy machine pictures would be held for want of time.
    let element = gst::parse::launch("torchinterpolate device=cpu late-policy=block").unwrap();
    for (name, value) in properties.split_whitespace().filter_map(|property| property.split_once('=')) {
        element.set_property_from_str(name, value);
    }
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    let caps = info.to_caps().unwrap();
    let mut wanted = caps.clone();
    if let Some((numer, denom)) = output {
        wanted.make_mut().set("framerate", gst::Fraction::new(numer, denom));
    }
    harness.set_caps(caps, wanted);
    harness.play();
    Run { harness, info: info.clone() }
}

/// What left: times in ms, and in words what is known of it.
#[derive(Debug, Clone, PartialEq)]
struct Left {
    pts: u64,
    duration: Option<u64>,
}

fn at(pts: u64, duration: u64) -> Left {
    Left { pts, duration: Some(duration) }
}

impl Run {
    /// Frame `n` (a picture that moves with it), in ms.
    fn frame(&self, n: f64, pts: u64) -> gst::Buffer {
        let mut buffer = picture(&self.info, n);
        let new = buffer.make_mut();
        new.set_pts(gst::ClockTime::from_nseconds(pts));
        new.set_duration(gst::ClockTime::from_mseconds(40));
        buffer
    }

    fn push(&mut self, buffer: gst::Buffer) {
        self.harness.push(buffer).unwrap_or_else(|error| panic!("{error}: {:?}", self.info));
    }

    /// Frames by number and time in ms.
    fn push_all(&mut self, frames: &[(f64, u64)]) {
        for &(n, ms) in frames {
            self.push(self.frame(n, ms * MS));
        }
    }

    fn push_marked(&mut self, n: f64, ms: u64, flags: gst::BufferFlags) {
        let mut buffer = self.frame(n, ms * MS);
        buffer.make_mut().set_flags(flags);
        self.push(buffer);
    }

    fn pull(&mut self) -> gst::Buffer {
        self.harness.try_pull().expect("a buffer has left")
    }

    /// All that has left so far.
    fn left(&mut self) -> Vec<gst::Buffer> {
        std::iter::from_fn(|| self.harness.try_pull()).collect()
    }

    fn times(&mut self) -> Vec<Left> {
        self.left().iter().map(times).collect()
    }

    fn end(&mut self) {
        assert!(self.harness.push_event(gst::event::Eos::new()));
    }

    fn stat(&self, name: &str) -> u64 {
        let element = self.harness.element().unwrap();
        element.property::<gst::Structure>("stats").get(name).unwrap()
    }
}

fn times(buffer: &gst::Buffer) -> Left {
    Left { pts: buffer.pts().unwrap().nseconds(), duration: buffer.duration().map(gst::ClockTime::nseconds) }
}

/// A texture with a bright square on it that goes 4 samples to the right with each `n`, the texture 2 to the left.
fn picture(info: &VideoInfo, n: f64) -> gst::Buffer {
    let (width, height) = (info.width() as usize, info.height() as usize);
    let shade = |x: usize, y: usize| {
        let (x, y) = (x as f64, y as f64);
        let inside = (x - 20.0 - 4.0 * n).abs() < 12.0 && (y - 30.0).abs() < 12.0;
        let u = x + 2.0 * n;
        let wave = 40.0 * (u * 0.35).sin() * (y * 0.27).cos() + 15.0 * (u * 0.9 + y * 0.6).sin();
        if inside { 200.0 + 25.0 * ((x - 4.0 * n) * 0.8).sin() } else { 100.0 + wave }
    };
    let mut frame =
        gst_video::VideoFrame::from_buffer_writable(gst::Buffer::with_size(info.size()).unwrap(), info).unwrap();
    let format = info.format_info();
    for component in 0..format.n_components() {
        let (plane, offset) = (frame.comp_plane(component), frame.comp_poffset(component) as usize);
        let (stride, step) = (frame.comp_stride(component) as usize, frame.comp_pstride(component) as usize);
        let (columns, rows) = (frame.comp_width(component) as usize, frame.comp_height(component) as usize);
        let (across, down) = (width.div_ceil(columns), height.div_ceil(rows));
        let colour = format.is_yuv() && component > 0;
        let data = frame.plane_data_mut(plane).unwrap();
        for y in 0..rows {
            for x in 0..columns {
                let value = if colour { 128.0 } else { shade(x * across, y * down) };
                data[y * stride + x * step + offset] = if component == 3 { 77 } else { value as u8 };
            }
        }
    }
    frame.into_buffer()
}

/// The samples of a component, without what pads its rows.
fn samples(buffer: &gst::Buffer, info: &VideoInfo, component: u32) -> Vec<u8> {
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).unwrap();
    let (first, step) = (frame.comp_poffset(component) as usize, frame.comp_pstride(component) as usize);
    let (stride, width) = (frame.comp_stride(component) as usize, frame.comp_width(component) as usize);
    let data = frame.plane_data(frame.comp_plane(component)).unwrap();
    (0..frame.comp_height(component) as usize)
        .flat_map(|y| (0..width).map(move |x| y * stride + first + x * step))
        .map(|at| data[at])
        .collect()
}

/// PSNR over all bytes, in dB.
fn psnr(a: &gst::Buffer, b: &gst::Buffer) -> f64 {
    let (a, b) = (a.map_readable().unwrap(), b.map_readable().unwrap());
    assert_eq!(a.len(), b.len());
    gst_torch_models::metrics::psnr::psnr(&a, &b)
}

#[test]
fn good_frames_leave_untouched() {
    let mut run = plain("");
    for n in 0..4u32 {
        let mut buffer = run.frame(n.into(), u64::from(n) * 40 * MS);
        let new = buffer.make_mut();
        new.set_offset(700 + u64::from(n));
        new.set_flags(gst::BufferFlags::MARKER | gst::BufferFlags::DISCONT);
        gst_video::VideoRegionOfInterestMeta::add(new, "face", (1, 2, 3, 4));
        run.push(buffer.clone());
        let left = run.pull();
        assert!(left.as_ptr() == buffer.as_ptr(), "the very buffer");
    }
    assert_eq!((run.stat("frames"), run.stat("made")), (4, 0));
}

#[test]
fn missing_frames_are_made_at_their_exact_times() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0), (1.0, 40), (4.0, 160), (5.0, 200)]);
    let left = run.left();
    let expected: Vec<_> = (0..6).map(|k| at(k * 40 * MS, 40 * MS)).collect();
    assert_eq!(left.iter().map(times).collect::<Vec<_>>(), expected);
    for (n, buffer) in left.iter().enumerate().skip(2).take(2) {
        let truth = picture(&run.info, n as f64);
        let (made, held) = (psnr(buffer, &truth), psnr(&left[1], &truth));
        assert!(made > held + 2.0, "frame {n}: {made} dB made, {held} dB held");
        assert!(!buffer.flags().contains(gst::BufferFlags::DISCONT));
    }
    assert_eq!((run.stat("frames"), run.stat("made")), (6, 2));
}

#[test]
fn gap_events_are_filled_and_not_passed_on() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0), (1.0, 40)]);
    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(80)).duration(gst::ClockTime::from_mseconds(40));
    assert!(run.harness.push_event(gap.build()));
    run.push_all(&[(3.0, 120)]);
    assert_eq!(run.times(), [0, 40, 80, 120].map(|ms| at(ms * MS, 40 * MS)));
    let events: Vec<_> = std::iter::from_fn(|| run.harness.try_pull_event()).map(|event| event.type_()).collect();
    assert!(!events.contains(&gst::EventType::Gap), "{events:?}");
}

#[test]
fn a_gap_before_anything_is_passed_on() {
    let mut run = plain("");
    assert!(run.harness.push_event(gst::event::Gap::builder(gst::ClockTime::ZERO).build()));
    let mut events = std::iter::from_fn(|| run.harness.try_pull_event());
    assert!(events.any(|event| event.type_() == gst::EventType::Gap));
}

#[test]
fn corrupted_frames_are_replaced_with_all_but_their_picture() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0)]);
    let mut bad = run.frame(40.0, 41 * MS);
    let new = bad.make_mut();
    new.set_flags(gst::BufferFlags::CORRUPTED | gst::BufferFlags::MARKER);
    new.set_duration(gst::ClockTime::from_mseconds(39));
    new.set_offset(12);
    gst_video::VideoRegionOfInterestMeta::add(new, "face", (1, 2, 3, 4));
    run.push(bad);
    assert_eq!(run.left().len(), 1, "it waits for its other neighbour");
    run.push_all(&[(2.0, 80)]);
    let left = run.left();
    assert_eq!(left.iter().map(times).collect::<Vec<_>>(), [at(41 * MS, 39 * MS), at(80 * MS, 40 * MS)]);
    assert!(left[0].flags().contains(gst::BufferFlags::MARKER));
    assert!(!left[0].flags().contains(gst::BufferFlags::CORRUPTED));
    assert_eq!(left[0].offset(), 12);
    assert_eq!(left[0].iter_meta::<gst_video::VideoRegionOfInterestMeta>().count(), 1);
    let truth = picture(&run.info, 41.0 / 40.0);
    assert!(psnr(&left[0], &truth) > 25.0, "{}", psnr(&left[0], &truth));
}

#[test]
fn frozen_frames_are_replaced_but_a_still_scene_goes_on() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0), (0.0, 40), (2.0, 80)]);
    let left = run.left();
    assert_eq!(left.iter().map(times).collect::<Vec<_>>(), [0, 40, 80].map(|ms| at(ms * MS, 40 * MS)));
    let truth = picture(&run.info, 1.0);
    assert!(psnr(&left[1], &truth) > psnr(&left[0], &truth) + 3.0);

    // A scene that stands still for longer than max-gap is none to be mended: its frames leave, at the latest then.
    let mut run = plain("max-gap=100000000");
    run.push_all(&(0..20).map(|k| (7.0, k * 40)).collect::<Vec<_>>());
    let left = run.left();
    assert_eq!(left.len(), 20);
    assert_eq!(run.stat("made"), 0);
    run.push_all(&[(8.0, 800)]);
    assert_eq!(run.times(), [at(800 * MS, 40 * MS)]);
}

#[test]
fn what_is_not_to_be_repaired_passes() {
    let mut run = plain("repair=missing");
    run.push_all(&[(0.0, 0), (0.0, 40)]);
    run.push_marked(9.0, 80, gst::BufferFlags::CORRUPTED);
    let left = run.left();
    assert_eq!(left.len(), 3);
    assert!(left[2].flags().contains(gst::BufferFlags::CORRUPTED));
    let mut run = plain("repair=corrupted+frozen");
    run.push_all(&[(0.0, 0), (1.0, 40)]);
    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(80)).build();
    assert!(run.harness.push_event(gap));
    assert!(std::iter::from_fn(|| run.harness.try_pull_event()).any(|event| event.type_() == gst::EventType::Gap));
    run.push_all(&[(4.0, 160)]);
    assert_eq!(run.times().len(), 3, "holes stay");
}

#[test]
fn beyond_max_gap_the_last_frame_is_held_and_a_message_says_so() {
    let mut run = plain("max-gap=100000000");
    let bus = gst::Bus::new();
    run.harness.element().unwrap().set_bus(Some(&bus));
    run.push_all(&[(0.0, 0), (1.0, 40), (6.0, 240), (7.0, 280)]);
    let left = run.left();
    assert_eq!(
        left.iter().map(times).collect::<Vec<_>>(),
        [0, 40, 80, 120, 160, 200, 240, 280].map(|ms| at(ms * MS, 40 * MS))
    );
    for held in &left[2..6] {
        assert_eq!(psnr(held, &left[1]), 100.0);
    }
    assert_eq!((run.stat("made"), run.stat("held")), (0, 4));
    let said = bus.pop_filtered(&[gst::MessageType::Element]).expect("a message");
    let said = said.structure().unwrap();
    assert_eq!(said.name(), "torch-interpolate-gap");
    assert_eq!(said.get::<gst::ClockTime>("timestamp").unwrap(), gst::ClockTime::from_mseconds(40));
    assert_eq!(said.get::<&str>("reason").unwrap(), "missing");
    assert!(bus.pop_filtered(&[gst::MessageType::Element]).is_none(), "once for a hole");
}

#[test]
fn what_is_added_shows_what_was_between() {
    let mut run = start("", &info(VideoFormat::I420, SIZE, (25, 1)), Some((50, 1)));
    run.push_all(&[(0.0, 0), (2.0, 40), (4.0, 80)]);
    let left = run.left();
    for (k, buffer) in left.iter().enumerate().filter(|(k, _)| k % 2 == 1) {
        let truth = picture(&run.info, k as f64);
        let neighbours = psnr(&left[k - 1], &truth).max(psnr(&left[k + 1], &truth));
        assert!(psnr(buffer, &truth) > neighbours + 4.0, "frame {k}: {} against {neighbours}", psnr(buffer, &truth));
    }
}

#[test]
fn latency_is_one_frame_or_none_and_is_reported() {
    for (properties, expected) in [("", 40), ("latency-mode=zero", 0)] {
        let mut run = plain(properties);
        run.harness.set_upstream_latency(gst::ClockTime::from_mseconds(7));
        assert_eq!(run.harness.query_latency(), Some(gst::ClockTime::from_mseconds(expected + 7)), "{properties}");
    }
}

#[test]
fn with_zero_latency_nothing_waits() {
    let mut run = plain("latency-mode=zero");
    run.push_all(&[(0.0, 0), (1.0, 40)]);
    run.push_marked(50.0, 80, gst::BufferFlags::CORRUPTED);
    let left = run.left();
    assert_eq!(left.iter().map(times).collect::<Vec<_>>(), [0, 40, 80].map(|ms| at(ms * MS, 40 * MS)));
    let truth = picture(&run.info, 2.0);
    let (foretold, held) = (psnr(&left[2], &truth), psnr(&left[1], &truth));
    assert!(foretold > held + 1.0, "{foretold} dB foretold, {held} dB held");
    let gap = gst::event::Gap::builder(gst::ClockTime::from_mseconds(120)).duration(gst::ClockTime::from_mseconds(40));
    assert!(run.harness.push_event(gap.build()));
    assert_eq!(run.times(), [at(120 * MS, 40 * MS)]);

    let mut run = start("latency-mode=zero", &info(VideoFormat::I420, SIZE, (25, 1)), Some((50, 1)));
    run.push_all(&[(0.0, 0), (1.0, 40)]);
    assert_eq!(run.times(), [0, 20, 40, 60].map(|ms| at(ms * MS, 20 * MS)));
}

#[test]
fn scenes_are_not_mixed() {
    let mut run = start("", &info(VideoFormat::I420, SIZE, (25, 1)), Some((50, 1)));
    run.push_all(&[(0.0, 0)]);
    // Noise that nothing of the first scene can be found in.
    let mut other = run.frame(0.0, 40 * MS);
    {
        let mut map = other.make_mut().map_writable().unwrap();
        let mut state = 1u32;
        map.iter_mut().for_each(|v| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *v = (state >> 24) as u8;
        });
    }
    run.push(other);
    let left = run.left();
    assert_eq!(left.len(), 3);
    let nearest = psnr(&left[1], &left[0]).max(psnr(&left[1], &left[2]));
    assert_eq!(nearest, 100.0, "one of both, not a mixture");
}

#[test]
fn a_model_that_is_none_is_named() {
    common::init();
    let element =
        gst::ElementFactory::make("torchinterpolate").property("model-file", "/nowhere/m.pt").build().unwrap();
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    assert!(element.set_state(gst::State::Paused).is_err());
    let error = bus.pop_filtered(&[gst::MessageType::Error]).unwrap();
    let gst::MessageView::Error(error) = error.view() else { unreachable!() };
    assert!(format!("{error:?}").contains("/nowhere/m.pt"), "{error:?}");
    element.set_state(gst::State::Null).unwrap();
    let element = gst::ElementFactory::make("torchinterpolate").property("model-file", "person").build().unwrap();
    assert!(element.set_state(gst::State::Paused).is_err(), "a detector is no interpolator");
    element.set_state(gst::State::Null).unwrap();
}
