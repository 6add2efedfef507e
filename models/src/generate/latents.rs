//! Which latent a frame is made of.
//!
//! A pure function of the settings and of which frame it is, so that seeking shows what playing would; with one exception,
//! which a new start undoes: a walk whose speed was changed goes on from where it was.

use super::path::{Distribution, Odometer, Path, Walk, noise};
use super::random::{Random, Stream};

/// How frames follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Through latent space, from key to key.
    #[default]
    Walk,
    /// Each frame has a latent of its own.
    Noise,
    /// All frames have the first key.
    Fixed,
    /// The model goes on from what it made; its latents are not made here.
    Sequence,
    /// The pictures that were given; of two, from one to the other and back.
    Reconstruct,
}

impl Mode {
    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Walk => "walk",
            Mode::Noise => "noise",
            Mode::Fixed => "fixed",
            Mode::Sequence => "sequence",
            Mode::Reconstruct => "reconstruct",
        }
    }
}

/// Components of a latent that can be set one by one.
pub const COMPONENTS: usize = 16;

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub mode: Mode,
    pub walk: Walk,
    /// Keys a second.
    pub walk_speed: f64,
    /// Keys until a walk is back at its first; 0 is never.
    pub period: u32,
    pub truncation: f64,
    /// Between two whole numbers, something between two classes; below 0 each key, or frame, has one by chance.
    pub class: f64,
    pub seed: u64,
    /// The first numbers of the latent.
    pub latent: Vec<f32>,
    /// The same, one by one; they go before `latent`.
    pub components: [Option<f32>; COMPONENTS],
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mode: Mode::default(),
            walk: Walk::default(),
            walk_speed: 0.5,
            period: 0,
            truncation: 1.0,
            class: -1.0,
            seed: 0,
            latent: Vec::new(),
            components: [None; COMPONENTS],
        }
    }
}

/// Which frame it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Counted from the start of the stream.
    pub frame: u64,
    /// Of a sequence: which of its pictures, where that is not the number of the frame.
    pub picture: u64,
    /// Stream time.
    pub seconds: f64,
}

/// What a frame is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Latent {
    pub numbers: Vec<f32>,
    /// How much there is of each class, 1 in all; empty where the model has none.
    pub classes: Vec<f32>,
}

/// What latents are like.
#[derive(Debug, Clone, Default)]
pub struct Space {
    /// Numbers of a latent, those of classes aside.
    pub size: usize,
    pub classes: usize,
    pub distribution: Distribution,
    /// Latents of pictures, the first keys.
    pub given: Vec<Vec<f32>>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Latents {
    space: Space,
    path: Option<(PathKey, Path)>,
    odometer: Option<Odometer>,
}

/// What makes another path.
type PathKey = (Walk, u64, u64);

impl Latents {
    pub fn new(space: Space) -> Self {
        Latents { space, path: None, odometer: None }
    }

    pub fn space(&self) -> &Space {
        &self.space
    }

    /// To be called when frames do not go on where they were.
    pub fn restart(&mut self) {
        self.odometer = None;
    }

    pub fn at(&mut self, settings: &Settings, moment: Moment) -> Latent {
        let Settings { mode, seed, .. } = *settings;
        let position = match mode {
            Mode::Walk | Mode::Reconstruct => {
                let speed = settings.walk_speed;
                self.odometer.get_or_insert_with(|| Odometer::new(speed)).at(moment.seconds, speed).max(0.0)
            }
            _ => 0.0,
        };
        let mut numbers = match mode {
            Mode::Noise => noise(seed, moment.frame, self.space.size, settings.truncation),
            _ => self.path(settings).at(position, settings.truncation),
        };
        if self.space.given.is_empty() {
            self.space.distribution.shape(&mut numbers);
        }
        numbers.iter_mut().zip(&settings.latent).for_each(|(number, said)| *number = *said);
        let components = numbers.iter_mut().zip(&settings.components);
        components.for_each(|(number, said)| *number = said.unwrap_or(*number));
        Latent { numbers, classes: self.classes(settings, moment, position) }
    }

    fn path(&mut self, settings: &Settings) -> &mut Path {
        let period = match settings.mode {
            Mode::Reconstruct => self.space.given.len() as u64,
            _ => u64::from(settings.period),
        };
        let key = (settings.walk, settings.seed, period);
        let space = &self.space;
        let make = || Path::new(settings.walk, settings.seed, space.size, space.given.clone(), period);
        let path = self.path.take().filter(|(of, _)| *of == key).unwrap_or_else(|| (key, make()));
        &mut self.path.insert(path).1
    }

