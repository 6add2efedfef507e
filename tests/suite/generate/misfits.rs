//! Settings that do not fit the model, or each other: refused at the start, and while playing told while the stream goes on.

use gst_torch_models::generate::provenance::Provenance;
use gst_torch_models::generate::{Config, gan};

use super::ours::{RATE, photo, sequence, untrained};
use super::*;
use crate::scripted;

fn warning(source: &Source) -> String {
    let wanted = [gst::MessageType::Warning, gst::MessageType::Error];
    let bus = source.pipeline.bus().unwrap();
    // An appsink holds frames back, so that it may be told only when they are pulled.
    for _ in 0..600 {
        if let Some(message) = bus.timed_pop_filtered(gst::ClockTime::from_mseconds(50), &wanted) {
            let gst::MessageView::Warning(warning) = message.view() else { panic!("{message:?}") };
            return format!("{} {}", warning.error(), warning.debug().unwrap_or_default());
        }
        source.pull();
    }
    panic!("nothing was said");
}

fn made_by(source: &Source) -> Provenance {
    gsttorch::provenance::get(source.pull().buffer().unwrap()).unwrap()
}

/// Frames until one is made of codes, or is not.
fn until(source: &Source, of_codes: bool) -> Provenance {
    for _ in 0..3000 {
        let made_by = made_by(source);
        if made_by.codes.is_empty() != of_codes {
            return made_by;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the other model never takes over: {}", source.error());
}

#[test]
fn a_mode_that_does_not_fit_is_told_and_the_one_before_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = scripted::mixture(folder.path(), "mixture.pt");
    let source = Source::play(&format!("{} mode=noise", model(&path)), RATE);
    source.frames(3);
    source.element.set_property_from_str("mode", "sequence");
    let said = warning(&source);
    for part in ["mixture.pt", "mode=sequence", "mode=auto, walk, noise or fixed was expected", "mode=noise goes on"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let noise = source.frames(8);
    assert!(noise.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(source.pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Warning]).is_none(), "once is enough");
    source.element.set_property_from_str("mode", "fixed");
    let fixed = source.frames(12);
    assert!(fixed[10] == fixed[11]);
}

#[test]
fn mode_and_model_that_are_set_together_are_judged_together() {
    let folder = tempfile::tempdir().unwrap();
    let mixture = scripted::mixture(folder.path(), "mixture.pt");
    let sequence = sequence(folder.path(), gst_torch_models::generate::sequence::Kind::Lstm);
    // Live, as a sequence then begins where it takes over, however long loading takes.
    let source = Source::play(&format!("{} mode=walk is-live=true", model(&mixture)), RATE);
    source.frames(20);
    source.element.set_property("model-file", sequence.to_str().unwrap());
    source.element.set_property_from_str("mode", "sequence");
    assert!(until(&source, true).frame < 10);
    // And back.
    source.element.set_property("model-file", mixture.to_str().unwrap());
    source.element.set_property_from_str("mode", "walk");
    until(&source, false);
    let messages = source.pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Warning, gst::MessageType::Error]);
    assert!(messages.is_none(), "{messages:?}");
    // Only the model: it waits until the mode fits it.
    source.element.set_property("model-file", sequence.to_str().unwrap());
    let said = warning(&source);
    for part in
        ["sequence.toml", "mode=walk", "mode=auto, noise, fixed, sequence or", "until mode is set to one of these"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!((0..5).all(|_| made_by(&source).codes.is_empty()));
    source.element.set_property_from_str("mode", "auto");
    until(&source, true);
}

#[test]
fn values_that_mean_nothing_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = gan::Config { classes: 2, ..gan::Config::new([32, 32]) };
    let card = untrained(folder.path(), "gan.toml", &Config::Gan(config));
    let source = Source::play(&format!("{} class=7", model(&card)), RATE);
    let said = warning(&source);
    assert!(said.contains("gan.toml") && said.contains("class=7: 0 to 1 was expected"), "{said}");
    source.element.set_property("latent", gst::Array::new([0.25, 1e308]));
    let said = warning(&source);
    assert!(said.contains("latent") && said.contains("number of a latent") && said.contains("1000000"), "{said}");

    let photo = photo(folder.path(), "photo.png", 1);
    let said = refusal(&format!("end-picture={}", photo.display()));
    assert!(said.contains("photo.png") && said.contains("no start-picture"), "{said}");
    for (settings, expected) in [
        ("model-file=scene-vq mode=sequence", "mode=reconstruct with a start-picture was expected"),
        ("model-file=scene mode=walk", "mode=auto, noise, fixed, sequence or reconstruct with a start-picture"),
    ] {
        let said = refusal(settings);
        assert!(said.contains(expected), "{said}");
    }
}
