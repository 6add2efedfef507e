use gst_torch_runtime::PrecisionSpec;
use tch::{CModule, Device, Kind, Tensor, nn};

use super::*;
use crate::builtin;

/// One small model of each kind.
fn configs() -> [Config; 6] {
    let pictures = "pictures.toml";
    let sequence = |kind| sequence::Config {
        embedding: 8,
        channels: 32,
        blocks: 1,
        starts: 2,
        ..sequence::Config::new(pictures, [4, 3], 16, kind)
    };
    [
        Config::Gan(gan::Config { latent: 8, channels: 4, ..gan::Config::new([32, 32]) }),
        Config::Gan(gan::Config { latent: 8, channels: 4, classes: 3, colours: 1, size: [48, 24] }),
        Config::Vae(vae::Config { latent: 8, channels: 4, ..vae::Config::new([32, 24]) }),
        Config::Vqvae(vqvae::Config { codes: 16, width: 8, channels: 4, ..vqvae::Config::new([32, 24]) }),
        Config::Sequence(sequence(sequence::Kind::Transformer)),
        Config::Sequence(sequence(sequence::Kind::Lstm)),
    ]
}

#[test]
fn an_untrained_model_opens_by_its_card_and_runs_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    for (index, config) in configs().into_iter().enumerate() {
        let card = folder.path().join(format!("{index}.toml"));
        write_untrained(&config, &card).unwrap();
        let file = builtin::open(card.to_str().unwrap()).unwrap();
        assert_eq!(file.info.task.value.as_deref(), Some(TASK));
        assert_eq!(Config::of(&file.info).unwrap().unwrap(), config);
        let model = file.load("cpu".parse().unwrap(), PrecisionSpec::Auto).unwrap();
        let run = |[channels, height, width]: [i64; 3]| {
            let input = Tensor::rand([1, channels, height, width], (Kind::Float, Device::Cpu));
            model.try_on(input).unwrap().outputs[0].1.shallow_clone()
        };
        let made = run(config.input());
        if let Some([colours, height, width]) = config.picture() {
            assert_eq!(made.size(), [1, colours, height, width]);
            assert!(made.min().double_value(&[]) >= 0.0 && made.max().double_value(&[]) <= 1.0);
        }
        if config.encodes() {
            let [channels, height, width] = config.input();
            assert_eq!(run(config.picture().unwrap()).size(), [1, channels, height, width]);
        }
    }
}

#[test]
fn what_is_traced_is_what_is_computed() {
    for config in configs() {
        let mut store = nn::VarStore::new(Device::Cpu);
        let net = config.build(&store.root()).unwrap();
        store.freeze();
        let [channels, height, width] = config.input();
        let mut shapes = vec![[channels, height, width]];
        shapes.extend(config.picture().filter(|_| config.encodes()));
        for [channels, height, width] in shapes {
            let x = Tensor::randn([2, channels, height, width], (Kind::Float, Device::Cpu));
            let archive = gst_torch_runtime::trace(&x, |x| Ok(vec![net.forward(x)?])).unwrap();
            let traced = CModule::load_data(&mut archive.as_slice()).unwrap();
            let other = x.flip([0]) * 0.5;
            let apart = traced.forward_ts(&[&other]).unwrap() - net.forward(&other).unwrap();
            assert!(apart.abs().max().double_value(&[]) < 1e-4, "{}", config.network());
        }
    }
}

#[test]
fn configs_that_make_no_network_say_what_was_expected() {
    for (network, text, expected) in [
        ("gan", "size = [64, 64]\nlatent = 0\nchannels = 16", "latent is 0; expected 1 to 1024"),
        ("gan", "size = [66, 66]\nlatent = 8\nchannels = 16", "66x66; expected 3 to 16 doubled"),
        ("gan", "size = [64, 64]\nlatent = 8\nchannels = 16\ncolours = 2", "colours is 2; expected 1 or 3"),
        ("vae", "size = [8, 64]\nlatent = 8\nchannels = 16", "8x64; expected 16x16"),
        ("vqvae", "size = [64, 60]\ncell = 8\ncodes = 16\nwidth = 8\nchannels = 8", "multiples of cell, 8"),
        ("vqvae", "size = [64, 64]\ncell = 5\ncodes = 16\nwidth = 8\nchannels = 8", "expected 4, 8 or 16"),
        ("vqvae", "size = [64, 64]", "[config]: missing field"),
    ] {
        let error = Config::read(network, &toml::from_str(text).unwrap()).unwrap().unwrap_err();
        assert!(error.contains(expected), "{network}: {error}");
    }
    assert!(Config::read("detect", &toml::Table::new()).is_none());
    let error = builtin::networks("diffusion", &toml::Table::new(), Vec::new()).err().unwrap();
    assert!(error.contains("vqvae, sequence"), "{error}");
}

#[test]
fn every_layer_of_every_network_learns() {
    for config in configs() {
        let store = nn::VarStore::new(Device::Cpu);
        let net = config.build(&store.root()).unwrap();
        let [channels, height, width] = config.input();
        let x = Tensor::randn([2, channels, height, width], (Kind::Float, Device::Cpu));
        let mut loss = net.forward(&x).unwrap().square().mean(Kind::Float);
        if let Some([colours, height, width]) = config.picture().filter(|_| config.encodes()) {
            let pictures = Tensor::rand([2, colours, height, width], (Kind::Float, Device::Cpu));
            loss += net.forward(&pictures).unwrap().square().mean(Kind::Float);
        }
        loss.backward();
        for (name, variable) in store.variables() {
            if variable.requires_grad() {
                let gradient = variable.grad();
                assert!(gradient.defined() && gradient.abs().sum(Kind::Float).double_value(&[]) > 0.0, "{name}");
            }
        }
    }
}

#[test]
fn a_card_names_its_pictures_from_where_it_lies() {
    assert_eq!(beside("models/a.toml", "b.toml"), "models/b.toml");
    assert_eq!(beside("a.toml", "b.toml"), "b.toml");
    assert_eq!(beside("models/a.toml", "/b.toml"), "/b.toml");
    assert_eq!(beside("models/a.toml", "person"), "person");
}
