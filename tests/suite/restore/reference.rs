//! Users' networks of the usual architectures give what their own code gives: tests/reference/restorers.py made the models
//! and what they make of a picture.

use super::*;

struct Reference {
    model: std::path::PathBuf,
    width: i32,
    height: i32,
    format: &'static str,
    pictures: Vec<Vec<u8>>,
    facts: serde_json::Value,
}

fn reference(name: &str) -> Reference {
    let folder = common::root().join("tests/reference");
    let read = |file: String| std::fs::read(folder.join(file)).expect("it is in the repository");
    let facts: serde_json::Value = serde_json::from_slice(&read(format!("expected/{name}.json"))).unwrap();
    let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
    let (width, height) = (number(&facts["size"][0]), number(&facts["size"][1]));
    let channels = number(&facts["channels"]);
    let pictures =
        read(format!("expected/{name}.bytes")).chunks(width * height * channels).map(<[u8]>::to_vec).collect();
    Reference {
        model: folder.join(format!("models/{name}.pt")),
        width: width as i32,
        height: height as i32,
        format: if channels == 1 { "GRAY8" } else { "RGB" },
        pictures,
        facts,
    }
}

/// The first picture of a reference, restored; rows without padding.
fn restored(reference: &Reference, settings: &str) -> Vec<u8> {
    let caps = caps(reference.format, reference.width, reference.height);
    let mut harness = with_model(&reference.model, settings);
    harness.set_src_caps(caps.clone());
    let info = gst_video::VideoInfo::from_caps(&caps).unwrap();
    let row = reference.pictures[0].len() / reference.height as usize;
    let mut buffer = frame(&caps, 0);
    let mut map = buffer.get_mut().unwrap().map_writable().unwrap();
    for (line, source) in map.chunks_mut(info.stride()[0] as usize).zip(reference.pictures[0].chunks(row)) {
        line[..row].copy_from_slice(source);
    }
    drop(map);
    harness.push(buffer).unwrap();
    let got = bytes(&harness.pull().unwrap());
    got.chunks(info.stride()[0] as usize).flat_map(|line| &line[..row]).copied().collect()
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0f64.powi(2) * a.len() as f64 / sum).log10()
}

#[test]
fn dncnn_gives_the_psnr_that_its_own_code_gives() {
    for name in ["dncnn-gray", "dncnn-colour"] {
        let reference = reference(name);
        let fact = |name: &str| reference.facts[name].as_f64().unwrap();
        assert!(fact("psnr-restored") > fact("psnr-noisy") + 1.0, "{name} was trained");
        // With nothing said: the channels, and that it gives noise, are seen.
        for settings in ["", "output-kind=noise", "tile-size=128"] {
            let got = restored(&reference, settings);
            let psnr = psnr(&got, &reference.pictures[2]);
            assert!((psnr - fact("psnr-restored")).abs() < 0.02, "{name} {settings}: {psnr}");
            assert!(largest_difference(&got, &reference.pictures[1]) <= 1, "{name} {settings}");
        }
    }
}

#[test]
fn zero_dce_gives_the_brightness_that_its_own_code_gives() {
    let reference = reference("zero-dce");
    let mean = |v: &[u8]| v.iter().map(|v| f64::from(*v)).sum::<f64>() / v.len() as f64;
    let fact = |name: &str| reference.facts[name].as_f64().unwrap();
    assert!(fact("restored") > 2.0 * fact("dark"), "it was trained");
    for (settings, name, picture) in [("output-tensor=1", "restored", 1), ("", "half", 2)] {
        let got = restored(&reference, settings);
        assert!((mean(&got) - fact(name)).abs() < 0.1, "{settings}: {} for {}", mean(&got), fact(name));
        assert!(largest_difference(&got, &reference.pictures[picture]) <= 1, "{settings}");
    }
}
