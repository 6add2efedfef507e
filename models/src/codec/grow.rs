//! A larger network that begins as a smaller one: it computes the same at first, and what is new learns from there (Chen et
//! al., "Net2Net", 2016).

use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor, nn};

use super::model;

/// Fills the variables of a network from the weights of one that may have fewer channels and blocks, and no filter. New
/// channels keep what they began with, but nothing that was there listens to them yet; new blocks pass on what they get; a new
/// filter adds nothing, but that of inter pictures begins as that of intra pictures, as it hardly learns by itself. Errors name
/// the tensor.
pub fn fill(store: &mut nn::VarStore, bytes: &[u8]) -> Result<(), String> {
    if model::fill(store, bytes).is_ok() {
        return Ok(());
    }
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("the weights are not a safetensors file: {e}"))?;
    let tensor = |name: &str| file.tensor(name).ok().filter(|view| view.dtype() == Dtype::F32);
    for (name, variable) in store.variables() {
        let of_filter = name.contains(".filter.");
        let twin = name.replacen("inter.filter.", "intra.filter.", 1);
        let Some(view) = tensor(&name).or_else(|| tensor(&twin)) else {
            // The second half of a block that was not there: nothing is added to what passes.
            if name.contains(".blocks.") && (name.ends_with(".1.weight") || name.ends_with(".1.bias")) {
                put(&variable, None, &name)?;
            } else if !of_filter && !name.contains(".blocks.") && !name.starts_with(model::TRAINING) {
                return Err(format!("the weights lack the tensor '{name}'"));
            }
            continue;
        };
        let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
        let size = variable.size();
        if shape.len() != size.len() || shape.iter().zip(&size).any(|(small, large)| small > large) {
            return Err(format!("tensor '{name}' is {shape:?} in the weights; expected no more than {size:?}"));
        }
        let values =
            Tensor::f_from_data_size(view.data(), &shape, Kind::Float).map_err(|e| format!("tensor '{name}': {e}"))?;
        put(&variable, Some(&values), &name)?;
    }
    Ok(())
}

/// Puts smaller values into the first corner of a variable and zeros beside them, in the rows that were there; zeros
/// everywhere where there are none.
fn put(variable: &Tensor, values: Option<&Tensor>, name: &str) -> Result<(), String> {
    let put = || -> Result<(), tch::TchError> {
        let _guard = tch::no_grad_guard();
        let Some(values) = values else {
            return variable.shallow_clone().f_zero_().map(|_| ());
        };
        let shape = values.size();
        let mut corner = variable.f_narrow(0, 0, shape[0])?;
        let _ = corner.f_zero_()?;
        for (dimension, &side) in shape.iter().enumerate().skip(1) {
            corner = corner.f_narrow(dimension as i64, 0, side)?;
        }
        corner.f_copy_(values)
    };
    put().map_err(|e| format!("tensor '{name}': {e}"))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::codec::network::{Config, Network};

    fn network(config: Config) -> (nn::VarStore, Network) {
        let store = nn::VarStore::new(Device::Cpu);
        let network = Network::new(&store.root(), config).unwrap();
        (store, network)
    }

    fn bytes(store: &nn::VarStore) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        store.save(&path).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_grown_network_computes_the_same() {
        let (mut small, first) =
            network(Config { synthesis: [16, 1], analysis: [8, 1], intra_filter: None, inter_filter: None });
        // The last layers are zero until they are trained.
        tch::no_grad(|| {
            for (name, mut variable) in small.variables() {
                if name.contains(".last.") {
                    let _ = variable.f_uniform_(-0.2, 0.2).unwrap();
                }
            }
        });
        let (mut large, second) = network(Config { synthesis: [24, 3], analysis: [16, 2], ..Config::MEDIUM });
        fill(&mut large, &bytes(&small)).unwrap();
        let _guard = tch::no_grad_guard();
        let input = Tensor::rand([1, 96, 4, 6], (Kind::Float, Device::Cpu)) * 100.0;
        let index = Tensor::full([1, 1, 4, 6], 60.0, (Kind::Float, Device::Cpu));
        let run = |network: &Network| {
            let stage = &network.inter;
            let steps = stage.steps(&index).unwrap();
            let soft = stage.analyse(&input, &(&input * 0.5), &index, &steps, Kind::Float).unwrap();
            let levels = soft.round();
            (soft, stage.correct(&input.round(), &(&input * 0.5).round(), &levels, &index, Kind::Float).unwrap())
        };
        let ((soft, correction), (same_soft, same_correction)) = (run(&first), run(&second));
        assert!(f64::try_from((&soft - same_soft).abs().max()).unwrap() < 1e-4);
        assert_eq!(correction, same_correction);
        assert!(f64::try_from(correction.abs().max()).unwrap() > 0.0);
        // Two filters from nothing: neither adds anything.
        assert!(large.variables()["inter.filter.last.weight"].abs().max().double_value(&[]) == 0.0);
        // What has the same size is simply filled, and what is larger does not fit.
        let weights = bytes(&small);
        fill(&mut small, &weights).unwrap();
        let error = fill(&mut small, &bytes(&large)).unwrap_err();
        assert!(error.contains("expected no more than"), "{error}");
    }

    #[test]
    fn a_filter_of_inter_pictures_begins_as_that_of_intra_pictures() {
        let config = Config { synthesis: [16, 0], analysis: [8, 0], intra_filter: Some([8, 1]), inter_filter: None };
        let (store, first) = network(config);
        tch::no_grad(|| {
            let last = store.variables().remove("intra.filter.last.weight").unwrap();
            let _ = last.shallow_clone().f_uniform_(-0.3, 0.3).unwrap();
        });
        let (mut larger, second) = network(Config { inter_filter: Some([8, 1]), ..config });
        fill(&mut larger, &bytes(&store)).unwrap();
        let _guard = tch::no_grad_guard();
        let picture = (Tensor::rand([1, 96, 4, 6], (Kind::Float, Device::Cpu)) * 100.0).round();
        let index = Tensor::full([1, 1, 4, 6], 60.0, (Kind::Float, Device::Cpu));
        let correct = |stage: &crate::codec::network::Stage, prediction: &Tensor| {
            stage.filter().unwrap().correct(&picture, prediction, &index, Kind::Float).unwrap()
        };
        let intra = correct(&first.intra, &picture.zeros_like());
        assert_eq!(correct(&second.inter, &picture.flip([3])), intra);
        assert!(f64::try_from(intra.abs().max()).unwrap() > 0.0);
    }
}
