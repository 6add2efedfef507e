//! TorchScript files made for a test: small detectors whose boxes are known beforehand.

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

/// Width and height of the pictures that these networks take.
pub const SIZE: i64 = 64;

/// Traces `forward` for one picture of SIZE x SIZE and saves it as `name` in `folder`.
pub fn save(folder: &Path, name: &str, forward: impl Fn(&Tensor) -> Vec<Tensor>) -> PathBuf {
    let input = Tensor::zeros([1, 3, SIZE, SIZE], (Kind::Float, tch::Device::Cpu));
    let archive = gst_torch_runtime::trace(&input, |x| Ok(forward(x))).expect("it can be traced");
    let path = folder.join(name);
    std::fs::write(&path, archive).expect("the folder is writable");
    let card = format!(
        "task = 'detect'\nlabels = ['thing', 'other']\n[input]\nsize = [{SIZE}, {SIZE}]\n[output]\nlayout = 'ssd'\n"
    );
    std::fs::write(path.with_extension("toml"), card).expect("the folder is writable");
    path
}

/// The corners of the one box. Made before tracing: numbers that come from Rust are not written down by the tracer.
fn right_half() -> Tensor {
    Tensor::from_slice(&[0.5f32, 0.0, 1.0, 1.0]).view([1, 1, 4])
}

/// One box over the right half of the picture, of class `class`, as confident as the picture is bright (0 to 1).
pub fn brightness(folder: &Path, name: &str, class: usize) -> PathBuf {
    let corners = right_half();
    save(folder, name, move |x| {
        let bright = x.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float).view([-1, 1, 1]);
        let none = &bright * 0.0;
        let mut scores = vec![1.0 - &bright, none.shallow_clone(), none.shallow_clone()];
        scores[class + 1] = bright.shallow_clone();
        vec![Tensor::cat(&scores, 2), &corners + none]
    })
}

/// As `brightness`, but a bright picture makes libtorch throw.
pub fn throws_on_bright(folder: &Path, name: &str) -> PathBuf {
    let corners = right_half();
    save(folder, name, move |x| {
        let bright = x.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float).view([-1, 1, 1]);
        let index = (bright.view([-1]) * 1.2).to_kind(Kind::Int64); // 1 for white: out of range of one row
        let row = x.index_select(0, &index).mean(Kind::Float) * 0.0;
        let scores = Tensor::cat(&[1.0 - &bright, bright.shallow_clone(), &bright * 0.0], 2) + row;
        vec![scores, &corners + &bright * 0.0]
    })
}

/// As `brightness`, but it takes its time: `work` products of square matrices of 512.
pub fn slow(folder: &Path, name: &str, work: usize) -> PathBuf {
    let corners = right_half();
    save(folder, name, move |x| {
        let bright = x.mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float).view([-1, 1, 1]);
        let mut load = (x.mean(Kind::Float) * 0.0 + 0.001).expand([512, 512], false).contiguous();
        for _ in 0..work {
            load = load.matmul(&load).tanh();
        }
        let none = &bright * 0.0 + load.mean(Kind::Float) * 0.0;
        let scores = Tensor::cat(&[1.0 - &bright, bright.shallow_clone(), none.shallow_clone()], 2);
        vec![scores, &corners + none]
    })
}

/// Traces a network from pictures to pictures, which runs at any size, and saves it as `name` in `folder`, with a card beside
/// it where `card` is not empty.
pub fn restorer(
    folder: &Path,
    name: &str,
    channels: i64,
    card: &str,
    forward: impl Fn(&Tensor) -> Vec<Tensor>,
) -> PathBuf {
    let input = Tensor::zeros([1, channels, SIZE, SIZE], (Kind::Float, tch::Device::Cpu));
    let archive = gst_torch_runtime::trace(&input, |x| Ok(forward(x))).expect("it can be traced");
    let path = folder.join(name);
    std::fs::write(&path, archive).expect("the folder is writable");
    if !card.is_empty() {
        std::fs::write(path.with_extension("toml"), card).expect("the folder is writable");
    }
    path
}

/// Half as bright.
pub fn halves(folder: &Path, name: &str) -> PathBuf {
    restorer(folder, name, 3, "", |x| vec![x * 0.5])
}

/// Twice as wide and high, each pixel repeated.
pub fn doubles(folder: &Path, name: &str) -> PathBuf {
    restorer(folder, name, 3, "", |x| {
        let spread: Vec<Tensor> = (0..3).flat_map(|c| (0..4).map(move |_| c)).map(|c| x.narrow(1, c, 1)).collect();
        vec![Tensor::cat(&spread, 1).pixel_shuffle(2)]
    })
}

/// The mean of 9 x 9 pixels, what lies outside counting as black.
pub fn blurs(folder: &Path, name: &str) -> PathBuf {
    restorer(folder, name, 3, "", |x| vec![x.avg_pool2d([9, 9], [1, 1], [4, 4], false, true, None::<i64>)])
}

/// Half as bright, and it takes its time, as `slow`.
pub fn slow_restorer(folder: &Path, name: &str, work: usize) -> PathBuf {
    restorer(folder, name, 3, "", move |x| {
        let mut load = (x.mean(Kind::Float) * 0.0 + 0.001).expand([512, 512], false).contiguous();
        for _ in 0..work {
            load = load.matmul(&load).tanh();
        }
        vec![x * 0.5 + load.mean(Kind::Float) * 0.0]
    })
}

/// Traces a decoder from one latent of the sizes `latent`, and saves it as `name` in `folder`, with a card beside it where `card`
/// is not empty.
pub fn decoder(
    folder: &Path,
    name: &str,
    latent: &[i64],
    card: &str,
    forward: impl Fn(&Tensor) -> Vec<Tensor>,
) -> PathBuf {
    let size: Vec<i64> = std::iter::once(1).chain(latent.iter().copied()).collect();
    let input = Tensor::zeros(size, (Kind::Float, tch::Device::Cpu));
    let archive = gst_torch_runtime::trace(&input, |x| Ok(forward(x))).expect("it can be traced");
    let path = folder.join(name);
    std::fs::write(&path, archive).expect("the folder is writable");
    if !card.is_empty() {
        std::fs::write(path.with_extension("toml"), card).expect("the folder is writable");
    }
    path
}

/// Of 8 numbers a grey picture of 32 x 24 of 0 to 1, every pixel another mixture of them.
pub fn mixture(folder: &Path, name: &str) -> PathBuf {
    let weights = (Tensor::arange(8 * 32 * 24, (Kind::Float, tch::Device::Cpu)) * 0.37).sin().view([8, 32 * 24]) * 0.7;
    decoder(folder, name, &[8], "[config]\nlatent = [8]\nsize = [32, 24]\n", move |x| {
        vec![x.matmul(&weights).sigmoid()]
    })
}

/// As `mixture`, and it takes its time: `work` products of square matrices of 512.
pub fn slow_mixture(folder: &Path, name: &str, work: usize) -> PathBuf {
    let weights = (Tensor::arange(8 * 32 * 24, (Kind::Float, tch::Device::Cpu)) * 0.37).sin().view([8, 32 * 24]) * 0.7;
    decoder(folder, name, &[8], "[config]\nlatent = [8]\nsize = [32, 24]\n", move |x| {
        let mut load = (x.mean(Kind::Float) * 0.0 + 0.001).expand([512, 512], false).contiguous();
        for _ in 0..work {
            load = load.matmul(&load).tanh();
        }
        vec![(x.matmul(&weights) + load.mean(Kind::Float) * 0.0).sigmoid()]
    })
}
