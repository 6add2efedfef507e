//! Elements that are taken out of pipelines that play, and put into them.

use std::time::Duration;

use gst::prelude::*;

use crate::common::{self, wait_for_frames};

fn launch(line: &str) -> gst::Pipeline {
    common::init();
    gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap()
}

/// Holds what leaves `pad` while `change` is made.
fn between_frames(pad: &gst::Pad, change: impl FnOnce()) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let probe = pad.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, move |_, _| {
        let _ = sender.send(());
        gst::PadProbeReturn::Ok
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("the stream flows");
    change();
    pad.remove_probe(probe.unwrap());
}

#[test]
fn what_frames_pass_through_can_be_taken_out_and_put_in() {
    for line in [
        "torchdetect device=cpu",
        "torchtrack",
        "torchoverlay",
        "torchrestore device=cpu",
        "torchinterpolate device=cpu",
        "torchenc device=cpu ! torchparse ! torchdec device=cpu",
    ] {
        let pipeline = launch(
            "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=96,height=64,framerate=50/1 \
             ! identity name=before ! identity name=after ! fakesink name=sink sync=false",
        );
        let [before, after] = ["before", "after"].map(|name| pipeline.by_name(name).unwrap());
        let pad = before.static_pad("src").unwrap();
        let make = || gst::parse::bin_from_description(line, true).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        for _ in 0..2 {
            wait_for_frames(&pipeline, 10);
            let bin = make();
            between_frames(&pad, || {
                before.unlink(&after);
                pipeline.add(&bin).unwrap();
                gst::Element::link_many([&before, bin.upcast_ref(), &after]).unwrap();
                bin.sync_state_with_parent().unwrap();
            });
            wait_for_frames(&pipeline, 10);
            between_frames(&pad, || {
                bin.set_state(gst::State::Null).unwrap();
                pipeline.remove(&bin).unwrap();
                before.link(&after).unwrap();
            });
        }
        wait_for_frames(&pipeline, 10);
        pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn a_generator_can_be_taken_out_and_put_in() {
    let pipeline = launch(
        "videotestsrc is-live=true ! video/x-raw,width=96,height=64,framerate=25/1 ! compositor name=mix \
         ! fakesink name=sink sync=false",
    );
    let mix = pipeline.by_name("mix").unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for _ in 0..2 {
        wait_for_frames(&pipeline, 10);
        let line =
            "torchsrc model-file=cells-gan is-live=true device=cpu ! capsfilter caps=video/x-raw,width=64,height=64";
        let bin = gst::parse::bin_from_description(line, true).unwrap();
        let pad = mix.request_pad_simple("sink_%u").unwrap();
        pipeline.add(&bin).unwrap();
        bin.static_pad("src").unwrap().link(&pad).unwrap();
        bin.sync_state_with_parent().unwrap();
        wait_for_frames(&pipeline, 10);
        bin.set_state(gst::State::Null).unwrap();
        pipeline.remove(&bin).unwrap();
        mix.release_request_pad(&pad);
    }
    wait_for_frames(&pipeline, 10);
    pipeline.set_state(gst::State::Null).unwrap();
}
