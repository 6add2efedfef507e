//! Streams that were damaged, cut, or made for another decoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gst::prelude::*;
use gst_torch_models::codec::stream::{self, Found};

use super::{Piece, Random, collect, decoded, encoded, launch, try_collect, write};

fn play(bytes: &[u8], folder: &std::path::Path) -> Result<Vec<Piece>, String> {
    let path = folder.join("damaged.tvc");
    std::fs::write(&path, bytes).unwrap();
    let line = format!("filesrc location={} ! torchparse ! torchdec ! appsink name=out sync=false", path.display());
    try_collect(&launch(&line))
}

#[test]
fn a_bit_flip_is_over_at_the_next_key_frame() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = encoded(20, "key-int-max=5");
    let file = write(folder.path(), &pieces);
    let (bytes, clean) = (std::fs::read(&file).unwrap(), decoded(&file));
    let mut random = Random(1);
    for _ in 0..15 {
        let at = random.below(bytes.len());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << random.below(8);
        let mut end = 0;
        let hit = pieces.iter().position(|piece| {
            end += piece.bytes.len();
            at < end
        });
        let group = hit.unwrap() / 5;
        let shown = play(&flipped, folder.path()).unwrap();
        assert!(shown.len() >= 15, "{} pictures", shown.len());
        for piece in &shown {
            let original = clean.iter().position(|c| c.pts == piece.pts).expect("times do not shift");
            if original / 5 != group {
                assert_eq!(piece, &clean[original], "bit {at} of group {group} changed picture {original}");
            }
        }
    }
}

#[test]
fn a_truncated_file_shows_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = encoded(6, "key-int-max=3");
    let file = write(folder.path(), &pieces);
    let (bytes, clean) = (std::fs::read(&file).unwrap(), decoded(&file));
    let mut random = Random(2);
    for _ in 0..8 {
        let length = pieces[0].bytes.len() + random.below(bytes.len() - pieces[0].bytes.len());
        let mut end = 0;
        let whole = pieces.iter().take_while(|piece| {
            end += piece.bytes.len();
            end <= length
        });
        let whole = whole.count();
        assert_eq!(play(&bytes[..length], folder.path()).unwrap(), clean[..whole], "{length} bytes");
    }
}

#[test]
fn noise_ends_with_an_error_and_not_with_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(3);
    let noise: Vec<u8> = (0..100_000).map(|_| random.below(256) as u8).collect();
    assert!(play(&noise, folder.path()).is_err());
    // Markers everywhere, lengths that are lies.
    let lies: Vec<u8> = (0..20_000).flat_map(|n| [0x9e, 0x54, b"SIPX"[n % 4], 0xff, n as u8, 0x7f]).collect();
    assert!(play(&lies, folder.path()).is_err());
}

/// Every second, some access units are gone or damaged on the way; each is stood in for until the next key frame, which is
/// asked for.
#[test]
fn lost_pictures_are_concealed_and_a_key_frame_is_asked_for() {
    let line = "videotestsrc pattern=ball num-buffers=30 ! video/x-raw,format=I420,width=64,height=48,framerate=30/1 \
                ! torchenc key-int-max=10 ! identity name=way ! torchdec name=dec ! appsink name=out sync=false";
    let pipeline = launch(line);
    let way = pipeline.by_name("way").unwrap().static_pad("src").unwrap();
    let count = AtomicUsize::new(0);
    way.add_probe(gst::PadProbeType::BUFFER, move |_, info| match count.fetch_add(1, Ordering::SeqCst) {
        4 => gst::PadProbeReturn::Drop,
        16 => {
            let mut data = info.buffer_mut().unwrap().make_mut().map_writable().unwrap();
            let middle = data.len() / 2;
            data[middle] ^= 0x10;
            gst::PadProbeReturn::Ok
        }
        _ => gst::PadProbeReturn::Ok,
    });
    // The encoder is not told, so that only its own key frames end the loss.
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    way.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        if gst_video::UpstreamForceKeyUnitEvent::parse(info.event().unwrap()).is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
    let shown = try_collect(&pipeline).unwrap();
    let corrupted: Vec<u64> = shown
        .iter()
        .filter(|piece| piece.corrupted)
        .map(|piece| (piece.pts.unwrap() * 30).div_ceil(1_000_000_000))
        .collect();
    assert_eq!(corrupted, [5, 6, 7, 8, 9, 16, 17, 18, 19]);
    assert_eq!(shown.len(), 29, "one never came");
    // Half a second lies between two requests.
    assert!((1..=2).contains(&asked.load(Ordering::SeqCst)), "{asked:?}");
}

