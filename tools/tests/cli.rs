//! The program itself: each training as a user starts it, in a process where nothing was set up before.

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
