//! Our own kinds of networks, with fresh weights: classes, pictures to begin with, and sequences.

use std::path::PathBuf;

use gst_torch_models::generate::{Config, gan, sequence, vae, vqvae, write_untrained};

use super::*;

pub(super) const RATE: &str = "video/x-raw,format=RGB,framerate=20/1";

pub(super) fn untrained(folder: &Path, name: &str, config: &Config) -> PathBuf {
    let card = folder.join(name);
    write_untrained(config, &card).unwrap();
    card
}

/// A VQ-VAE, and the sequence model of its codes.
pub(super) fn sequence(folder: &Path, kind: sequence::Kind) -> PathBuf {
    let pictures = vqvae::Config { codes: 16, width: 8, channels: 8, ..vqvae::Config::new([64, 32]) };
    let (grid, codes) = (pictures.grid(), pictures.codes);
    untrained(folder, "pictures.toml", &Config::Vqvae(pictures));
    let config = sequence::Config {
        frames: 2,
        embedding: 8,
        channels: 32,
        blocks: 1,
        starts: 2,
        ..sequence::Config::new("pictures.toml", grid, codes, kind)
    };
    untrained(folder, "sequence.toml", &Config::Sequence(config))
}

pub(super) fn photo(folder: &Path, name: &str, level: u8) -> PathBuf {
    let path = folder.join(name);
    let line = format!(
        "videotestsrc num-buffers=1 pattern={} ! video/x-raw,format=RGB,width=160,height=90 ! pngenc ! filesink location={}",
        if level > 0 { "smpte" } else { "ball" },
        path.display()
    );
    common::play_to_end(&launch(&line));
    path
}

#[test]
fn a_sequence_goes_on_and_seeks_show_what_it_would_have_drawn() {
    let folder = tempfile::tempdir().unwrap();
    for kind in [sequence::Kind::Transformer, sequence::Kind::Lstm] {
        let card = sequence(folder.path(), kind);
        let settings = format!("{} seed=3", model(&card));
        let source = Source::play(&settings, RATE);
        let played = source.frames(90);
        assert!(played.windows(2).all(|pair| pair[0] != pair[1]), "{kind:?}");
        // Across snapshots, back and forth.
        for frame in [70usize, 64, 5, 89, 0] {
            source.seek(frame as u64 * 50 + 10);
            let sample = source.pull();
            assert_eq!(sample.buffer().unwrap().offset(), frame as u64);
            assert!(pixels(&sample) == played[frame], "{kind:?}: frame {frame}");
        }
        assert!(frames(&settings, RATE, 20) == played[..20]);
        assert!(frames(&format!("{} seed=4", model(&card)), RATE, 20)[10..] != played[10..20]);
        let made_by = gsttorch::provenance::get(source.pull().buffer().unwrap()).unwrap();
        assert_eq!((made_by.codes.len(), made_by.latent.len()), (8 * 4, 0));
    }
}

#[test]
fn a_sequence_begins_with_a_picture_and_its_temperature_may_change() {
    let folder = tempfile::tempdir().unwrap();
    let card = sequence(folder.path(), sequence::Kind::Transformer);
    let (photo, other) = (photo(folder.path(), "photo.png", 1), photo(folder.path(), "other.png", 0));
    let settings = |mode: &str| format!("{} watermark=false start-picture={} {mode}", model(&card), photo.display());
    let still = frames(&settings("mode=reconstruct"), RATE, 3);
    assert!(still[0] == still[1] && still[1] == still[2]);
    let onward = frames(&settings(""), RATE, 10);
    assert!(onward[0] == still[0] && onward[9] != still[0], "it begins with the picture, and goes on");
    let other = frames(&format!("{} watermark=false start-picture={}", model(&card), other.display()), RATE, 1);
    assert!(other[0] != onward[0]);

    let source = Source::play(&settings("truncation=0"), RATE);
    source.frames(10);
    source.element.set_property("truncation", 2.0);
    source.frames(10);
    source.seek(0);
    assert!(pixels(&source.pull()) == still[0]);
}

#[test]
fn a_vae_shows_pictures_leaves_them_and_morphs_between_two() {
    let folder = tempfile::tempdir().unwrap();
    let config = vae::Config { latent: 16, channels: 8, ..vae::Config::new([64, 32]) };
    let card = untrained(folder.path(), "vae.toml", &Config::Vae(config));
    let (one, two) = (photo(folder.path(), "one.png", 1), photo(folder.path(), "two.png", 0));
    let morph = format!(
        "{} mode=reconstruct walk-speed=1 watermark=false start-picture={} end-picture={}",
        model(&card),
        one.display(),
        two.display()
    );
    let there_and_back = frames(&morph, RATE, 41);
    assert!(there_and_back[0] == there_and_back[40] && there_and_back[0] != there_and_back[20]);
    let single = |path: &Path| {
        let settings = format!("{} mode=reconstruct watermark=false start-picture={}", model(&card), path.display());
        frames(&settings, RATE, 1).remove(0)
    };
    assert!(there_and_back[0] == single(&one) && there_and_back[20] == single(&two));
    let walk = frames(&format!("{} watermark=false start-picture={}", model(&card), one.display()), RATE, 41);
    assert!(walk[0] == there_and_back[0] && walk[40] != walk[0]);

    // While it plays, another picture.
    let source = Source::play(
        &format!("{} mode=reconstruct watermark=false start-picture={}", model(&card), one.display()),
        RATE,
    );
    source.frames(3);
    source.element.set_property("start-picture", two.to_str().unwrap());
    // It is loaded beside the frames that go on, which takes its time on a busy machine.
    let asked = std::time::Instant::now();
    while pixels(&source.pull()) != there_and_back[20] {
        assert!(asked.elapsed().as_secs() < 60, "the other picture is never shown");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn classes_are_shown_and_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let config = gan::Config { classes: 3, ..gan::Config::new([32, 32]) };
    let card = untrained(folder.path(), "gan.toml", &Config::Gan(config));
    let shown = |class: f64| frames(&format!("{} mode=fixed class={class}", model(&card)), RATE, 1).remove(0);
    let pure = [shown(0.0), shown(1.0), shown(2.0)];
    assert!(pure[0] != pure[1] && pure[1] != pure[2] && shown(1.5) != pure[1]);
    assert!(shown(9.0) == pure[2], "the last class, beyond them");
    let source = Source::play(&format!("{} class=1.25", model(&card)), RATE);
    let made_by = gsttorch::provenance::get(source.pull().buffer().unwrap()).unwrap();
    assert_eq!((made_by.class(), made_by.classes.len()), (Some(1.25), 3));
}
