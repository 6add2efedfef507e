//! A vector-quantised variational autoencoder (van den Oord et al., NeurIPS 2017): a picture is a grid of codes, each a row of
//! a codebook.
//!
//! The codebook follows the running mean of the vectors that chose each row (the paper's appendix), and rows that nothing
//! chooses any more begin anew as one of the vectors at hand (Dhariwal et al. 2020), so that all of them are of use.

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use tch::nn::Path;
use tch::{Kind, TchError, Tensor};

use super::autoencoder::{Decoder, Encoder, Shape};
use super::{check, check_picture, three};

/// Widths of the network; the `[config]` table of a model card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Width and height of the pictures.
    pub size: [i64; 2],
    /// Pixels each way that a code stands for: 4, 8 or 16.
    pub cell: i64,
    /// Rows of the codebook.
    pub codes: i64,
    /// Numbers of a row.
    pub width: i64,
    /// At half size; each further halving doubles them, up to four times as many.
    pub channels: i64,
    /// 3 is RGB, 1 is grey.
    #[serde(default = "three")]
    pub colours: i64,
}

impl Config {
    pub fn new(size: [i64; 2]) -> Self {
        Config { size, cell: 8, codes: 256, width: 32, channels: 32, colours: 3 }
    }

    pub fn checked(self) -> Result<Self, String> {
        check_picture(self.size, self.colours)?;
        check("codes", self.codes, 2..=8192)?;
        check("width", self.width, 4..=256)?;
        check("channels", self.channels, 4..=256)?;
        if ![4, 8, 16].contains(&self.cell) {
            return Err(format!("[config] cell is {}; expected 4, 8 or 16", self.cell));
        }
        if self.size.iter().any(|side| side % self.cell != 0) {
            let [width, height] = self.size;
            return Err(format!("[config] size is {width}x{height}; expected multiples of cell, {}", self.cell));
        }
        Ok(self)
    }

    /// Codes of a picture, across and down.
    pub fn grid(&self) -> [i64; 2] {
        self.size.map(|side| side / self.cell)
    }

    fn shape(&self) -> Shape {
        Shape { colours: self.colours, channels: self.channels, halvings: self.cell.ilog2() as usize }
    }

    /// Multiplications of one picture, encoder and decoder; convolutions only.
    pub fn macs(&self) -> [i64; 2] {
        self.shape().macs(self.size[0] * self.size[1], self.width)
    }
}

/// Both directions, with weights that live in the `VarStore` they were built in.
pub struct Vqvae {
    width: i64,
    encoder: Encoder,
    decoder: Decoder,
    /// `(codes, width)`.
    pub codebook: Tensor,
    /// Running sum of the vectors of each row, and running count of them.
    sums: Tensor,
    counts: Tensor,
}

/// How much of the running sums a step keeps.
const KEEP: f64 = 0.99;
/// A row that fewer than this share of its fair share choose begins anew.
const DEAD: f64 = 0.03;

impl Vqvae {
    /// # Errors
    /// When libtorch cannot make the tensors.
    pub fn new(path: &Path, config: &Config) -> Result<Self, TchError> {
        let rows = [config.codes, config.width];
        let codebook = path.f_zeros_no_train("codebook", &rows)?;
        let fresh = Tensor::f_randn(rows, (Kind::Float, path.device()))?;
        tch::no_grad(|| codebook.shallow_clone().f_copy_(&fresh))?;
        Ok(Vqvae {
            width: config.width,
            encoder: Encoder::new(&(path / "encoder"), config.shape(), config.width)?,
            decoder: Decoder::new(&(path / "decoder"), config.shape(), config.width)?,
            sums: path.f_zeros_no_train("sums", &rows)?,
            counts: path.f_zeros_no_train("counts", &[config.codes])?,
            codebook,
        })
    }

