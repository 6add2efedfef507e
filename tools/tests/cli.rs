//! The program itself: each training as a user starts it, in a process where nothing was set up before, and what it says to
//! what makes no sense.

use std::path::Path;
use std::process::Command;

/// A clip of 24 frames of 64x48, made by other processes.
fn clip(path: &Path) {
    let made = Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", "num-buffers=24", "pattern=ball", "!"])
        .args(["video/x-raw,format=I420,width=64,height=48,framerate=10/1", "!", "jpegenc", "!", "avimux", "!"])
        .arg("filesink")
        .arg(format!("location={}", path.display()))
        .status()
        .expect("gst-launch-1.0");
    assert!(made.success());
}

#[test]
fn every_training_of_clips_begins_and_ends_in_a_process_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("ball.avi");
    clip(&video);
    let common = "--steps 1 --every 1 --batch-size 2 --threads 1 --device cpu";
    for (name, words) in [
        ("codec", "codec --cut 32 --length 2 --shots 1 --stage intra,prior"),
        ("vector", "codec --coding vector --cut 32 --shots 1"),
        ("restore", "restore --task denoise --cut 32"),
        ("deblock", "restore --task deblock --cut 32"),
        ("interpolate", "interpolate --cut 32"),
        ("generate", "generate --network vqvae --size 32x32 --channels 8"),
    ] {
        let out = folder.path().join(name);
        let ran = Command::new(env!("CARGO_BIN_EXE_gst-torch"))
            .arg("train")
            .args(words.split(' ').chain(common.split(' ')))
            .arg("--data")
            .arg(&video)
            .arg("--out")
            .arg(&out)
            .output()
            .expect("gst-torch starts");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "train {words}: {said}");
        let files: Vec<_> = std::fs::read_dir(&out).expect("the folder of --out").flatten().map(|f| f.path()).collect();
        for kind in ["toml", "safetensors"] {
            assert!(files.iter().any(|f| f.extension().is_some_and(|e| e == kind)), "train {words}: {files:?}");
        }
    }
}

/// Whether it went well, and all that it said.
fn run(words: &str, clip: &Path) -> (bool, String) {
    let clip = clip.to_str().expect("a path in UTF-8");
    let ran = Command::new(env!("CARGO_BIN_EXE_gst-torch"))
        .args(words.split(' ').map(|word| if word == "CLIP" { clip } else { word }))
        .output()
        .expect("gst-torch starts");
    let said = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (ran.status.success(), said.concat())
}

#[test]
fn what_cannot_be_measured_is_an_error_that_names_the_option() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("ball.avi");
    clip(&video);
    for (words, option, expected) in [
        ("bench restore CLIP --frames 0", "--frames", "from 1 on"),
        ("bench restore CLIP --rounds 0", "--rounds", "from 1 on"),
        ("bench restore CLIP --sigma=-5", "--sigma", "from 0 to 255"),
        ("bench restore CLIP --task super-resolution --scale 3", "--scale", "2 or 4"),
        ("bench generate --frames 0", "--frames", "from 1 on"),
        ("bench generate --rounds 0", "--rounds", "from 1 on"),
        ("bench codec CLIP --frames 0", "--frames", "from 1 on"),
        ("bench codec CLIP --rounds 0", "--rounds", "from 1 on"),
        ("bench codec CLIP --width 0", "--width", "even number"),
        ("bench codec CLIP --height=-2", "--height", "even number"),
        ("bench codec CLIP --quality 900", "--quality", "from 0 to 100"),
        ("bench detect CLIP --frames 0", "--frames", "from 1 on"),
        ("bench detect CLIP --frames 7", "--frames", "at least 8"),
        ("bench detect CLIP --rounds 0", "--rounds", "from 1 on"),
        ("bench detect CLIP --size 640", "--size", "WIDTHxHEIGHT"),
        ("bench memory CLIP --frames 0", "--frames", "1000.."),
        ("eval codec CLIP --quality 50,900", "--quality", "from 0 to 100"),
        ("eval restore CLIP --task denoise --sigma=-5", "--sigma", "from 0 to 255"),
        ("eval restore CLIP --task denoise --sigma 10,nan", "--sigma", "from 0 to 255"),
        ("eval restore CLIP --task super-resolution --scale 4 --size 164x96", "--size", "multiples of 8"),
    ] {
        let (well, said) = run(words, &video);
        assert!(!well && said.contains(option) && said.contains(expected), "{words}: {said}");
        assert!(!said.contains("panicked"), "{words}: {said}");
    }
}

#[test]
fn what_an_element_says_is_what_the_program_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("ball.avi");
    clip(&video);
    for (words, expected) in [
        ("bench codec CLIP --width 64 --height 48 --frames 2 --rounds 1 --model nosuch", "nosuch"),
        ("bench generate --frames 2 --rounds 1 --model scene-vq", "start-picture"),
    ] {
        let (well, said) = run(words, &video);
        assert!(!well && said.contains(expected), "{words}: {said}");
        assert!(!said.contains("failed to change its state"), "{words}: {said}");
    }
}

#[test]
fn one_frame_is_restored_at_no_speed() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = folder.path().join("ball.avi");
    clip(&video);
    let (well, said) = run("eval restore CLIP --task denoise --sigma 25 --alone --frames 1 --size 64x48", &video);
    assert!(well && !said.contains("NaN"), "{said}");
}
