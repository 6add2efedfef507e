//! The networks by task, a file each.

mod backbone;
pub mod curve;
mod filter;
mod upscale;

use safetensors::SafeTensors;
use tch::nn::{Path, VarStore};
use tch::{Kind as Precision, TchError, Tensor};

pub use backbone::MEANS;

use super::{Config, Task};

/// A network with its weights, which live in the `VarStore` it was built in.
pub struct RestoreNet(Kind);

enum Kind {
    Filter(filter::Filter),
    Upscale(upscale::Upscale),
    Curve(curve::Curve),
}

impl RestoreNet {
    /// Builds the network under `path` with fresh weights: with these it gives the picture as it came, or enlarged plainly.
    ///
    /// # Errors
    /// When `config` makes no network, or libtorch cannot allocate.
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let config = config.checked().map_err(TchError::Shape)?;
        Ok(RestoreNet(match config.task {
            Task::Denoise | Task::Deblock | Task::Deblur => Kind::Filter(filter::Filter::new(path, &config)?),
            Task::SuperResolution => Kind::Upscale(upscale::Upscale::new(path, &config)?),
            Task::LowLight => Kind::Curve(curve::Curve::new(path, &config)?),
        }))
    }

    /// The restored samples, see [`super`]; computed in the precision of `x`.
    ///
    /// # Errors
    /// When `x` is not `(N, Config::inputs(), h, w)` floating point on the device of the weights.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match &self.0 {
            Kind::Filter(net) => net.forward(x),
            Kind::Upscale(net) => net.forward(x),
            Kind::Curve(net) => net.forward(x),
        }
    }
}

/// Copies from safetensors bytes what fits into the network of `store`, and says how many tensors did. Of more residual blocks
/// than it has, those before the last are left out: what follows the blocks was learnt with the last.
///
/// # Errors
/// When nothing fits, or the bytes are no weights.
pub fn warm_start(store: &mut VarStore, bytes: &[u8]) -> Result<usize, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("the weights are not a safetensors file: {e}"))?;
    let read = |name: &str| -> Result<Option<Tensor>, String> {
        let Ok(view) = file.tensor(name) else { return Ok(None) };
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(format!("tensor '{name}' is of type {:?}; expected F32", view.dtype()));
        }
        let shape: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
        let values = Tensor::f_from_data_size(view.data(), &shape, Precision::Float);
        values.map(Some).map_err(|e| format!("tensor '{name}': {e}"))
    };
    let variables = store.variables();
    let (own, given) = (last_block(variables.keys()), last_block(file.names()));
    let mut taken = 0;
    for (name, mut variable) in variables {
        let source = match (own, given) {
            (Some(own), Some(given)) if own < given => name.replacen(&prefix(own), &prefix(given), 1),
            _ => name.clone(),
        };
        let Some(values) = read(&source)? else { continue };
        if values.size() == variable.size() {
            tch::no_grad(|| variable.f_copy_(&values)).map_err(|e| format!("tensor '{name}': {e}"))?;
            taken += 1;
        }
    }
    if taken == 0 {
        return Err("no tensor of the weights fits this network".into());
    }
    Ok(taken)
}

fn prefix(block: usize) -> String {
    format!("blocks.{block}.")
}

