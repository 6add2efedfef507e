//! A sequence model at work: the codes of any frame, whatever frames were asked for before.

use std::collections::VecDeque;
use std::sync::Arc;

use gst_torch_runtime::{Engine, Error, Result};

use super::sequence::{Player, State};
use super::snapshots::Snapshots;

/// Frames between two snapshots, to begin with.
const EVERY: u64 = 64;
/// Snapshots that are kept; each holds the codes of a few pictures.
const MOST: usize = 256;
/// Frames just before, which a stream that begins anew may ask for again.
const RECENT: usize = 8;

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
        let snapshots = Snapshots::new(EVERY, MOST);
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

    /// The codes of a frame: as many pictures are drawn as it takes from the nearest one that is known. `None` where
    /// `go_on` says no meanwhile.
    ///
    /// # Errors
    /// What the network's run gave.
    pub fn codes(
        &mut self,
        frame: u64,
        seed: u64,
        temperature: f64,
        go_on: &dyn Fn() -> bool,
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
        if frame < self.state.number() {
            match self.recent.iter().position(|state| state.number() == frame) {
                Some(index) => {
                    self.state = self.recent[index].clone();
                    self.recent.truncate(index);
                }
                None => self.restart()?,
            }
        }
        let here = self.state.number();
        match self.snapshots.before(frame) {
            Some((number, state)) if frame < here || number > here => self.state = state,
            None if frame < here => self.state = start(&self.player, &self.engine, &self.given, seed)?,
            _ => {}
        }
        while self.state.number() < frame {
            if !go_on() {
                return Ok(None);
            }
            self.step()?;
        }
        self.keep();
        Ok(Some(self.state.codes()))
    }

    fn step(&mut self) -> Result<()> {
        self.keep();
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(self.state.clone());
        let engine = &self.engine;
        let run = |input| -> Result<_, Failed> {
            let outputs = engine.submit(input, Default::default()).wait()?;
            let nothing = || Failed::from("the network gave nothing".to_owned());
            Ok(outputs.into_iter().next().ok_or_else(nothing)?.1)
        };
        let Draw { seed, temperature } = self.drawn_by;
        let drawn = self.player.next(&mut self.state, seed, temperature, run);
        drawn.map_err(|failed| match failed {
            Failed::Run(error) => error,
            Failed::Other(reason) => mismatch(engine, reason),
        })
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