/// With the encoder told, the loss is over at once.
#[test]
fn a_request_reaches_the_encoder() {
    let line = "videotestsrc pattern=ball num-buffers=30 ! video/x-raw,format=I420,width=64,height=48,framerate=30/1 \
                ! torchenc key-int-max=0 ! identity name=way ! torchdec ! appsink name=out sync=false";
    let pipeline = launch(line);
    let count = AtomicUsize::new(0);
    let way = pipeline.by_name("way").unwrap().static_pad("src").unwrap();
    way.add_probe(gst::PadProbeType::BUFFER, move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        10 => gst::PadProbeReturn::Drop,
        _ => gst::PadProbeReturn::Ok,
    });
    let shown = try_collect(&pipeline).unwrap();
    let corrupted: Vec<_> = (0..shown.len()).filter(|n| shown[*n].corrupted).collect();
    assert_eq!((shown.len(), corrupted), (29, vec![10]));
}

#[test]
fn a_decoder_waits_for_its_first_key_frame() {
    let pieces = encoded(12, "key-int-max=6");
    let caps = gst::Caps::builder("video/x-torch-codec").field("stream-format", "byte-stream").field("alignment", "au");
    let caps = caps.build();
    let pipeline = launch("appsrc name=in ! torchdec ! appsink name=out sync=false");
    let units = pieces[2..].iter().map(|piece| {
        let mut buffer = gst::Buffer::from_slice(piece.bytes.clone());
        buffer.get_mut().unwrap().set_pts(piece.pts.map(gst::ClockTime::from_nseconds));
        (caps.clone(), buffer)
    });
    super::feed(&pipeline, units.collect());
    let shown = try_collect(&pipeline).unwrap();
    assert_eq!(super::times(&shown), super::times(&pieces[6..]));
    assert!(!shown.iter().any(|piece| piece.corrupted));
}

#[test]
fn a_stream_of_another_model_is_refused_by_name() {
    let built_in = gst_torch_models::builtin::MODELS.iter().find(|model| model.name == "codec-s").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (card, weights) = (folder.path().join("mine.toml"), folder.path().join("mine.safetensors"));
    let mut bytes = built_in.weights.to_vec();
    // The last bit of the first weight, which lies behind the header and the header's length.
    let first = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[first] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let lines = built_in.card.lines().filter(|line| !line.starts_with("weights") && !line.starts_with("sha256"));
    let text = format!("weights = \"mine.safetensors\"\n{}", lines.collect::<Vec<_>>().join("\n"));
    std::fs::write(&card, text).unwrap();

    let pieces = encoded(2, &format!("model-file={}", card.display()));
    let file = write(folder.path(), &pieces);
    let play = |model: &str| {
        let line = format!(
            "filesrc location={} ! torchparse ! torchdec {model} ! appsink name=out sync=false",
            file.display()
        );
        try_collect(&launch(&line))
    };
    assert_eq!(play(&format!("model-file={}", card.display())).unwrap().len(), 2);
    let refused = play("model-file=codec-s").unwrap_err();
    assert!(refused.contains("was made with model 'mine'") && refused.contains("'codec-s'"), "{refused}");
    let refused = play("").unwrap_err();
    assert!(refused.contains("was made with model 'mine'") && refused.contains("codec-s"), "{refused}");
}

