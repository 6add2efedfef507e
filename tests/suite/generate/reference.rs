//! Users' generators give the pictures that their authors' code gives: tests/reference/generators.py made the networks, the
//! latents and the pictures. The weights of the MNIST GAN are real ones, of ../shared/data, and not in the repository.

use tch::Tensor;

use super::*;
use crate::scripted;

struct Reference {
    latents: Vec<Vec<f64>>,
    pictures: Vec<Vec<u8>>,
    format: &'static str,
}

fn reference(name: &str) -> Reference {
    let folder = common::root().join("tests/reference/expected");
    let read = |file: String| std::fs::read(folder.join(file)).expect("it is in the repository");
    let facts: serde_json::Value = serde_json::from_slice(&read(format!("{name}.json"))).unwrap();
    let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
    let channels = number(&facts["channels"]);
    let bytes = number(&facts["size"][0]) * number(&facts["size"][1]) * channels;
    let numbers = |latent: &serde_json::Value| -> Vec<f64> {
        latent.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    Reference {
        latents: facts["latents"].as_array().unwrap().iter().map(numbers).collect(),
        pictures: read(format!("{name}.bytes")).chunks(bytes).map(<[u8]>::to_vec).collect(),
        format: if channels == 1 { "GRAY8" } else { "RGB" },
    }
}

/// No more than a level beside the picture of each latent, whose size nobody says; and the property may change while playing.
fn compare(path: &Path, reference: &Reference) {
    let settings = format!("{} mode=fixed watermark=false precision=fp32", model(path));
    let source = Source::paused(&settings, &format!("video/x-raw,format={}", reference.format));
    assert!(reference.pictures.len() >= 4 && reference.pictures.len() == reference.latents.len());
    for (latent, picture) in reference.latents.iter().zip(&reference.pictures) {
        assert!(picture.iter().any(|v| *v > 150) && picture.iter().any(|v| *v < 60), "it shows something");
        source.element.set_property("latent", gst::Array::new(latent));
        source.seek(0);
        let got = pixels(&source.sink.try_pull_preroll(gst::ClockTime::from_seconds(30)).unwrap());
        assert_eq!(got.len(), picture.len(), "the size is the network's own");
        assert!(largest_difference(&got, picture) <= 1, "{}: {}", path.display(), largest_difference(&got, picture));
        let same = got.iter().zip(picture).filter(|(a, b)| a == b).count();
        assert!(same as f64 > 0.99 * got.len() as f64, "{}: {same} of {}", path.display(), got.len());
    }
}

#[test]
fn a_dcgan_a_vae_and_an_autoencoder_give_the_pictures_of_their_own_code() {
    for name in ["dcgan", "vae"] {
        compare(&common::root().join(format!("tests/reference/models/{name}.pt")), &reference(name));
    }
    // Its latents have a width and a height that nothing but a card can say.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("autoencoder.pt");
    std::fs::copy(common::root().join("tests/reference/models/autoencoder.pt"), &path).unwrap();
    std::fs::write(path.with_extension("toml"), "task = 'generate'\n[config]\nlatent = [8, 16, 16]\nrange = 'unit'\n")
        .unwrap();
    compare(&path, &reference("autoencoder"));
}

#[test]
fn the_sides_of_a_latent_are_seen_by_its_length() {
    let reference = reference("autoencoder");
    let path = common::root().join("tests/reference/models/autoencoder.pt");
    let latent: Vec<String> = reference.latents[1].iter().map(f64::to_string).collect();
    let settings = format!(
        "{} mode=fixed watermark=false precision=fp32 value-range=unit latent=\"<{}>\"",
        model(&path),
        latent.join(",")
    );
    let got = frames(&settings, "video/x-raw,format=RGB", 1).remove(0);
    assert_eq!(got.len(), reference.pictures[1].len());
    assert!(largest_difference(&got, &reference.pictures[1]) <= 1);
}

#[test]
fn the_real_mnist_gan_draws_its_digits() {
    let Some(checkpoint) = common::data("csinva-gan-vae/mnist_gan_mlp/weights/G--300.ckpt") else { return };
    let tensors = legacy_checkpoint(&std::fs::read(checkpoint).unwrap());
    let sizes: Vec<usize> = tensors.iter().map(Vec::len).collect();
    assert_eq!(sizes, [256 * 64, 256, 256 * 256, 256, 784 * 256, 784]);
    let tensor = |index: usize, size: &[i64]| Tensor::from_slice(&tensors[index]).view(size);
    let weights = [tensor(0, &[256, 64]), tensor(2, &[256, 256]), tensor(4, &[784, 256])];
    let biases = [1, 3, 5].map(|index| tensor(index, &[-1]));
    let folder = tempfile::tempdir().unwrap();
    // Traced, weights are constants that nothing lists: the length of the latent is found among usual ones.
    let path = scripted::decoder(folder.path(), "mnist.pt", &[64], "", |x| {
        let mut x = x.shallow_clone();
        for layer in 0..3 {
            x = x.linear(&weights[layer], Some(&biases[layer]));
            x = if layer < 2 { x.relu() } else { x.tanh() };
        }
        vec![x]
    });
    compare(&path, &reference("gan-mlp"));
}

#[test]
fn a_vae_from_the_shape_of_its_weights_alone() {
    let vae = common::root().join("tests/reference/models/vae.pt");
    let source = Source::play(&model(&vae), "video/x-raw,format=GRAY8");
    let sample = source.pull();
    let made_by = gsttorch::provenance::get(sample.buffer().unwrap()).unwrap();
    assert_eq!((made_by.latent.len(), pixels(&sample).len()), (20, 28 * 28));
}

/// The storages of a checkpoint that `torch.save` wrote before PyTorch 1.6, in the order in which tensors name them: five pickles,
/// the last of which lists the keys of the storages, and then each as a count and numbers of fp32.
fn legacy_checkpoint(bytes: &[u8]) -> Vec<Vec<f32>> {
    // The list is the last thing before the storages: `]`, marks, strings with their lengths, and an end.
    let sizes = [256 * 64, 256, 256 * 256, 256, 784 * 256, 784usize];
    let data: usize = sizes.iter().map(|count| 8 + 4 * count).sum();
    let (head, storages) = bytes.split_at(bytes.len() - data);
    let list = head.windows(2).rposition(|pair| pair == b"\x80\x02").expect("a pickle");
    let (objects, mut list) = head.split_at(list);
    let mut keys = Vec::new();
    while let Some(at) = list.iter().position(|byte| *byte == b'X') {
        let length = u32::from_le_bytes(list[at + 1..at + 5].try_into().unwrap()) as usize;
        keys.push(&list[at + 5..at + 5 + length]);
        list = &list[at + 5 + length..];
    }
    assert_eq!(keys.len(), sizes.len());
    let mut rest = storages;
    let mut found: Vec<(usize, Vec<f32>)> = Vec::new();
    for key in keys {
        let count = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let numbers = rest[8..8 + 4 * count].chunks(4).map(|v| f32::from_le_bytes(v.try_into().unwrap())).collect();
        let place = objects.windows(key.len()).position(|window| window == key).expect("a tensor names it");
        found.push((place, numbers));
        rest = &rest[8 + 4 * count..];
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, numbers)| numbers).collect()
}
