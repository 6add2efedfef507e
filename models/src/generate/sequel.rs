//! A sequence model at work: the codes of any frame, whatever frames were asked for before.

use std::collections::VecDeque;
use std::sync::Arc;

use gst_torch_runtime::{Engine, Error, Result};

use super::random::{Random, Stream};
use super::sequence::{Player, State};
use super::snapshots::Snapshots;

/// Pictures between two snapshots, to begin with.
const EVERY: u64 = 64;
/// Snapshots of a kind that are kept, at most; each holds the codes of a few pictures.
const MOST: usize = 256;
/// Bytes that snapshots of a kind may take: networks that look far back keep fewer.
const MEMORY: usize = 16 << 20;
/// Pictures just before, for a stream that begins anew or goes backwards: as many as lie between two snapshots, so that going
/// backwards draws no picture for each of those before it again.
const RECENT: usize = EVERY as usize;

/// How far it is to the picture that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Pictures drawn since it was asked for.
    pub drawn: u64,
    /// Pictures still to be drawn.
    pub left: u64,
}

pub struct Sequel {
    player: Player,
    engine: Arc<Engine>,
    /// Codes of the pictures to go on from; without them one of the model's own beginnings.
    given: Vec<Vec<u16>>,
    state: State,
    snapshots: Snapshots<State>,
    recent: VecDeque<State>,
    /// What codes are drawn by.
    drawn_by: Draw,
    /// Whether all of what was drawn so far was drawn by that.
    pure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Draw {
    seed: u64,
    temperature: f64,
}

impl Sequel {
    /// # Errors
    /// When the codes that were given are not of this model.
    pub fn new(player: Player, engine: Arc<Engine>, given: Vec<Vec<u16>>) -> Result<Self> {
        let drawn_by = Draw { seed: 0, temperature: 1.0 };
        let state = start(&player, &engine, &given, drawn_by.seed)?;
        let bytes = player.config().frames as usize * player.config().places() * size_of::<u16>();
        let snapshots = Snapshots::new(EVERY, (MEMORY / bytes.max(1)).min(MOST));
        let recent = VecDeque::new();
        Ok(Sequel { player, engine, given, state, snapshots, recent, drawn_by, pure: true })
    }

    /// To be called when frames do not go on where they were: what was drawn by other settings is forgotten.
    ///
    /// # Errors
    /// When the model's own beginnings do not fit it.
    pub fn restart(&mut self) -> Result<()> {
        self.recent.clear();
        if !self.pure {
            self.snapshots.clear();
            self.state = start(&self.player, &self.engine, &self.given, self.drawn_by.seed)?;
            self.pure = true;
        }
        Ok(())
    }

    /// The codes of a picture: as many are drawn as it takes from the nearest one that is known. `None` where `go_on`, which
    /// is asked before each, says no.
    ///
    /// # Errors
    /// What the network's run gave.
    pub fn codes(
        &mut self,
        picture: u64,
        seed: u64,
        temperature: f64,
        go_on: &mut dyn FnMut(Way) -> bool,
    ) -> Result<Option<&[u16]>> {
        let draw = Draw { seed, temperature };
        if draw != self.drawn_by {
            self.drawn_by = draw;
            self.snapshots.clear();
            self.pure = self.state.number() == 0;
            if self.pure {
                self.state = start(&self.player, &self.engine, &self.given, seed)?;
            }
        }
        if picture < self.state.number() {
            match self.recent.iter().position(|state| state.number() == picture) {
                Some(index) => {
                    self.state = self.recent[index].clone();
                    self.recent.truncate(index);
                }
                None => self.restart()?,
            }
        }
        let here = self.state.number();
        match self.snapshots.before(picture) {
            Some((number, state)) if picture < here || number > here => self.state = state,
            None if picture < here => self.state = start(&self.player, &self.engine, &self.given, seed)?,
            _ => {}
        }
        let from = self.state.number();
        while self.state.number() < picture {
            let number = self.state.number();
            if !go_on(Way { drawn: number - from, left: picture - number }) {
                return Ok(None);
            }
            self.step()?;
        }
        self.keep();
        Ok(Some(self.state.codes()))
    }

    /// The codes of the picture that a sequence begins with.
    ///
    /// # Errors
    /// When the model's own beginnings do not fit it.
    pub fn first(&self, seed: u64) -> Result<Vec<u16>> {
        Ok(start(&self.player, &self.engine, &self.given, seed)?.codes().to_vec())
    }

    /// The codes of a picture that has nothing to do with others: the first that a beginning of its own goes on with.
    ///
    /// # Errors
    /// What the network's run gave.
    pub fn alone(&self, frame: u64, seed: u64, temperature: f64) -> Result<Vec<u16>> {
        let seed = Random::new(seed, Stream::Frame(frame)).bits();
        let mut state = start(&self.player, &self.engine, &self.given, seed)?;
        draw(&self.player, &self.engine, &mut state, Draw { seed, temperature })?;
        Ok(state.codes().to_vec())
    }

    fn step(&mut self) -> Result<()> {
        self.keep();
        let oldest = if self.recent.len() == RECENT { self.recent.pop_front() } else { None };
        let mut kept = oldest.unwrap_or_else(|| self.state.clone());
        kept.clone_from(&self.state);
        self.recent.push_back(kept);
        draw(&self.player, &self.engine, &mut self.state, self.drawn_by)
    }