#[test]
fn pictures_that_cannot_be_coded_are_refused() {
    let line = "videotestsrc num-buffers=2 ! video/x-raw,format=RGB ! torchenc ! appsink name=out sync=false";
    super::common::init();
    assert!(gst::parse::launch(line).is_err(), "RGB needs videoconvert");
    let line = "videotestsrc num-buffers=2 ! video/x-raw,format=RGB,width=32,height=32 ! videoconvert ! torchenc \
                ! torchdec ! appsink name=out sync=false";
    assert_eq!(collect(line).len(), 2);
    let line = "videotestsrc num-buffers=1 ! torchenc model-file=/nowhere/m.toml ! appsink name=out sync=false";
    let pipeline = launch(line);
    assert!(pipeline.set_state(gst::State::Playing).is_err());
    let message = pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]).expect("it says why");
    assert!(format!("{message:?}").contains("/nowhere/m.toml"), "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

/// What is sound but not for this decoder is said by those who know it, with and without a parser.
#[test]
fn streams_of_another_version_are_refused_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = encoded(2, "");
    let bytes = pieces.iter().flat_map(|piece| &piece.bytes).copied().collect::<Vec<u8>>();
    let Found::Unit(header) = stream::find(&bytes) else { panic!() };
    let with = |at: usize, value: u8| {
        let mut payload = header.payload.to_vec();
        payload[at] = value;
        [stream::unit(b'S', &payload), bytes[header.length..].to_vec()].concat()
    };
    let path = folder.path().join("other.tvc");
    let depth = header.payload.len() - 20;
    for (bytes, expected) in [
        (with(0, 99), "bitstream version 99; this decoder knows version 2"),
        (with(depth, 10), "10 bits a sample; this decoder knows 8"),
        (with(1, 2), "in coding 2; its coding is 1"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let refusal = |decoder: &str| {
            try_collect(&launch(&format!(
                "filesrc location={} ! {decoder} ! appsink name=out sync=false",
                path.display()
            )))
            .unwrap_err()
        };
        let error = refusal("torchparse ! torchdec");
        assert!(error.contains(expected), "{error}");
        for _ in 0..5 {
            let error = refusal("decodebin");
            assert!(error.contains(expected), "{error}");
        }
    }
}

/// One may be a damage that no checksum found; two are none.
#[test]
fn a_single_header_of_another_version_costs_until_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let pieces = encoded(6, "key-int-max=2");
    let clean = decoded(&write(folder.path(), &pieces));
    let with = |foreign: &[usize]| {
        let bytes = pieces.iter().enumerate().flat_map(|(n, piece)| match stream::find(&piece.bytes) {
            Found::Unit(header) if foreign.contains(&n) => {
                [stream::unit(b'S', &[99; 40]), piece.bytes[header.length..].to_vec()].concat()
            }
            _ => piece.bytes.clone(),
        });
        play(&bytes.collect::<Vec<u8>>(), folder.path())
    };
    assert_eq!(with(&[2]).unwrap(), [&clean[..2], &clean[4..]].concat());
    let error = with(&[2, 4]).unwrap_err();
    assert!(error.contains("bitstream version 99"), "{error}");
}

/// A container hands the header over before the first picture.
#[test]
fn caps_of_another_version_are_refused_by_number() {
    super::common::init();
    let header = stream::unit(b'S', &[99; 40]);
    let hex = header.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let caps = format!("video/x-torch-codec,stream-format=byte-stream,alignment=au,codec_data=(buffer){hex}");
    for decoder in ["torchdec", "torchparse ! torchdec"] {
        let pipeline = launch(&format!("appsrc name=in caps=\"{caps}\" ! {decoder} ! appsink name=out sync=false"));
        let source = pipeline.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        source.push_buffer(gst::Buffer::from_slice([0; 100])).unwrap();
        source.end_of_stream().unwrap();
        let error = try_collect(&pipeline).unwrap_err();
        assert!(error.contains("bitstream version 99; this decoder knows version 2"), "{decoder}: {error}");
    }
}