    /// Vectors of pictures, `(N, width, h, w)` in fp32.
    ///
    /// # Errors
    /// When the size of `pictures` is no multiple of the cell.
    pub fn encode(&self, pictures: &Tensor) -> Result<Tensor, TchError> {
        self.encoder.forward(pictures)?.f_to_kind(Kind::Float)
    }

    /// The nearest code of each vector, `(N, h, w)`.
    ///
    /// # Errors
    /// When `vectors` are not `(N, width, h, w)`.
    pub fn codes(&self, vectors: &Tensor) -> Result<Tensor, TchError> {
        nearest(vectors, &self.codebook)
    }

    /// Rows of codes `(N, h, w)`: `(N, width, h, w)`.
    ///
    /// # Errors
    /// When a code has no row.
    pub fn vectors(&self, codes: &Tensor) -> Result<Tensor, TchError> {
        Tensor::f_embedding(&self.codebook, codes, -1, false, false)?.f_permute([0, 3, 1, 2])
    }

    /// Pictures of vectors `(N, width, h, w)`, of codes or between them.
    ///
    /// # Errors
    /// When the vectors are not of that shape.
    pub fn decode(&self, vectors: &Tensor) -> Result<Tensor, TchError> {
        self.decoder.forward(vectors)
    }

    /// Vectors to pictures, or pictures to vectors.
    ///
    /// # Errors
    /// When `x` is neither.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        if x.size4()?.1 == self.width { self.decode(x) } else { self.encode(x) }
    }

    /// Moves the codebook to the vectors that chose each row, `codes` those of [`Vqvae::codes`]. Rows that die are replaced by
    /// vectors at the places that `chances` (0 to 1, one a row) name, or stay where there are none. Returns how many were.
    ///
    /// # Errors
    /// When the shapes do not go together.
    pub fn learn(&self, vectors: &Tensor, codes: &Tensor, chances: &[f64]) -> Result<i64, TchError> {
        let _guard = tch::no_grad_guard();
        let rows = self.codebook.size()[0];
        let flat = flatten(&vectors.f_detach()?)?;
        let codes = codes.f_flatten(0, -1)?;
        let ones = Tensor::f_ones(codes.size(), (Kind::Float, codes.device()))?;
        let counts = self.counts.f_zeros_like()?.f_index_add(0, &codes, &ones)?;
        let sums = self.sums.f_zeros_like()?.f_index_add(0, &codes, &flat)?;
        let _ = self.counts.shallow_clone().f_lerp_(&counts, 1.0 - KEEP)?;
        let _ = self.sums.shallow_clone().f_lerp_(&sums, 1.0 - KEEP)?;
        let floor = DEAD * codes.numel() as f64 / rows as f64;
        let dead = self.counts.f_lt(floor * (1.0 - KEEP))?;
        let means = self.sums.f_div(&self.counts.f_clamp_min(1e-6)?.f_unsqueeze(1)?)?;
        let chosen = self.counts.f_gt(0.0)?.f_unsqueeze(1)?;
        self.codebook.shallow_clone().f_copy_(&means.f_where_self(&chosen, &self.codebook)?)?;
        let dead: Vec<i64> = Vec::try_from(dead.f_nonzero()?.f_flatten(0, -1)?)?;
        let mut revived = 0;
        for (row, chance) in dead.into_iter().zip(chances) {
            let place = ((chance * codes.numel() as f64) as i64).min(codes.numel() as i64 - 1);
            let vector = flat.f_get(place)?;
            let fair = codes.numel() as f64 / rows as f64 * (1.0 - KEEP);
            self.codebook.f_get(row)?.f_copy_(&vector)?;
            self.sums.f_get(row)?.f_copy_(&vector.f_mul_scalar(fair)?)?;
            let _ = self.counts.f_get(row)?.f_fill_(fair)?;
            revived += 1;
        }
        Ok(revived)
    }
}

/// `(N, width, h, w)` as rows.
fn flatten(vectors: &Tensor) -> Result<Tensor, TchError> {
    vectors.f_permute([0, 2, 3, 1])?.f_flatten(0, 2)
}

