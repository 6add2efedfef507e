//! Over the network: real sockets, and packets that get lost.

use std::sync::atomic::{AtomicUsize, Ordering};

use gst::prelude::*;

use super::{Random, launch, piece};

const FRAMES: usize = 200;
const INTERVAL: usize = 20;

#[test]
fn with_one_packet_in_twenty_lost_it_recovers_within_a_key_frame_interval() {
    let receiver = launch(
        "udpsrc name=src address=127.0.0.1 port=0 timeout=2000000000 \
         caps=\"application/x-rtp,media=application,clock-rate=90000,encoding-name=X-GST,payload=96\" ! identity name=way \
         ! rtpjitterbuffer latency=50 drop-on-latency=true ! rtpgstdepay ! torchdec ! appsink name=out sync=false",
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
    let mut row = 0;
    for piece in &shown {
        row = if piece.corrupted { row + 1 } else { 0 };
        // A key frame may be lost, too: then the next one.
        assert!(row < 3 * INTERVAL, "no recovery");
    }
    assert!(shown.iter().any(|piece| piece.corrupted) && shown.iter().any(|piece| !piece.corrupted));
}
