//! Draws one picture's codes after the other.
//!
//! What is drawn depends on the seed, the number of the picture and the place, and on nothing else: not on threads, not on how
//! often or in which order pictures were asked for. So a state that was kept goes on as it would have then.

use tch::{Kind, TchError, Tensor};

use super::super::vqvae::tensor;
use super::{Config, GROUPS, group};

/// What a sequence model needs beside its network: embeddings and beginnings, on the CPU.
pub struct Player {
    config: Config,
    /// `(codes + 1, embedding)`.
    embedding: Tensor,
    /// Of `frames` pictures each.
    starts: Vec<Vec<Vec<u16>>>,
}

/// Where a sequence has got to; a snapshot is a clone.
///
/// It is one piece of memory, which is written anew and never replaced: small pieces that stay, taken between the tensors of each
/// picture, keep glibc before 2.38 from using the tensors' memory again (its bug 14581), and a stream would grow for ever.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    /// Codes of the last pictures, the oldest first, each in reading order.
    last: Vec<u16>,
    /// Codes of a picture.
    places: usize,
    /// Pictures drawn so far.
    number: u64,
}

impl Clone for State {
    fn clone(&self) -> Self {
        State { last: self.last.clone(), ..*self }
    }

    fn clone_from(&mut self, from: &Self) {
        self.last.clone_from(&from.last);
        (self.places, self.number) = (from.places, from.number);
    }
}

impl State {
    /// Codes of the last picture, in reading order.
    pub fn codes(&self) -> &[u16] {
        &self.last[self.last.len().saturating_sub(self.places)..]
    }