fn nearest(vectors: &Tensor, codebook: &Tensor) -> Result<Tensor, TchError> {
    let (batch, _, height, width) = vectors.size4()?;
    let flat = flatten(vectors)?;
    // |v|^2 is the same for all rows.
    let lengths = codebook.f_square()?.f_sum_dim_intlist(&[1i64][..], false, Kind::Float)?;
    let distances = lengths.f_sub(&flat.f_matmul(&codebook.f_transpose(0, 1)?)?.f_mul_scalar(2.0)?)?;
    distances.f_argmin(1, false)?.f_view([batch, height, width])
}

/// How many codes are in use: the exponential of the entropy of how often each is. All `rows` alike often give `rows`.
///
/// # Errors
/// When `codes` are no whole numbers below `rows`.
pub fn perplexity(codes: &Tensor, rows: i64) -> Result<f64, TchError> {
    let codes = codes.f_flatten(0, -1)?;
    let counts = codes.f_bincount(None::<Tensor>, rows)?.f_to_kind(Kind::Double)?;
    let shares = counts.f_div_scalar(codes.numel().max(1) as f64)?;
    let entropy = shares.f_mul(&shares.f_clamp_min(1e-12)?.f_log()?)?.f_sum(Kind::Double)?.f_neg()?;
    Ok(f64::try_from(entropy)?.exp())
}

/// The codebook of a model, on the CPU, apart from its network.
pub struct Codebook {
    /// `(codes, width)`.
    rows: Tensor,
}

impl Codebook {
    /// From the safetensors of a model.
    ///
    /// # Errors
    /// When there is no codebook of the size that `config` says.
    pub fn read(config: &Config, weights: &[u8]) -> Result<Self, String> {
        Ok(Codebook { rows: tensor(weights, "codebook", &[config.codes, config.width])? })
    }

    pub fn codes(&self) -> i64 {
        self.rows.size()[0]
    }

    /// The vectors `(1, width, h, w)` of codes in reading order, as the decoder takes them; `grid` is across and down.
    ///
    /// # Errors
    /// When there are not as many codes as the grid has places, or one has no row.
    pub fn vectors(&self, codes: &[u16], grid: [i64; 2]) -> Result<Tensor, String> {
        if codes.len() as i64 != grid[0] * grid[1] || codes.iter().any(|&code| i64::from(code) >= self.codes()) {
            return Err(format!("{} codes below {} were expected", grid[0] * grid[1], self.codes()));
        }
        let codes: Vec<i64> = codes.iter().map(|&code| code.into()).collect();
        let vectors = || {
            let codes = Tensor::f_from_slice(&codes)?.f_view([1, grid[1], grid[0]])?;
            Tensor::f_embedding(&self.rows, &codes, -1, false, false)?.f_permute([0, 3, 1, 2])?.f_contiguous()
        };
        vectors().map_err(|e: TchError| e.to_string())
    }

    /// The nearest codes of an encoder's `(1, width, h, w)`, in reading order.
    ///
    /// # Errors
    /// When `vectors` are of another shape.
    pub fn nearest(&self, vectors: &Tensor) -> Result<Vec<u16>, String> {
        let codes = || -> Result<Vec<i64>, TchError> {
            Vec::try_from(nearest(&vectors.f_to_kind(Kind::Float)?, &self.rows)?.f_flatten(0, -1)?)
        };
        Ok(codes().map_err(|e| e.to_string())?.into_iter().map(|code| code as u16).collect())
    }
}

/// A tensor of fp32 from safetensors, of a shape that is known.
pub(super) fn tensor(weights: &[u8], name: &str, shape: &[i64]) -> Result<Tensor, String> {
    let file = SafeTensors::deserialize(weights).map_err(|e| format!("the weights are not a safetensors file: {e}"))?;
    let view = file.tensor(name).map_err(|_| format!("the weights lack the tensor '{name}'"))?;
    let found: Vec<i64> = view.shape().iter().map(|&side| side as i64).collect();
    if found != shape || view.dtype() != Dtype::F32 {
        return Err(format!("tensor '{name}' is {found:?} {:?} in the weights; expected {shape:?} F32", view.dtype()));
    }
    Tensor::f_from_data_size(view.data(), shape, Kind::Float).map_err(|e| format!("tensor '{name}': {e}"))
}

