use std::collections::BTreeMap;
use std::path::Path;

use clap::Parser;
use gst::prelude::*;
use gst_torch_models::codec::model::{self, Model};
use gst_torch_models::codec::still;
use safetensors::SafeTensors;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn train(words: &str) -> Result<()> {
    // A network is drawn at random before it is filled.
    let _turn = crate::train::GENERATOR.lock();
    run(Cli::try_parse_from(["codec"].into_iter().chain(words.split(' ')))?.args)
}

/// A clip of 12 frames: rings that run, or a ball before rings that do not.
fn clip(path: &Path, moves: bool) {
    gst::init().unwrap();
    let rings = "videotestsrc num-buffers=12 pattern=zone-plate kx2=8 ky2=8";
    let caps = "video/x-raw,format=I420,width=96,height=64,framerate=10/1";
    let line = if moves {
        format!("{rings} kt=20 ! {caps} ! jpegenc quality=95 ! avimux ! filesink location={}", path.display())
    } else {
        format!(
            "videotestsrc num-buffers=12 pattern=ball ! {caps} ! alpha method=custom target-r=0 target-g=0 target-b=0 ! mix. \
             {rings} ! {caps} ! mix. compositor name=mix sink_1::zorder=0 sink_0::zorder=1 ! videoconvert ! {caps} \
             ! jpegenc quality=95 ! avimux ! filesink location={}",
            path.display()
        )
    };
    let pipeline = gst::parse::launch(&line).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
}

fn tensors(path: &Path) -> Vec<String> {
    contents(&std::fs::read(path).unwrap()).into_keys().collect()
}

/// The bytes of the tensors of a file, by name.
fn contents(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect()
}

const QUICK: &str = "--steps 2 --every 2 --batch-size 1 --cut 32 --length 3 --shots 2 --threads 1";

#[test]
fn all_stages_make_a_model_that_opens_and_is_compared_with_x264() {
    let folder = tempfile::tempdir().unwrap();
    let (video, out) = (folder.path().join("rings.avi"), folder.path().join("out"));
    clip(&video, true);
    train(&format!("--data {0} --val {0} --out {1} --from codec-s {QUICK}", video.display(), out.display())).unwrap();
    let card = out.join("codec.toml");
    let (read, bytes, _) = model::find(card.to_str().unwrap()).unwrap();
    let rates = read.training.unwrap()["bd-rate"].clone();
    if gst::ElementFactory::find("x264enc").is_some() {
        let rate = rates.get("x264-ultrafast").and_then(toml::Value::as_float);
        assert!(rate.is_some_and(|percent| percent.abs() < 2000.0), "{rates:?}");
    }
    let model = Model::open(card.to_str().unwrap(), "cpu".parse().unwrap(), "bf16".parse().unwrap()).unwrap();
    assert!(model.still.is_none());
    // Learnt from, so that it is another model; and it can be learnt from again.
    assert_ne!(bytes, model::find("codec-s").unwrap().1);
    assert!(tensors(&out.join("codec.safetensors")).iter().any(|name| name.starts_with(model::TRAINING)));
}

#[test]
fn a_run_that_stopped_in_its_second_stage_goes_on_there() {
    let folder = tempfile::tempdir().unwrap();
    let (video, out) = (folder.path().join("rings.avi"), folder.path().join("out"));
    clip(&video, true);
    let run = |words: &str| {
        let place = format!("--data {} --out {} --from codec-s --stage intra,inter", video.display(), out.display());
        train(&format!("{place} {}", QUICK.replace("--steps 2", words)))
    };
    let read = || {
        let tensors = contents(&std::fs::read(out.join("codec.safetensors")).unwrap());
        ["intra.", "inter."].map(|stage| {
            let own = tensors.iter().filter(|(name, _)| name.starts_with(stage));
            own.map(|(name, bytes)| (name.clone(), bytes.clone())).collect::<BTreeMap<_, _>>()
        })
    };
    run("--steps 2").unwrap();
    let [intra, inter] = read();
    run("--steps 4 --resume").unwrap();
    let [same, more] = read();
    assert!(same == intra && more != inter);
    assert_eq!(checkpoint::progress(&out).unwrap().unwrap().step, 4);
    let error = run("--steps 4 --seed 9 --resume").unwrap_err();
    assert!(format!("{error:#}").contains("the checkpoint is of another run"), "{error:#}");
}

#[test]
fn a_prior_is_learnt_for_networks_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let (video, out) = (folder.path().join("rings.avi"), folder.path().join("out"));
    clip(&video, true);
    train(&format!("--data {} --out {} --from codec-s --stage prior {QUICK}", video.display(), out.display())).unwrap();
    let before = contents(&model::find("codec-s").unwrap().1);
    let after = contents(&std::fs::read(out.join("codec.safetensors")).unwrap());
    for (name, values) in &before {
        assert_eq!(after.get(name) == Some(values), name != model::PRIOR, "{name}");
    }
}

#[test]
fn of_a_filter_nothing_else_learns() {
    let folder = tempfile::tempdir().unwrap();
    let (video, out) = (folder.path().join("rings.avi"), folder.path().join("out"));
    clip(&video, true);
    let run = |words: &str| {
        train(&format!("--data {} --out {} --part filter {words} {QUICK}", video.display(), out.display()))
    };
    run("--from codec-s --size medium --stage intra,inter").unwrap();
    let before = contents(&model::find("codec-s").unwrap().1);
    let after = contents(&std::fs::read(out.join("codec.safetensors")).unwrap());
    assert!(!before.contains_key("inter.filter.last.weight"));
    let changed = |name: &str| before.get(name) != after.get(name);
    for name in after.keys() {
        // Not all weights change in two steps, but nothing else does at all.
        assert!(name.contains(".filter.") || !changed(name), "{name}");
    }
    assert!(changed("intra.filter.last.weight") && changed("inter.filter.last.weight"), "they learnt nothing");
    let [intra, inter] = ["intra", "inter"].map(|stage| &after[&format!("{stage}.filter.last.weight")]);
    assert!(intra != inter);
    let error = run("--from codec-s --stage inter").unwrap_err();
    assert!(format!("{error:#}").contains("no filter"), "{error:#}");
}

#[test]
fn a_model_that_is_adapted_to_a_camera_that_stands_still_has_its_still() {
    let folder = tempfile::tempdir().unwrap();
    for (name, moves) in [("still", false), ("moving", true)] {
        let (video, out) = (folder.path().join(format!("{name}.avi")), folder.path().join(name));
        clip(&video, moves);
        let line = format!("--adapt {} --out {} --time-limit 0.02 {QUICK}", video.display(), out.display());
        train(&line).unwrap();
        let names = tensors(&out.join("codec.safetensors"));
        assert_eq!(still::TENSORS.iter().all(|tensor| names.iter().any(|n| n == tensor)), !moves, "{name}: {names:?}");
    }
    let card = folder.path().join("still/codec.toml");
    let model = Model::open(card.to_str().unwrap(), "cpu".parse().unwrap(), "bf16".parse().unwrap()).unwrap();
    assert!(model.still((6, 4)).is_some() && model.still((4, 6)).is_none());
}

#[test]
fn data_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = train(&format!("--data /nowhere/clips --out {} {QUICK}", folder.path().display())).unwrap_err();
    assert!(format!("{error:#}").contains("/nowhere/clips"), "{error:#}");
}
