//! Live streams: nothing leaves later than was said. A harness says that it is live.

use super::*;

#[test]
fn of_bad_frames_in_a_row_each_leaves_when_the_next_one_comes() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0), (1.0, 40)]);
    assert_eq!(run.times().len(), 2);
    for ms in [80, 120, 160] {
        run.push_marked(50.0, ms, gst::BufferFlags::CORRUPTED);
        let waited = (ms > 80).then(|| at((ms - 40) * MS, 40 * MS));
        assert_eq!(run.times(), waited.into_iter().collect::<Vec<_>>(), "at {ms} ms");
    }
    run.push_all(&[(5.0, 200)]);
    assert_eq!(run.times(), [160, 200].map(|ms| at(ms * MS, 40 * MS)));
    assert_eq!(run.stat("made"), 3);
}

#[test]
fn events_leave_between_the_bad_frames_that_they_came_between() {
    let mut run = plain("");
    run.push_all(&[(0.0, 0), (1.0, 40)]);
    run.push_marked(50.0, 80, gst::BufferFlags::CORRUPTED);
    run.left();
    while run.harness.try_pull_event().is_some() {}
    assert!(run.harness.push_event(gst::event::CustomDownstream::new(gst::Structure::new_empty("mark"))));
    assert!(run.harness.try_pull_event().is_none(), "it does not overtake the frame that waits");
    run.push_marked(50.0, 120, gst::BufferFlags::CORRUPTED);
    assert_eq!(run.times(), [at(80 * MS, 40 * MS)]);
    assert_eq!(run.harness.try_pull_event().unwrap().type_(), gst::EventType::CustomDownstream);
}