    fn classes(&self, settings: &Settings, moment: Moment, position: f64) -> Vec<f32> {
        let count = self.space.classes;
        let mut weights = vec![0.0; count];
        if count == 0 {
            return weights;
        }
        let by_chance = |stream| (Random::new(settings.seed, stream).bits() % count as u64) as usize;
        let (from, to, share) = match settings.mode {
            _ if settings.class >= 0.0 => {
                let whole = settings.class.floor();
                (whole as usize, whole as usize + 1, settings.class - whole)
            }
            Mode::Noise => {
                let class = by_chance(Stream::FrameClass(moment.frame));
                (class, class, 0.0)
            }
            _ => {
                let key = position.floor() as u64;
                let number = |key: u64| if settings.period == 0 { key } else { key % u64::from(settings.period) };
                let class = |key| by_chance(Stream::KeyClass(number(key)));
                (class(key), class(key + 1), position.fract())
            }
        };
        weights[from.min(count - 1)] += (1.0 - share) as f32;
        weights[to.min(count - 1)] += share as f32;
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latents(classes: usize, given: Vec<Vec<f32>>) -> Latents {
        Latents::new(Space { size: 32, classes, given, ..Space::default() })
    }

    fn moment(frame: u64) -> Moment {
        Moment { frame, picture: frame, seconds: frame as f64 / 30.0 }
    }

    fn settings(mode: Mode) -> Settings {
        Settings { mode, walk_speed: 1.0, ..Settings::default() }
    }

    #[test]
    fn a_frame_is_the_same_wherever_playing_began() {
        for mode in [Mode::Walk, Mode::Noise, Mode::Fixed] {
            let settings = settings(mode);
            let mut played = latents(4, Vec::new());
            let all: Vec<_> = (0..90).map(|frame| played.at(&settings, moment(frame))).collect();
            for frame in [60, 7, 89] {
                assert_eq!(latents(4, Vec::new()).at(&settings, moment(frame)), all[frame as usize], "{mode:?}");
            }
            let changes = all.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(changes, if mode == Mode::Fixed { 0 } else { 89 }, "{mode:?}");
            let others = Settings { seed: 1, ..settings };
            assert_ne!(latents(4, Vec::new()).at(&others, moment(60)), all[60], "{mode:?}");
        }
    }

    #[test]
    fn what_is_said_goes_before_what_is_random() {
        let mut settings = settings(Mode::Noise);
        let mut latents = latents(0, Vec::new());
        let random = latents.at(&settings, moment(5)).numbers;
        settings.latent = vec![0.5, -2.0, 3.0];
        settings.components[1] = Some(9.0);
        settings.components[15] = Some(-1.0);
        let said = latents.at(&settings, moment(5)).numbers;
        assert_eq!(said[..3], [0.5, 9.0, 3.0]);
        assert_eq!((said[15], &said[3..15], &said[16..]), (-1.0, &random[3..15], &random[16..]));
        settings.latent = vec![1.0; 40];
        assert_eq!(latents.at(&settings, moment(5)).numbers.len(), 32);
    }

    #[test]
    fn truncation_narrows_and_a_loop_comes_back() {
        for mode in [Mode::Walk, Mode::Noise, Mode::Fixed] {
            let mut latents = latents(0, Vec::new());
            let wide = latents.at(&settings(mode), moment(40)).numbers;
            let narrow = latents.at(&Settings { truncation: 0.5, ..settings(mode) }, moment(40)).numbers;
            assert!(wide.iter().zip(&narrow).all(|(w, n)| (0.5 * w - n).abs() < 1e-6), "{mode:?}");
        }
        let looped = Settings { period: 3, ..settings(Mode::Walk) };
        let mut latents = latents(5, Vec::new());
        let (first, again) = (latents.at(&looped, moment(20)), latents.at(&looped, moment(20 + 90)));
        assert!(first.numbers.iter().zip(&again.numbers).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(first.classes.iter().zip(&again.classes).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn pictures_are_shown_and_left_or_morphed() {
        let given = vec![vec![1.0; 32], vec![5.0; 32]];
        let at = |latents: &mut Latents, mode, frame| latents.at(&settings(mode), moment(frame)).numbers;
        let mut two = latents(0, given.clone());
        assert_eq!([0, 30, 60].map(|frame| at(&mut two, Mode::Reconstruct, frame)[0].round()), [1.0, 5.0, 1.0]);
        let middle = at(&mut two, Mode::Reconstruct, 15);
        assert!(middle.iter().all(|v| (2.5..3.5).contains(v)), "{middle:?}");
        let mut one = latents(0, given[..1].to_vec());
        assert_eq!(at(&mut one, Mode::Reconstruct, 77), given[0]);
        assert_eq!(at(&mut one, Mode::Fixed, 77), given[0]);
        assert_eq!(at(&mut one, Mode::Walk, 0), given[0]);
        assert!(at(&mut one, Mode::Walk, 90)[0] != 1.0);
    }

    #[test]
    fn classes_are_said_mixed_or_left_to_chance() {
        let mut latents = latents(4, Vec::new());
        let mut weights = |class, mode, frame| latents.at(&Settings { class, ..settings(mode) }, moment(frame)).classes;
        assert_eq!(weights(2.0, Mode::Walk, 9), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(weights(1.25, Mode::Fixed, 9), [0.0, 0.75, 0.25, 0.0]);
        assert_eq!(weights(3.5, Mode::Noise, 9), [0.0, 0.0, 0.0, 1.0]);
        let seen: Vec<_> = (0..200).map(|frame| weights(-1.0, Mode::Noise, frame)).collect();
        assert!((0..4).all(|class| seen.iter().filter(|w| w[class] == 1.0).count() > 20));
        for frame in 0..300 {
            let sum: f32 = weights(-1.0, Mode::Walk, frame).iter().sum();
            assert!((sum - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_change_of_speed_goes_on_from_where_the_walk_was() {
        let mut latents = latents(0, Vec::new());
        let slow = Settings { walk_speed: 0.1, ..settings(Mode::Walk) };
        let before = latents.at(&settings(Mode::Walk), moment(100)).numbers;
        let at_once = latents.at(&slow, moment(100)).numbers;
        let after = latents.at(&slow, moment(101)).numbers;
        let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far(&before, &at_once) == 0.0 && far(&before, &after) < 0.1, "{}", far(&before, &after));
        latents.restart();
        assert!(far(&before, &latents.at(&slow, moment(101)).numbers) > 0.1);
    }
}