#[cfg(test)]
mod tests {
    use tch::{Device, nn};

    use super::*;

    fn small() -> Config {
        Config { codes: 8, width: 4, channels: 4, ..Config::new([32, 16]) }
    }

    /// Vectors `(1, 4, 8, 8)` at the corners of a square, far from where the codebook begins.
    fn corners(step: i64) -> Tensor {
        let places = Tensor::arange(64, (Kind::Float, Device::Cpu)) + step as f64;
        let (x, y) = ((&places / 4.0).floor().remainder(2.0), places.remainder(2.0));
        (Tensor::stack(&[&x, &y, &x, &y], 0) * 40.0 + 100.0).view([1, 4, 8, 8])
    }

    #[test]
    fn the_codebook_moves_to_what_chooses_it_and_dead_rows_begin_anew() {
        let store = nn::VarStore::new(Device::Cpu);
        let net = Vqvae::new(&store.root(), &small()).unwrap();
        let mut revived = 0;
        for step in 0..60 {
            let vectors = corners(step);
            let chances: Vec<f64> = (0..8).map(|row| f64::from((row * 37 + step as i32 * 11) % 64) / 64.0).collect();
            revived += net.learn(&vectors, &net.codes(&vectors).unwrap(), &chances).unwrap();
        }
        // At first one row alone is nearest to everything.
        assert!(revived >= 3, "{revived}");
        let vectors = corners(0);
        let codes = net.codes(&vectors).unwrap();
        let apart = (net.vectors(&codes).unwrap() - &vectors).abs().max().double_value(&[]);
        assert!(apart < 0.5, "{apart}");
        assert!(perplexity(&codes, 8).unwrap() > 3.9);
        let still = net.codebook.copy();
        assert_eq!(net.learn(&vectors, &codes, &[]).unwrap(), 0);
        assert!((&net.codebook - still).abs().max().double_value(&[]) < 0.5);
    }

    #[test]
    fn perplexity_counts_codes_in_use() {
        let of = |codes: &[i64]| perplexity(&Tensor::from_slice(codes), 8).unwrap();
        assert!((of(&[0, 1, 2, 3]) - 4.0).abs() < 1e-9);
        assert!((of(&[5, 5, 5]) - 1.0).abs() < 1e-9);
        assert!((1.0..2.0).contains(&of(&[0, 0, 0, 1])));
    }

    #[test]
    fn a_codebook_goes_both_ways_and_refuses_what_is_not_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("m.toml");
        super::super::write_untrained(&super::super::Config::Vqvae(small()), &card).unwrap();
        let weights = std::fs::read(card.with_extension("safetensors")).unwrap();
        let book = Codebook::read(&small(), &weights).unwrap();
        let codes = [3u16, 0, 7, 7, 1, 2, 6, 5];
        let vectors = book.vectors(&codes, [4, 2]).unwrap();
        assert_eq!(vectors.size(), [1, 4, 2, 4]);
        assert_eq!(book.nearest(&vectors).unwrap(), codes);
        assert_eq!(book.nearest(&(vectors + 0.01)).unwrap(), codes);
        assert!(book.vectors(&[8; 8], [4, 2]).unwrap_err().contains("8 codes below 8"));
        assert!(book.vectors(&codes, [4, 3]).unwrap_err().contains("12 codes"));
        assert!(book.nearest(&Tensor::zeros([1, 3, 2, 4], (Kind::Float, Device::Cpu))).is_err());
        let other = Config { codes: 9, ..small() };
        assert!(Codebook::read(&other, &weights).err().unwrap().contains("[8, 4]"));
    }
}
