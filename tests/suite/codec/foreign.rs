//! A user's own autoencoder through the elements.

use std::path::{Path, PathBuf};

use gst_torch_models::metrics::psnr::psnr;
use tch::{Device, Kind, Tensor};

use super::{collect, times, try_collect};

/// An autoencoder that loses nothing but what its latents are rounded by: blocks of 4x4 pixels become 48 latents.
fn autoencoder(folder: &Path) -> PathBuf {
    let file = |name: &str, size: [i64; 4], forward: fn(&Tensor) -> Tensor| {
        let input = Tensor::zeros(size, (Kind::Float, Device::Cpu));
        let archive = gst_torch_runtime::trace(&input, |x| Ok(vec![forward(x)])).unwrap();
        std::fs::write(folder.join(name), archive).unwrap();
    };
    file("enc.pt", [1, 3, 32, 32], |x| x.pixel_unshuffle(4));
    file("dec.pt", [1, 48, 8, 8], |x| x.pixel_shuffle(4));
    let card = folder.join("own.toml");
    let text = "task = \"codec\"\nnetwork = \"autoencoder\"\nencoder = \"enc.pt\"\ndecoder = \"dec.pt\"\n\
                [latent]\nstep = 0.02\nmultiple = 4\n";
    std::fs::write(&card, text).unwrap();
    card
}

const SOURCE: &str =
    "videotestsrc num-buffers=6 pattern=ball ! video/x-raw,format=I420,width=90,height=62,framerate=25/1";

#[test]
fn a_users_own_autoencoder_runs_in_the_same_elements() {
    let folder = tempfile::tempdir().unwrap();
    let card = autoencoder(folder.path());
    let model = format!("model-file={}", card.display());
    let out = "appsink name=out sync=false";
    let sent = collect(&format!("{SOURCE} ! {out}"));
    let line = format!("{SOURCE} ! torchenc {model} quality=60 key-int-max=3 ! torchparse ! torchdec {model} ! {out}");
    let came = collect(&line);
    assert_eq!(times(&came), times(&sent));
    for (sent, came) in sent.iter().zip(&came) {
        assert!(!came.corrupted);
        let luma =
            |piece: &super::Piece| -> Vec<u8> { (0..62).flat_map(|y| piece.bytes[y * 92..][..90].to_vec()).collect() };
        let psnr = psnr(&luma(sent), &luma(came));
        // A step of 0.02 of white is five levels.
        assert!(psnr > 38.0, "{psnr:.1} dB");
    }
}

#[test]
fn a_stream_of_a_users_own_autoencoder_is_not_decoded_by_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let card = autoencoder(folder.path());
    let line =
        format!("{SOURCE} ! torchenc model-file={} ! torchdec model-file=codec-vq ! appsink name=out", card.display());
    let error = try_collect(&super::launch(&line)).unwrap_err();
    assert!(error.contains("own") && error.contains("codec-vq"), "{error}");
}
