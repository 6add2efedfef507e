//! What caps may leave out, and what they may not say.

use gst_check::Harness;

use crate::common;

const VIDEO: &str = "video/x-raw,format=I420,width=64,height=48,framerate=25/1";
const ELEMENTS: [&str; 7] = [
    "torchdetect device=cpu",
    "torchenc device=cpu",
    "torchinterpolate device=cpu",
    "torchmeta",
    "torchoverlay",
    "torchrestore device=cpu",
    "torchtrack",
];

/// What becomes of a frame whose caps are these.
fn pushed(line: &str, caps: &str) -> Result<gst::FlowSuccess, gst::FlowError> {
    let caps: gst::Caps = caps.parse().unwrap();
    let mut harness = Harness::new_parse(line);
    harness.set_src_caps(caps.clone());
    harness.push(common::grey(&caps))
}

#[test]
fn what_has_a_default_may_be_left_out() {
    common::init();
    for line in ELEMENTS {
        let said = ",pixel-aspect-ratio=1/1,interlace-mode=progressive,multiview-mode=mono,colorimetry=bt601";
        for more in ["", said] {
            assert!(pushed(line, &format!("{VIDEO}{more}")).is_ok(), "{line}, {VIDEO}{more}");
        }
    }
}

#[test]
fn two_fields_in_a_frame_are_refused_where_they_would_be_blended_or_coded_as_one() {
    common::init();
    for line in ["torchenc device=cpu", "torchinterpolate device=cpu"] {
        let flow = pushed(line, &format!("{VIDEO},interlace-mode=interleaved"));
        assert_eq!(flow, Err(gst::FlowError::NotNegotiated), "{line}");
    }
}
