//! Over the network: real sockets, and packets that get lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use gst::prelude::*;

use super::{Random, launch, piece};

const FRAMES: usize = 200;
const INTERVAL: usize = 20;

#[test]
fn with_one_packet_in_twenty_lost_every_key_frame_that_arrives_is_a_recovery() {
    let receiver = launch(
        "udpsrc name=src address=127.0.0.1 port=0 timeout=2000000000 \
         caps=\"application/x-rtp,media=application,clock-rate=90000,encoding-name=X-GST,payload=96\" ! identity name=way \
         ! rtpjitterbuffer latency=50 drop-on-latency=true ! rtpgstdepay name=depay ! torchdec ! appsink name=out sync=false",
    );
    let lost = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&lost);
    let packets = std::sync::Mutex::new((0, Random(5)));
    let way = receiver.by_name("way").unwrap().static_pad("src").unwrap();
    way.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        // The first packets carry the caps, which come again every second.
        let mut packets = packets.lock().unwrap();
        packets.0 += 1;
        if packets.0 > 10 && packets.1.below(20) == 0 {
            counter.fetch_add(1, Ordering::SeqCst);
            return gst::PadProbeReturn::Drop;
        }
        gst::PadProbeReturn::Ok
    });
    // Timestamps of the key frames that arrive: access units that begin with a sequence header.
    let keys = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let arrived = std::sync::Arc::clone(&keys);
    let depay = receiver.by_name("depay").unwrap().static_pad("src").unwrap();
    depay.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer().unwrap();
        if buffer.map_readable().unwrap().starts_with(b"\x9eTS") {
            arrived.lock().unwrap().push(buffer.pts().unwrap().nseconds());
        }
        gst::PadProbeReturn::Ok
    });
    receiver.set_state(gst::State::Playing).unwrap();
    let port: i32 = receiver.by_name("src").unwrap().property("port");
    assert!(port > 0);

    let sender = launch(&format!(
        "videotestsrc is-live=true pattern=ball num-buffers={FRAMES} \
         ! video/x-raw,format=I420,width=64,height=48,framerate=60/1 ! torchenc late-policy=block key-int-max={INTERVAL} \
         ! rtpgstpay config-interval=1 ! udpsink host=127.0.0.1 port={port} sync=false"
    ));
    super::common::play_to_eos(&sender);
    sender.set_state(gst::State::Null).unwrap();

    let sink = receiver.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    let wait = gst::ClockTime::from_mseconds(1500);
    let shown: Vec<_> =
        std::iter::from_fn(|| sink.try_pull_sample(wait)).map(|sample| piece(sample.buffer().unwrap())).collect();
    let error = receiver.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
    receiver.set_state(gst::State::Null).unwrap();

    assert!(error.is_none(), "{error:?}");
    let lost = lost.load(Ordering::SeqCst);
    assert!(lost >= 4, "{lost} packets were lost");
    assert!(shown.len() + lost + INTERVAL >= FRAMES, "{} pictures after {lost} losses", shown.len());
    let keys = keys.lock().unwrap();
    assert!(keys.len() + lost >= FRAMES / INTERVAL, "{} key frames arrived", keys.len());
    for key in keys.iter() {
        let picture =
            shown.iter().find(|piece| piece.pts == Some(*key)).unwrap_or_else(|| panic!("no picture at {key}"));
        assert!(!picture.corrupted, "the key frame at {key} is no recovery");
    }
    // So a loss is over within an interval, unless a key frame is lost itself.
    let rows = shown.split(|piece| !piece.corrupted).filter(|row| row.len() > INTERVAL).count();
    assert!(rows + keys.len() <= FRAMES / INTERVAL, "{rows} times no recovery within an interval");
    assert!(shown.iter().any(|piece| piece.corrupted) && shown.iter().any(|piece| !piece.corrupted));
}