fn last_block<'a>(names: impl IntoIterator<Item = impl AsRef<str> + 'a>) -> Option<usize> {
    let block = |name: &str| name.strip_prefix("blocks.")?.split('.').next()?.parse().ok();
    names.into_iter().filter_map(|name| block(name.as_ref())).max()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, nn};

    use super::*;

    fn nets() -> Vec<(Config, RestoreNet, VarStore)> {
        let configs = Task::ALL.map(|task| Config { channels: 8, blocks: 2, ..Config::of(task, 2) });
        let build = |config: Config| {
            let store = VarStore::new(Device::Cpu);
            let net = RestoreNet::new(&store.root(), &config).unwrap();
            for (_, variable) in store.variables() {
                let noise = variable.randn_like() * 0.05;
                let _ = tch::no_grad(|| variable.shallow_clone().g_add_(&noise));
            }
            (config, net, store)
        };
        configs.into_iter().map(build).collect()
    }

    #[test]
    fn nothing_beyond_its_reach_changes_an_output() {
        for (config, net, _store) in nets() {
            let far = (config.reach() / 2) as i64;
            let cells = (config.grid() / 2) as i64;
            let size = (far / cells * 2 + 4) * cells;
            let (x, middle) = (Tensor::rand([1, config.inputs(), size, size], (Kind::Float, Device::Cpu)), size / 2);
            let y = x.copy();
            // All but the samples within reach of the cell in the middle.
            let (start, side) = (middle - far, 2 * far + cells);
            let mut rest = y.shallow_clone();
            let kept = x.narrow(2, start, side).narrow(3, start, side).copy();
            let _ = rest.f_add_scalar_(0.3).unwrap();
            rest.narrow(2, start, side).narrow(3, start, side).copy_(&kept);
            let centre = |t: &Tensor| {
                let (from, side) = (middle * config.scale, cells * config.scale);
                net.forward(t).unwrap().narrow(2, from, side).narrow(3, from, side)
            };
            let apart = tch::no_grad(|| (centre(&x) - centre(&y)).abs().max().double_value(&[]));
            assert!(apart < 1e-6, "{}: {apart}", config.task);
        }
    }

    #[test]
    fn traced_they_give_the_same() {
        for (config, net, mut store) in nets() {
            let path = tempfile::tempdir().unwrap();
            let file = path.path().join("w.safetensors");
            store.save(&file).unwrap();
            store.freeze();
            let table = toml::Table::try_from(config).unwrap();
            let network = crate::builtin::networks("restore", &table, std::fs::read(&file).unwrap()).unwrap();
            let shape = [1, config.inputs(), 16, 20];
            let archive = network.torchscript(shape.into(), gst_torch_runtime::Precision::Fp32).unwrap();
            let module = tch::CModule::load_data(&mut &archive[..]).unwrap();
            let x = Tensor::rand(shape, (Kind::Float, Device::Cpu));
            let traced = match module.forward_is(&[tch::IValue::Tensor(x.copy())]).unwrap() {
                tch::IValue::Tensor(y) => y,
                tch::IValue::Tuple(mut parts) => Tensor::try_from(parts.remove(0)).unwrap(),
                other => panic!("{other:?}"),
            };
            let apart = tch::no_grad(|| (traced - net.forward(&x).unwrap()).abs().max().double_value(&[]));
            assert!(apart < 1e-5, "{}: {apart}", config.task);
        }
    }

    #[test]
    fn a_network_of_another_task_begins_with_what_fits() {
        let mut all = nets();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        all[0].2.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let from = all[0].2.variables();
        let store = &mut all[1].2;
        let taken = warm_start(store, &bytes).unwrap();
        assert!((4..store.len()).contains(&taken), "{taken}");
        assert_eq!(store.variables()["blocks.1.0.weight"], from["blocks.1.0.weight"]);
        let mut fewer = nn::VarStore::new(Device::Cpu);
        let _net = RestoreNet::new(&fewer.root(), &Config { blocks: 1, ..all[0].0 }).unwrap();
        assert_eq!(warm_start(&mut fewer, &bytes).unwrap(), fewer.len());
        assert_eq!(fewer.variables()["blocks.0.0.weight"], from["blocks.1.0.weight"]);
        let mut other = nn::VarStore::new(Device::Cpu);
        let _ = other.root().var("else", &[3], nn::Init::Const(0.0));
        assert!(warm_start(&mut other, &bytes).unwrap_err().contains("no tensor"));
        assert!(warm_start(&mut other, b"x").unwrap_err().contains("safetensors"));
    }
}
