//! Sequence models, which get to a picture only by drawing all before it: late, at other rates, far away, and one by one.

use super::ours::{RATE, sequence};
use super::*;

/// Which picture of the sequence a frame is.
fn picture(sample: &gst::Sample) -> u64 {
    gsttorch::provenance::get(sample.buffer().unwrap()).unwrap().frame
}

fn small(folder: &Path) -> String {
    model(&sequence(folder, gst_torch_models::generate::sequence::Kind::Transformer))
}

#[test]
fn live_a_slow_sequence_leaves_out_time_and_no_pictures() {
    // Many times as many frames a second as the built-in model can make.
    let source = Source::play("is-live=true", "video/x-raw,framerate=500/1");
    let shown: Vec<_> = (0..60).map(|_| source.pull()).collect();
    let pictures: Vec<_> = shown.iter().map(picture).collect();
    assert_eq!(pictures, (0..60).collect::<Vec<_>>(), "as many are drawn as are shown");
    let slots = shown[59].buffer().unwrap().offset() - shown[0].buffer().unwrap().offset();
    assert!(slots > 80, "{slots} frames of time for 60 that are shown");
    assert!(source.stats().get::<u64>("skipped").unwrap() > 0);
}

#[test]
fn at_another_rate_a_sequence_goes_on_with_its_next_picture() {
    let folder = tempfile::tempdir().unwrap();
    let settings = small(folder.path());
    let size = "video/x-raw,format=RGB,width=64,height=32";
    let source = Source::play(&settings, &format!("capsfilter name=caps caps={size},framerate=20/1"));
    let filter = source.pipeline.by_name("caps").unwrap();
    let mut pictures = Vec::new();
    let mut durations = Vec::new();
    for rate in [20, 40, 5] {
        let caps: gst::Caps = format!("{size},framerate={rate}/1").parse().unwrap();
        filter.set_property("caps", &caps);
        for _ in 0..30 {
            let sample = source.pull();
            pictures.push(picture(&sample));
            durations.push(sample.buffer().unwrap().duration().unwrap().mseconds());
        }
    }
    assert_eq!(pictures, (0..90).collect::<Vec<_>>());
    assert!([50, 25, 200].iter().all(|duration| durations.contains(duration)), "{durations:?}");
    // A seek counts by time again.
    source.seek(2010);
    assert_eq!(picture(&source.pull()), 10);
}

/// The next progress message of this kind that tells of pictures that are drawn.
fn drawing(source: &Source, kind: gst::ProgressType) -> Option<String> {
    let bus = source.pipeline.bus().unwrap();
    while let Some(message) =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Progress, gst::MessageType::Error])
    {
        match message.view() {
            gst::MessageView::Progress(progress) => match progress.get() {
                (of, "drawing", text) if of == kind => return Some(text.to_string()),
                _ => {}
            },
            _ => panic!("an error"),
        }
    }
    None
}

#[test]
fn a_long_way_is_told_of_and_can_be_left() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::play(&small(folder.path()), RATE);
    source.frames(3);
    // Some hours away, with nobody to wait for it.
    source.seek(10_000_000);
    let text = drawing(&source, gst::ProgressType::Start).expect("it says that it takes its time");
    assert!(text.contains("0 of 1999"), "{text}"); // a few are drawn already
    source.seek(1010);
    assert_eq!(picture(&source.pull()), 20);
    drawing(&source, gst::ProgressType::Canceled).expect("it says that it left");
    // From what was drawn meanwhile a way may be short; one that is not is gone to its end.
    let stats = Source::play(&small(folder.path()), RATE);
    stats.frames(1);
    stats.seek(15_010);
    assert_eq!(picture(&stats.pull()), 300);
    assert!(drawing(&stats, gst::ProgressType::Start).is_some());
    assert!(drawing(&stats, gst::ProgressType::Complete).is_some());
}

#[test]
fn single_pictures_of_a_sequence_model() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("{} watermark=false", small(folder.path()));
    let sequence = frames(&settings, RATE, 3);
    assert!(frames(&format!("{settings} mode=fixed"), RATE, 4).iter().all(|frame| *frame == sequence[0]));
    let source = Source::play(&format!("{settings} mode=noise seed=5"), RATE);
    let noise = source.frames(10);
    assert!((0..10).all(|i| (0..i).all(|j| noise[i] != noise[j])));
    source.seek(7 * 50 + 10);
    assert!(pixels(&source.pull()) == noise[7]);
    assert!(frames(&format!("{settings} mode=noise seed=6"), RATE, 1)[0] != noise[0]);
}