    /// Pictures drawn so far.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Player {
    /// From the safetensors of a model.
    ///
    /// # Errors
    /// When there are not the tensors that `config` says, or beginnings of codes that do not exist.
    pub fn read(config: &Config, weights: &[u8]) -> Result<Self, String> {
        let embedding = tensor(weights, "embedding", &[config.codes + 1, config.embedding])?;
        let [width, height] = config.grid;
        let starts = tensor(weights, "starts", &[config.starts, config.frames, height, width])?;
        let numbers: Vec<f32> = Vec::try_from(starts.flatten(0, -1)).map_err(|e| format!("tensor 'starts': {e}"))?;
        let codes = numbers.iter().map(|&code| {
            let fits = code >= 0.0 && code.fract() == 0.0 && (code as i64) < config.codes;
            fits.then_some(code as u16)
                .ok_or_else(|| format!("tensor 'starts' has {code}; expected codes below {}", config.codes))
        });
        let codes = codes.collect::<Result<Vec<u16>, String>>()?;
        let pictures: Vec<Vec<u16>> = codes.chunks(config.places()).map(<[u16]>::to_vec).collect();
        let starts = pictures.chunks(config.frames as usize).map(<[_]>::to_vec).collect();
        Ok(Player { config: config.clone(), embedding, starts })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// One of the beginnings that come with the model, by the seed.
    pub fn start(&self, seed: u64) -> State {
        let index = (mix(seed ^ 0x5ee_d0f_57a_127) % self.starts.len().max(1) as u64) as usize;
        let places = self.config.places();
        let last = self.starts.get(index).map(|start| start.concat());
        State { last: last.unwrap_or_else(|| vec![0; self.config.frames as usize * places]), places, number: 0 }
    }

    /// Goes on from these pictures, the oldest first; of fewer than the model looks back on, the first is repeated.
    ///
    /// # Errors
    /// When there are none, or their codes are not of this model.
    pub fn start_from(&self, pictures: &[Vec<u16>]) -> Result<State, String> {
        let fits = |codes: &Vec<u16>| {
            codes.len() == self.config.places() && codes.iter().all(|&code| i64::from(code) < self.config.codes)
        };
        let (Some(first), true) = (pictures.first(), pictures.iter().all(fits)) else {
            let Config { codes, .. } = self.config;
            return Err(format!("pictures of {} codes below {codes} were expected", self.config.places()));
        };
        let frames = self.config.frames as usize;
        let missing = std::iter::repeat_n(first, frames.saturating_sub(pictures.len()));
        let last = missing.chain(&pictures[pictures.len().saturating_sub(frames)..]).flatten().copied().collect();
        Ok(State { last, places: self.config.places(), number: 0 })
    }

    /// Draws the codes of the next picture. `run` is the network; `temperature` divides its logits, and with 0 the likeliest
    /// codes are taken.
    ///
    /// # Errors
    /// What `run` said, or that its logits are not of this model. The state is then as it was.
    pub fn next<E: From<String>>(
        &self,
        state: &mut State,
        seed: u64,
        temperature: f64,
        mut run: impl FnMut(Tensor) -> Result<Tensor, E>,
    ) -> Result<(), E> {
        let undecided = self.config.codes as u16;
        let mut next = vec![undecided; self.config.places()];
        let width = self.config.grid[0] as usize;
        for turn in 0..GROUPS {
            let input = self.input(state, &next).map_err(|e| e.to_string())?;
            let logits = self.rows(&run(input)?)?;
            for (place, logits) in logits.chunks(self.config.codes as usize).enumerate() {
                if group(place % width, place / width) == turn {
                    let number = mix(mix(mix(seed) ^ state.number) ^ place as u64);
                    next[place] = draw(logits, temperature, number);
                }
            }
        }
        let (before, last) = (next.len(), state.last.len());
        state.last.copy_within(before.., 0);
        state.last[last - before..].copy_from_slice(&next);
        state.number += 1;
        Ok(())
    }

    /// As the network takes it, of one picture.
    fn input(&self, state: &State, next: &[u16]) -> Result<Tensor, TchError> {
        let codes: Vec<i64> = state.last.iter().chain(next).map(|&code| code.into()).collect();
        let [_, height, width] = self.config.input();
        let codes = Tensor::f_from_slice(&codes)?.f_view([1, self.config.frames + 1, height, width])?;
        let embedded = Tensor::f_embedding(&self.embedding, &codes, -1, false, false)?;
        embedded.f_permute([0, 1, 4, 2, 3])?.f_flatten(1, 2)?.f_contiguous()
    }

    /// The logits of each place, one place after the other.
    fn rows(&self, logits: &Tensor) -> Result<Vec<f32>, String> {
        let [_, height, width] = self.config.input();
        let expected = [1, self.config.codes, height, width];
        if logits.size() != expected {
            return Err(format!("the sequence model gave {:?}; expected {expected:?}", logits.size()));
        }
        let rows = || -> Result<Vec<f32>, TchError> {
            Vec::try_from(logits.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_to_kind(Kind::Float)?.f_flatten(0, -1)?)
        };
        rows().map_err(|e| e.to_string())
    }
}

/// A code by its logit: the largest of them plus noise of Gumbel's distribution, which is a draw from their softmax.
fn draw(logits: &[f32], temperature: f64, number: u64) -> u16 {
    let noise = |code: usize| {
        if temperature <= 0.0 {
            return 0.0;
        }
        let bits = mix(number ^ (code as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 11;
        let uniform = (bits as f64 + 0.5) / (1u64 << 53) as f64;
        -(-uniform.ln()).ln() * temperature
    };
    let scored = logits.iter().enumerate().map(|(code, logit)| (code, f64::from(*logit) + noise(code)));
    scored.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(code, _)| code as u16)
}

/// SplitMix64 (Steele et al. 2014): every bit of what goes in moves every bit of what comes out.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tch::{Device, nn};

    use super::super::{Kind as Of, Sequence};
    use super::*;

    fn small() -> Config {
        Config {
            embedding: 8,
            channels: 32,
            blocks: 1,
            starts: 3,
            frames: 2,
            ..Config::new("x", [4, 3], 5, Of::Transformer)
        }
    }

    fn model() -> (Sequence, Player) {
        let store = nn::VarStore::new(Device::Cpu);
        let net = Sequence::new(&store.root(), &small()).unwrap();
        let places = Tensor::arange(3 * 2 * 12, (Kind::Float, Device::Cpu)).remainder(5.0).view([3, 2, 3, 4]);
        tch::no_grad(|| net.starts.shallow_clone().copy_(&places));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        store.save(&path).unwrap();
        (net, Player::read(&small(), &std::fs::read(&path).unwrap()).unwrap())
    }

    fn played(net: &Sequence, player: &Player, state: &mut State, seed: u64, count: usize) -> Vec<Vec<u16>> {
        let _guard = tch::no_grad_guard();
        let run = |input| net.forward(&input).map_err(|e| e.to_string());
        (0..count)
            .map(|_| {
                player.next(state, seed, 1.0, run).unwrap();
                state.codes().to_vec()
            })
            .collect()
    }

    #[test]
    fn a_seed_plays_the_same_again_and_a_snapshot_goes_on_alike() {
        let (net, player) = model();
        let mut state = player.start(7);
        let first = played(&net, &player, &mut state, 7, 3);
        let snapshot = state.clone();
        let rest = played(&net, &player, &mut state, 7, 4);
        assert_eq!(played(&net, &player, &mut snapshot.clone(), 7, 4), rest);
        assert_eq!(played(&net, &player, &mut player.start(7), 7, 7), [first, rest.clone()].concat());
        assert_ne!(played(&net, &player, &mut snapshot.clone(), 8, 4), rest);
        assert_eq!(state.number(), 7);
    }

    #[test]
    fn groups_see_those_before_them_and_never_those_after() {
        let (net, player) = model();
        let inputs = RefCell::new(Vec::new());
        let mut state = player.start(1);
        let run = |input: Tensor| {
            inputs.borrow_mut().push(input.shallow_clone());
            tch::no_grad(|| net.forward(&input)).map_err(|e| e.to_string())
        };
        player.next(&mut state, 1, 0.0, run).unwrap();
        let inputs = inputs.into_inner();
        assert_eq!(inputs.len(), GROUPS);
        let hidden = player.embedding.get(5);
        for (turn, input) in inputs.iter().enumerate() {
            let next = input.narrow(1, 2 * 8, 8);
            for (x, y) in (0..3).flat_map(|y| (0..4).map(move |x| (x, y))) {
                let shown = next.select(2, y).select(2, x).squeeze();
                let code = player.embedding.get(state.codes()[(y * 4 + x) as usize].into());
                let expected = if group(x as usize, y as usize) < turn { &code } else { &hidden };
                assert_eq!(
                    Vec::<f32>::try_from(shown).unwrap(),
                    Vec::<f32>::try_from(expected).unwrap(),
                    "{turn} {x},{y}"
                );
            }
        }
    }

    #[test]
    fn codes_are_drawn_as_often_as_their_softmax_says() {
        let logits = [1.0f32, 2.0, 0.0, -20.0];
        let shares = |temperature: f64| {
            let mut counts = [0.0; 4];
            (0..20_000).for_each(|n| counts[usize::from(draw(&logits, temperature, n))] += 1.0 / 20_000.0);
            counts
        };
        for temperature in [1.0, 0.5] {
            let weights = logits.map(|l| (f64::from(l) / temperature).exp());
            for (share, weight) in shares(temperature).iter().zip(weights) {
                assert!((share - weight / weights.iter().sum::<f64>()).abs() < 0.015, "{temperature}: {share}");
            }
        }
        assert!((shares(0.0)[1] - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_of_the_model_is_refused_and_changes_nothing() {
        let (_, player) = model();
        let start = player.start_from(&[vec![1; 12]]).unwrap();
        assert_eq!(start.last, [1; 24]);
        assert_eq!(
            player.start_from(&[vec![0; 12], vec![1; 12], vec![2; 12]]).unwrap().last,
            [[1; 12], [2; 12]].concat()
        );
        for bad in [vec![], vec![vec![1; 11]], vec![vec![5; 12]]] {
            assert!(player.start_from(&bad).unwrap_err().contains("12 codes below 5"));
        }
        let mut state = start.clone();
        let wrong = player
            .next(&mut state, 1, 1.0, |_| Ok::<_, String>(Tensor::zeros([1, 4, 3, 4], (Kind::Float, Device::Cpu))));
        assert!(wrong.unwrap_err().contains("[1, 4, 3, 4]; expected [1, 5, 3, 4]"));
        assert!(player.next(&mut state, 1, 1.0, |_| Err::<Tensor, _>("gone".to_string())).is_err());
        assert_eq!(state, start);
    }
}
