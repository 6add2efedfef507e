//! Where bits go between luma and chroma, settled after training: gradients move the gains too slowly for it.

use std::path::Path;

use anyhow::{Context, Result};
use gst_torch_models::codec::symbols::CHROMA;
use tch::Tensor;

/// Gains of intra and of inter pictures, `(anchors, latents)`: binary logarithms that multiply the steps.
const GAINS: [&str; 2] = ["intra.gains", "inter.gains"];

/// Makes the steps of chroma smaller in the weights at `path`, by so many octaves in intra and in inter pictures.
pub fn refine(path: &Path, octaves: [f64; 2]) -> Result<()> {
    let mut tensors = Tensor::read_safetensors(path).with_context(|| path.display().to_string())?;
    let _guard = tch::no_grad_guard();
    for (name, octaves) in GAINS.iter().zip(octaves) {
        let (_, gains) = tensors.iter_mut().find(|(n, _)| n == name).with_context(|| format!("no tensor {name}"))?;
        let first = CHROMA[0] as i64;
        let _ = gains.f_narrow(1, first, gains.size()[1] - first)?.f_sub_scalar_(octaves)?;
    }
    Tensor::write_safetensors(&tensors, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_steps_of_chroma_change() {
        let file = tempfile::NamedTempFile::with_suffix(".safetensors").unwrap();
        let gains = |value: f64| Tensor::full([5, 96], value, (tch::Kind::Float, tch::Device::Cpu));
        let all = [("inter.gains", gains(0.5)), ("intra.gains", gains(0.0)), ("intra.forward", gains(9.0))];
        Tensor::write_safetensors(&all, file.path()).unwrap();
        refine(file.path(), [0.25, -1.0]).unwrap();
        let read = Tensor::read_safetensors(file.path()).unwrap();
        let at = |name: &str, latent: i64| read.iter().find(|(n, _)| n == name).unwrap().1.double_value(&[4, latent]);
        assert_eq!([at("intra.gains", 63), at("intra.gains", 64), at("intra.gains", 95)], [0.0, -0.25, -0.25]);
        assert_eq!([at("inter.gains", 63), at("inter.gains", 64), at("intra.forward", 64)], [0.5, 1.5, 9.0]);
        assert!(refine(Path::new("/nowhere.safetensors"), [0.0; 2]).is_err());
    }
}