    fn keep(&mut self) {
        if self.pure {
            self.snapshots.offer(self.state.number(), &self.state);
        }
    }
}

fn start(player: &Player, engine: &Engine, given: &[Vec<u16>], seed: u64) -> Result<State> {
    if given.is_empty() {
        return Ok(player.start(seed));
    }
    player.start_from(given).map_err(|reason| mismatch(engine, reason))
}

/// Draws the next picture.
fn draw(player: &Player, engine: &Arc<Engine>, state: &mut State, Draw { seed, temperature }: Draw) -> Result<()> {
    let run = |input| -> Result<_, Failed> {
        let outputs = engine.submit(input, Default::default()).wait()?;
        let nothing = || Failed::from("the network gave nothing".to_owned());
        Ok(outputs.into_iter().next().ok_or_else(nothing)?.1)
    };
    player.next(state, seed, temperature, run).map_err(|failed| match failed {
        Failed::Run(error) => error,
        Failed::Other(reason) => mismatch(engine, reason),
    })
}

fn mismatch(engine: &Engine, reason: String) -> Error {
    Error::Mismatch { model: engine.model().to_owned(), reason }
}

/// Why a step failed.
enum Failed {
    Run(Error),
    Other(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Run(error)
    }
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Failed::Other(reason)
    }
}

#[cfg(test)]
mod tests {
    use gst_torch_runtime::{EngineSpec, PrecisionSpec, Sample};

    use super::super::{Config, sequence, write_untrained};
    use super::*;
    use crate::builtin;

    /// So many players of one small model, the same each time.
    fn small<const N: usize>() -> [Sequel; N] {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("small.toml");
        let config = sequence::Config {
            frames: 2,
            embedding: 8,
            channels: 32,
            blocks: 0,
            starts: 2,
            ..sequence::Config::new("none", [4, 3], 16, sequence::Kind::Transformer)
        };
        write_untrained(&Config::Sequence(config.clone()), &card).unwrap();
        let name = card.to_str().unwrap();
        let model = builtin::open(name).unwrap().load("cpu".parse().unwrap(), PrecisionSpec::Auto).unwrap();
        let player = || Player::read(&config, &builtin::weights(name).unwrap()).unwrap();
        let [channels, height, width] = config.input();
        let shape = [1, channels, height, width].into();
        let spec = EngineSpec { shape, sample: Sample::Normal, repeatable: true, like: None };
        let engine = model.engine_for(spec).unwrap();
        std::array::from_fn(|_| Sequel::new(player(), Arc::clone(&engine), Vec::new()).unwrap())
    }

    /// The codes of these pictures, and how many were drawn for them.
    fn played(sequel: &mut Sequel, pictures: impl Iterator<Item = u64>) -> (Vec<Vec<u16>>, u64) {
        let mut drawn = 0;
        let mut go_on = |_| {
            drawn += 1;
            true
        };
        let codes = pictures.map(|picture| sequel.codes(picture, 1, 1.0, &mut go_on).unwrap().unwrap().to_vec());
        let codes = codes.collect();
        (codes, drawn)
    }

    #[test]
    fn backwards_each_picture_is_drawn_about_twice() {
        let [mut sequel, mut fresh] = small();
        let (mut forwards, drawn) = played(&mut sequel, 0..600);
        assert_eq!(drawn, 599);
        forwards.reverse();
        let (backwards, drawn) = played(&mut sequel, (0..600).rev());
        assert!(backwards == forwards);
        assert!(drawn <= 600, "{drawn} pictures were drawn again for 600");
        // From nothing, as after a seek: once to get there, and once more on the way back.
        let (backwards, drawn) = played(&mut fresh, (0..600).rev());
        assert!(backwards == forwards);
        assert!(drawn <= 1200, "{drawn} pictures were drawn for 600");
    }

    /// See [`State`]: what is taken anew for each picture and stays makes a stream grow.
    #[test]
    fn a_long_stream_keeps_its_memory() {
        let [mut sequel] = small();
        let places = |sequel: &Sequel| {
            let states = sequel.recent.iter().chain([&sequel.state]);
            states.map(|state| state.codes().as_ptr()).collect::<std::collections::BTreeSet<_>>()
        };
        played(&mut sequel, 0..RECENT as u64 + 1);
        let before = places(&sequel);
        assert_eq!(before.len(), RECENT + 1);
        played(&mut sequel, RECENT as u64 + 1..2 * RECENT as u64);
        assert_eq!(places(&sequel), before, "states have moved");
    }

    #[test]
    fn the_way_to_a_picture_is_told_and_can_be_left() {
        let [mut sequel, mut fresh] = small();
        let mut ways = Vec::new();
        let mut go_on = |way: Way| {
            ways.push(way);
            way.drawn < 10
        };
        assert!(sequel.codes(30, 1, 1.0, &mut go_on).unwrap().is_none());
        assert_eq!((ways[0], ways[10]), (Way { drawn: 0, left: 30 }, Way { drawn: 10, left: 20 }));
        let (rest, drawn) = played(&mut sequel, 30..31);
        assert_eq!(drawn, 20, "what was drawn is not lost");
        assert!(rest == played(&mut fresh, 30..31).0);
    }

    #[test]
    fn single_pictures_are_a_function_of_seed_and_number() {
        let [sequel, mut fresh] = small();
        let alone: Vec<_> = (0..6).map(|frame| sequel.alone(frame, 7, 1.0).unwrap()).collect();
        assert!((0..6).all(|i| (0..i).all(|j| alone[i] != alone[j])));
        assert!(sequel.alone(3, 7, 1.0).unwrap() == alone[3] && sequel.alone(3, 8, 1.0).unwrap() != alone[3]);
        let first = sequel.first(7).unwrap();
        assert!(first == fresh.codes(0, 7, 1.0, &mut |_| false).unwrap().unwrap());
    }
}
