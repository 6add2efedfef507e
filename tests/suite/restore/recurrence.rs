//! A network that remembers, in its own thread: it runs ahead of whoever takes the frames, and in their order.

use gst_torch_models::restore::restorer::{Options, Pending, Request, Restorer};

use super::*;

fn denoiser(frame: &Buffer) -> Arc<Restorer> {
    Restorer::new(&load("denoise"), &frame.info, &Options::default(), false).unwrap()
}

fn submit(restorer: &Arc<Restorer>, frame: &Buffer) -> Pending {
    let request = Request { noise: Some(10.0), ..Request::default() };
    restorer.submit(&frame.planes().unwrap(), request).unwrap()
}

fn finish(pending: Pending, frame: &Buffer) -> Vec<u8> {
    let mut out = frame.clone();
    pending.finish(&mut out.planes_mut().unwrap()).unwrap();
    out.planes().unwrap().plane(0).0.to_vec()
}

#[test]
fn frames_need_not_be_taken_for_the_next_to_be_restored() {
    let frames = [1, 2, 3].map(|seed| picture_of(PixelFormat::I420, 160, 96, seed));
    let one_by_one = denoiser(&frames[0]);
    let expected = frames.each_ref().map(|frame| finish(submit(&one_by_one, frame), frame));
    let restorer = denoiser(&frames[0]);
    let mut pending: Vec<_> = frames.iter().map(|frame| submit(&restorer, frame)).collect();
    for (frame, expected) in frames.iter().zip(&expected).rev() {
        assert!(finish(pending.pop().unwrap(), frame) == *expected);
    }
    assert!(expected[1] != finish(submit(&denoiser(&frames[1]), &frames[1]), &frames[1]), "it remembers nothing");
}

#[test]
fn a_frame_that_is_dropped_before_its_turn_is_never_seen() {
    // Large enough for the first to be under way while the second is dropped.
    let frames = [1, 2, 3].map(|seed| picture_of(PixelFormat::I420, 960, 540, seed));
    let run = |dropped: bool| {
        let restorer = denoiser(&frames[0]);
        let first = submit(&restorer, &frames[0]);
        if dropped {
            drop(submit(&restorer, &frames[1]));
        }
        let third = submit(&restorer, &frames[2]);
        [finish(first, &frames[0]), finish(third, &frames[2])]
    };
    assert!(run(true) == run(false));
}
