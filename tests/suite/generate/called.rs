//! Models that are run in another way than by `forward` and one input.

use std::path::{Path, PathBuf};

use gst_torch_runtime::Origin;
use tch::{CModule, Device, Kind, Tensor};

use super::{Source, frames, model, refusal};
use crate::common;

const GREY: &str = "video/x-raw,format=GRAY8";

/// A network of one method, and a card that says how it is called.
fn save(
    folder: &Path,
    name: &str,
    method: &str,
    inputs: &[Tensor],
    card: &str,
    mut run: impl FnMut(&[Tensor]) -> Tensor,
) -> PathBuf {
    common::init();
    let module = CModule::create_by_tracing("net", method, inputs, &mut |x: &[Tensor]| vec![run(x)]).unwrap();
    module.save(folder.join(name).with_extension("pt")).unwrap();
    let path = folder.join(name).with_extension("toml");
    std::fs::write(&path, format!("weights = '{name}.pt'\n{card}")).unwrap();
    path
}

fn zeros(size: &[i64]) -> Tensor {
    Tensor::zeros(size, (Kind::Float, Device::Cpu))
}

/// A picture of 16x16 that is `level` all over.
fn flat(level: Tensor) -> Tensor {
    level.view([-1, 1, 1, 1]).expand([-1, 1, 16, 16], false).contiguous()
}

/// The levels of the first pixels of a frame for each setting.
fn levels(path: &Path, settings: &[String]) -> Vec<u8> {
    let shown = |setting: &String| {
        let fixed = "mode=fixed watermark=false value-range=unit";
        frames(&format!("{} {fixed} {setting}", model(path)), GREY, 1).remove(0)[0]
    };
    settings.iter().map(shown).collect()
}

#[test]
fn a_decoder_that_is_a_method_of_a_whole_autoencoder() {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, call: &str| {
        save(folder.path(), name, "decode", &[zeros(&[1, 6])], call, |x| {
            flat(x[0].mean_dim([1i64].as_slice(), false, Kind::Float))
        })
    };
    let path = save("vae", "call = '(x, model.decode(x * torch.ones(x.size(0), 1)))[1]'\n[config]\nlatent = [6]\n");
    let latent = |level: f64| format!("latent=\"<{}>\"", [level; 6].map(|v| v.to_string()).join(","));
    assert_eq!(levels(&path, &[latent(0.2), latent(0.6)]), [51, 153]);
    let file = gst_torch_models::builtin::open(path.to_str().unwrap()).unwrap();
    let said = file.info.call;
    assert!(said.value.is_some_and(|call| call.contains("model.decode")) && said.origin == Origin::Card);

    // Nobody says how it is called, or wrongly.
    let error = refusal(&model(&save("silent", "")));
    assert!(error.contains("silent") && error.contains("decode") && error.contains("call"), "{error}");
    let error = refusal(&model(&save("wrong", "call = 'model.encode(x)'\n")));
    assert!(error.contains("wrong.toml") && error.contains("model.encode(x)"), "{error}");
    let error = refusal(&model(&save("nonsense", "call = 'model.decode('\n")));
    assert!(error.contains("nonsense.toml") && error.contains("model.decode("), "{error}");
    let error = refusal(&model(&save("unnamed", "call = 'model(x)'\n")));
    assert!(error.contains("unnamed.toml") && error.contains("model.forward(x)"), "{error}");
    let error = refusal(&model(&save("ours", "call = 'model.decode(x)'\nnetwork = 'vae'\n")));
    assert!(error.contains("ours.toml") && error.contains("only TorchScript"), "{error}");
    let error = refusal(&model(&save("lines", "call = \"x\\n    import os\"\n")));
    assert!(error.contains("lines.toml") && error.contains("one line"), "{error}");
}

#[test]
fn networks_that_take_a_class_beside_the_latent() {
    let folder = tempfile::tempdir().unwrap();
    // Weights of classes, as many conditional networks take them.
    let shades = Tensor::from_slice(&[0.1f32, 0.4, 0.8]);
    let config = "[config]\nlatent = [7]\nclasses = 3\n";
    let inputs = [zeros(&[1, 4]), zeros(&[1, 3])];
    let call = format!("call = 'model.forward(x[:, :4], x[:, 4:])'\n{config}");
    let weighed = save(folder.path(), "weighed", "forward", &inputs, &call, |x| {
        flat(x[1].matmul(&shades.view([3, 1])) + x[0].mean_dim([1i64].as_slice(), true, Kind::Float) * 0.0)
    });
    let class = |class: f64| format!("class={class}");
    assert_eq!(levels(&weighed, &[class(0.0), class(1.0), class(2.0), class(1.5)]), [26, 102, 204, 153]);
    let source = Source::play(&format!("{} class=1", model(&weighed)), GREY);
    let made_by = gsttorch::provenance::get(source.pull().buffer().unwrap()).unwrap();
    assert_eq!((made_by.latent.len(), made_by.classes.as_slice()), (4, [0.0, 1.0, 0.0].as_slice()));

    // The number of the class, as those with an embedding do.
    let inputs = [zeros(&[1, 4]), Tensor::zeros([1], (Kind::Int64, Device::Cpu))];
    let call = format!("call = 'model.forward(x[:, :4], x[:, 4:].argmax(1))'\n{config}");
    let numbered = save(folder.path(), "numbered", "forward", &inputs, &call, |x| {
        flat(shades.index_select(0, &x[1]) + x[0].mean_dim([1i64].as_slice(), false, Kind::Float) * 0.0)
    });
    assert_eq!(levels(&numbered, &[class(0.0), class(1.0), class(2.0)]), [26, 102, 204]);

    let call = "call = 'model.forward(x[:, :4], x[:, 4:])'\n[config]\nlatent = [7]\nclasses = 7\n";
    let inputs = [zeros(&[1, 4]), zeros(&[1, 3])];
    let path = save(folder.path(), "classes", "forward", &inputs, call, |x| {
        flat(x[1].sum(Kind::Float) + x[0].sum(Kind::Float))
    });
    let error = refusal(&model(&path));
    assert!(error.contains("7 numbers") && error.contains("7 classes"), "{error}");
}
