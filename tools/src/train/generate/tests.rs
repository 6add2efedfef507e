use std::collections::HashMap;
use std::path::Path;

use clap::Parser;
use gst::prelude::*;
use gst_torch_models::builtin;
use gst_torch_models::generate::sequence::Player;
use gst_torch_models::generate::{Config, TASK};

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

const QUICK: &str = "--batch-size 2 --channels 8 --precision fp32 --threads 1 --every 2";

fn train(words: &str) -> Result<()> {
    // Weights are drawn from libtorch's generator.
    let _turn = crate::train::GENERATOR.lock();
    run(Cli::try_parse_from(["generate"].into_iter().chain(words.split_whitespace()))?.args)
}

/// A ball that moves, 20 frames of 64x48.
fn clip(path: &Path) {
    gst::init().unwrap();
    let caps = "video/x-raw,format=I420,width=64,height=48,framerate=10/1";
    let line = format!(
        "videotestsrc num-buffers=20 pattern=ball ! {caps} ! jpegenc quality=95 ! avimux ! filesink location={}",
        path.display()
    );
    let pipeline = gst::parse::launch(&line).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Eos, gst::MessageType::Error]);
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
}

/// The card's config, and that the model opens, is of the task and says what it was made from.
fn config(card: &Path) -> Config {
    let file = builtin::open(card.to_str().unwrap()).unwrap();
    assert_eq!(file.info.task.value.as_deref(), Some(TASK));
    let read = gst_torch_runtime::card::Card::read(card).unwrap();
    assert!(read.training.unwrap()["steps"].as_integer().is_some_and(|steps| steps > 0));
    Config::of(&file.info).unwrap().unwrap()
}

/// The largest difference of two files of weights.
fn apart(a: &Path, b: &Path) -> f64 {
    let read = |path: &Path| tch::Tensor::read_safetensors(path).unwrap().into_iter().collect::<HashMap<_, _>>();
    let (a, b) = (read(a), read(b));
    assert_eq!(a.len(), b.len());
    a.iter().map(|(name, tensor)| (tensor - &b[name]).abs().max().double_value(&[])).fold(0.0, f64::max)
}

fn sheets(out: &Path) -> usize {
    std::fs::read_dir(out.join("samples")).unwrap().count()
}

#[test]
fn a_gan_with_classes_is_trained_resumed_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (video, out) = (folder.path().join("ball.avi"), folder.path().join("out"));
    clip(&video);
    let (video, to) = (video.display(), out.display());
    let data = format!("--data {video},class=early,frames=1-10 --data {video},class=late,frames=11-20");
    let line = format!("--network gan {data} --labels early,late --size 32x32 --latent 8 --out {to} {QUICK}");
    train(&format!("{line} --steps 2")).unwrap();
    let (card, early) = (out.join("gan.toml"), folder.path().join("early.safetensors"));
    std::fs::copy(out.join("gan.safetensors"), &early).unwrap();
    assert!(matches!(config(&card), Config::Gan(gan) if gan.classes == 2 && gan.size == [32, 32]));
    assert_eq!(builtin::open(card.to_str().unwrap()).unwrap().info.labels.value, ["early", "late"]);
    // A run that is resumed twice ends where one that is resumed once ends. (How a run begins is drawn from the generator of
    // the process, which other tests use meanwhile.)
    let whole = folder.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    for name in ["checkpoint.json", "checkpoint.safetensors"] {
        std::fs::copy(out.join(name), whole.join(name)).unwrap();
    }
    train(&format!("{line} --steps 4 --resume")).unwrap();
    assert_eq!(sheets(&out), 2);
    train(&format!("{line} --steps 6 --resume")).unwrap();
    let at_once = line.replace(&to.to_string(), &whole.display().to_string()).replace("--every 2", "--every 4");
    train(&format!("{at_once} --steps 6 --resume")).unwrap();
    assert!(apart(&early, &out.join("gan.safetensors")) > 1e-4);
    assert!(apart(&whole.join("gan.safetensors"), &out.join("gan.safetensors")) < 1e-5);
}

#[test]
fn a_vae_and_a_vqvae_with_its_sequence_are_trained_and_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (video, out) = (folder.path().join("ball.avi"), folder.path().join("out"));
    clip(&video);
    let line = |network: &str, more: &str| {
        let (video, out) = (video.display(), out.display());
        let data = format!("--data {video},frames=1-14 --val {video},frames=13-20");
        format!("--network {network} {data} --size 64x48 --out {out} {QUICK} --steps 4 {more}")
    };
    train(&line("vae", "--latent 8 --flip mirror")).unwrap();
    assert!(matches!(config(&out.join("vae.toml")), Config::Vae(vae) if vae.latent == 8 && vae.size == [64, 48]));
    train(&line("vqvae", "--codes 16 --cell 16")).unwrap();
    let card = out.join("vqvae.toml");
    assert!(matches!(config(&card), Config::Vqvae(vq) if vq.codes == 16 && vq.grid() == [4, 3]));
    let results = gst_torch_runtime::card::Card::read(&card).unwrap().training.unwrap()["results"].clone();
    assert!(results["psnr"].as_float().is_some_and(|psnr| psnr > 3.0), "{results}");
    assert!(results["perplexity"].as_float().is_some_and(|used| (1.0..=16.0).contains(&used)), "{results}");

    for (kind, channels) in [("transformer", 32), ("lstm", 32)] {
        let more = format!("--pictures {} --kind {kind} --frames 2 --name {kind}", card.display());
        let line = line("sequence", &more).replace("--channels 8", &format!("--channels {channels}"));
        train(&line).unwrap();
        let Config::Sequence(sequence) = config(&out.join(format!("{kind}.toml"))) else { panic!("no sequence") };
        assert_eq!((sequence.pictures.as_str(), sequence.codes, sequence.grid), ("vqvae.toml", 16, [4, 3]));
        let weights = std::fs::read(out.join(format!("{kind}.safetensors"))).unwrap();
        let player = Player::read(&sequence, &weights).unwrap();
        // Beginnings are of the clip, all of them: a ball is somewhere, so that not all places are alike.
        let starts: Vec<_> = (0..40).map(|seed| player.start(seed).codes().to_vec()).collect();
        assert!(starts.iter().any(|codes| codes != &starts[0]));
    }
}

#[test]
fn what_cannot_be_trained_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let (video, out) = (folder.path().join("ball.avi"), folder.path().join("out"));
    clip(&video);
    let line = format!("--data {} --out {} {QUICK} --steps 2", video.display(), out.display());
    for (more, expected) in [
        ("--network gan --size 66x66", "66x66"),
        ("--network gan --labels a", "class=LABEL"),
        ("--network vae --labels a", "--labels is for --network gan"),
        ("--network gan --codes 9", "--codes is for --network vqvae"),
        ("--network vqvae --latent 9", "--latent is for --network gan and vae"),
        ("--network vae --frames 2", "--frames is for --network sequence"),
        ("--network vqvae --cell 7", "cell is 7"),
        ("--network sequence --pictures person", "person is no vqvae"),
    ] {
        let error = format!("{:#}", train(&format!("{line} {more}")).map(|()| "trained").unwrap_err());
        assert!(error.contains(expected), "{more}: {error}");
    }
    assert!(train(&format!("{line} --network sequence")).is_err());
}
