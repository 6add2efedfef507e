//! Ways through latent space: a point for every position, without a memory of the points before it.
//!
//! A path goes through keys, one at every whole position. Keys are random, or given: the latents of pictures, say.

use std::collections::VecDeque;

use super::random::{Random, Stream};

/// How a path goes from key to key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Walk {
    /// Catmull and Rom's spline ("A class of local interpolating splines", 1974): no corners. What lies between random keys
    /// is scaled so that it has their distribution, everywhere on the path: a mean of normal numbers is less wide than they
    /// are, and networks make washed-out pictures of it.
    #[default]
    Spline,
    /// Along great circles (White, "Sampling generative networks", 2016); corners at the keys.
    Slerp,
}

/// What the components of random latents are distributed like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Mean 0, variance 1.
    #[default]
    Normal,
    /// Even from -1 to 1.
    Uniform,
}

impl Distribution {
    /// Gives standard normal numbers this distribution.
    pub fn shape(self, latent: &mut [f32]) {
        if self == Distribution::Uniform {
            latent.iter_mut().for_each(|v| *v = error_function(f64::from(*v) / std::f64::consts::SQRT_2) as f32);
        }
    }
}

/// Abramowitz and Stegun, "Handbook of mathematical functions", 7.1.26; within 1.5e-7.
fn error_function(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let sum = series.iter().fold(0.0, |sum, factor| sum * t + factor) * t;
    (1.0 - sum * (-x * x).exp()).copysign(x)
}

/// Keys around which a position needs at most so many.
const CACHED: usize = 8;

/// See the module.
#[derive(Debug, Clone)]
pub struct Path {
    walk: Walk,
    seed: u64,
    size: usize,
    /// The first keys.
    given: Vec<Vec<f32>>,
    /// Keys until it is back at the first; 0 is never.
    period: u64,
    /// Random keys that were needed lately: they are pure, this only saves time.
    cache: VecDeque<(u64, Vec<f32>)>,
}

impl Path {
    /// Of latents with `size` numbers. The first keys are those `given`, each of that size, all others are random.
    pub fn new(walk: Walk, seed: u64, size: usize, given: Vec<Vec<f32>>, period: u64) -> Self {
        debug_assert!(given.iter().all(|key| key.len() == size));
        Path { walk, seed, size, given, period, cache: VecDeque::new() }
    }

    /// The latent at a position of 0 or more. Random keys are multiplied by `truncation` (Brock et al., "Large scale GAN
    /// training", 2019): below 1 they are more typical and less varied.
    pub fn at(&mut self, position: f64, truncation: f64) -> Vec<f32> {
        // Up to where every whole number has a float of its own.
        let position = if position.is_finite() { position.clamp(0.0, 9e15) } else { 0.0 };
        let first = position.floor();
        let (first, t) = (first as u64, position - first);
        match self.walk {
            Walk::Spline => self.spline(first, t, truncation),
            Walk::Slerp => self.slerp(first, t, truncation),
        }
    }

    fn spline(&mut self, first: u64, t: f64, truncation: f64) -> Vec<f32> {
        let (t2, t3) = (t * t, t * t * t);
        let weights = [-t3 + 2.0 * t2 - t, 3.0 * t3 - 5.0 * t2 + 2.0, -3.0 * t3 + 4.0 * t2 + t, t3 - t2];
        // The key before the first one is the last of the loop; without a loop it is the first again.
        let before = if first == 0 { self.period.saturating_sub(1) } else { first - 1 };
        let mut keys: Vec<(u64, f64)> = Vec::with_capacity(4);
        for (number, weight) in [before, first, first + 1, first + 2].into_iter().zip(weights) {
            let number = self.number(number);
            match keys.iter_mut().find(|(seen, _)| *seen == number) {
                Some((_, sum)) => *sum += weight / 2.0,
                None => keys.push((number, weight / 2.0)),
            }
        }
        let energy = keys.iter().map(|(_, weight)| weight * weight).sum::<f64>();
        let mut latent = vec![0.0; self.size];
        for (number, weight) in keys {
            let weight = match self.given.get(number as usize) {
                Some(_) => weight,
                None => weight * truncation / energy.sqrt(),
            };
            add(&mut latent, self.key(number), weight);
        }
        latent.into_iter().map(|v| v as f32).collect()
    }

    fn slerp(&mut self, first: u64, t: f64, truncation: f64) -> Vec<f32> {
        let [mut a, mut b] = [first, first + 1].map(|number| {
            let number = self.number(number);
            let scale = if (number as usize) < self.given.len() { 1.0 } else { truncation };
            self.key(number).iter().map(|v| f64::from(*v) * scale).collect::<Vec<_>>()
        });
        let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let (la, lb) = (length(&a), length(&b));
        let cosine = a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>() / (la * lb);
        let angle = cosine.clamp(-1.0, 1.0).acos();
        let mut latent = vec![0.0; self.size];
        // Of a length of 0 there is no direction, and opposite or equal directions have no great circle of their own.
        if !cosine.is_finite() || angle.sin() < 1e-6 {
            add_all(&mut latent, &a, 1.0 - t);
            add_all(&mut latent, &b, t);
        } else {
            let length = la * (1.0 - t) + lb * t;
            a.iter_mut().for_each(|v| *v /= la);
            b.iter_mut().for_each(|v| *v /= lb);
            add_all(&mut latent, &a, length * ((1.0 - t) * angle).sin() / angle.sin());
            add_all(&mut latent, &b, length * (t * angle).sin() / angle.sin());
        }
        latent.into_iter().map(|v| v as f32).collect()
    }

    /// Keys of a loop come again.
    fn number(&self, key: u64) -> u64 {
        if self.period == 0 { key } else { key % self.period }
    }

    fn key(&mut self, number: u64) -> &[f32] {
        if let Some(index) = usize::try_from(number).ok().filter(|&index| index < self.given.len()) {
            return &self.given[index];
        }
        let index = self.cache.iter().position(|(cached, _)| *cached == number).unwrap_or_else(|| {
            if self.cache.len() == CACHED {
                self.cache.pop_front();
            }
            let mut key = vec![0.0; self.size];
            Random::new(self.seed, Stream::Key(number)).normal(&mut key);
            self.cache.push_back((number, key));
            self.cache.len() - 1
        });
        &self.cache[index].1
    }
}

fn add(sum: &mut [f64], key: &[f32], weight: f64) {
    sum.iter_mut().zip(key).for_each(|(sum, v)| *sum += weight * f64::from(*v));
}

fn add_all(sum: &mut [f64], key: &[f64], weight: f64) {
    sum.iter_mut().zip(key).for_each(|(sum, v)| *sum += weight * v);
}

/// A latent of its own for every frame.
pub fn noise(seed: u64, frame: u64, size: usize, truncation: f64) -> Vec<f32> {
    let mut latent = vec![0.0; size];
    Random::new(seed, Stream::Frame(frame)).normal(&mut latent);
    latent.iter_mut().for_each(|v| *v = (f64::from(*v) * truncation) as f32);
    latent
}

/// Where a walk has got to: the speed may change, and what was walked stays walked.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Odometer {
    /// Position at the last change of speed, in keys.
    position: f64,
    /// When that was, in seconds.
    since: f64,
    speed: f64,
}

impl Odometer {
    /// As if the speed, in keys a second, had always been this.
    pub fn new(speed: f64) -> Self {
        Odometer { position: 0.0, since: 0.0, speed }
    }

    /// The position at a time in seconds, the speed being `speed` from then on.
    pub fn at(&mut self, time: f64, speed: f64) -> f64 {
        let position = self.position + (time - self.since) * self.speed;
        if speed != self.speed {
            *self = Odometer { position, since: time, speed };
        }
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(walk: Walk, period: u64) -> Path {
        Path::new(walk, 5, 512, Vec::new(), period)
    }

    fn distance(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    }

    fn variance(latent: &[f32]) -> f64 {
        latent.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / latent.len() as f64
    }

    #[test]
    fn a_point_depends_on_its_position_alone() {
        for walk in [Walk::Spline, Walk::Slerp] {
            let mut played = path(walk, 0);
            let all: Vec<_> = (0..200).map(|i| played.at(f64::from(i) * 0.13, 1.0)).collect();
            let mut sought = path(walk, 0);
            for i in [150, 3, 77, 0, 199] {
                assert_eq!(sought.at(i as f64 * 0.13, 1.0), all[i], "{walk:?} {i}");
            }
            assert_ne!(Path::new(walk, 6, 512, Vec::new(), 0).at(1.3, 1.0), path(walk, 0).at(1.3, 1.0));
        }
    }

    #[test]
    fn what_lies_between_keys_is_as_wide_as_they_are() {
        for walk in [Walk::Spline, Walk::Slerp] {
            let mut path = path(walk, 0);
            let mean = (0..400).map(|i| variance(&path.at(f64::from(i) * 0.1, 1.0))).sum::<f64>() / 400.0;
            assert!((mean - 1.0).abs() < 0.03, "{walk:?} {mean}");
            let halves = variance(&path.at(2.5, 0.5)) / variance(&path.at(2.5, 1.0));
            assert!((halves - 0.25).abs() < 1e-5, "{walk:?} {halves}");
        }
    }

    #[test]
    fn paths_are_smooth_and_splines_have_no_corner() {
        let step = 1.0 / 64.0;
        for walk in [Walk::Spline, Walk::Slerp] {
            let mut path = path(walk, 0);
            let points: Vec<_> = (0..640).map(|i| path.at(f64::from(i) * step, 1.0)).collect();
            let steps: Vec<f64> = points.windows(2).map(|p| distance(&p[0], &p[1])).collect();
            let mean = steps.iter().sum::<f64>() / steps.len() as f64;
            assert!(steps.iter().all(|s| *s < 3.0 * mean), "{walk:?} jumps");
            let bend = |i: usize| {
                let ahead: Vec<f32> = points[i].iter().zip(&points[i - 1]).map(|(b, a)| 2.0 * b - a).collect();
                distance(&ahead, &points[i + 1]) / steps[i]
            };
            let corner = (1..9).map(|key| bend(key * 64)).fold(0.0, f64::max);
            assert_eq!(corner < 0.2, walk == Walk::Spline, "{walk:?} {corner}");
        }
    }

    #[test]
    fn loops_close() {
        for (walk, period) in [(Walk::Spline, 1), (Walk::Spline, 2), (Walk::Spline, 5), (Walk::Slerp, 3)] {
            let mut path = path(walk, period);
            for position in [0.0, 0.25, 0.9] {
                let (once, again) = (path.at(position, 1.0), path.at(position + period as f64, 1.0));
                assert!(distance(&once, &again) < 1e-4, "{walk:?} {period} {position}");
            }
            let (end, start) = (path.at(period as f64 - 1e-6, 1.0), path.at(0.0, 1.0));
            assert!(distance(&end, &start) < 1e-3, "{walk:?} {period}");
        }
    }

    #[test]
    fn given_keys_are_passed_exactly_and_truncation_leaves_them_alone() {
        let given: Vec<Vec<f32>> = vec![vec![3.0; 64], (0..64).map(|i| i as f32 / 4.0).collect()];
        for walk in [Walk::Spline, Walk::Slerp] {
            let mut morph = Path::new(walk, 1, 64, given.clone(), 2);
            for (position, key) in [(0.0, 0), (1.0, 1), (2.0, 0), (3.0, 1)] {
                assert!(distance(&morph.at(position, 0.3), &given[key]) < 1e-4, "{walk:?} {position}");
            }
            let middle = morph.at(0.5, 0.3);
            let (a, b) = (distance(&middle, &given[0]), distance(&middle, &given[1]));
            assert!((a / b - 1.0).abs() < 0.2, "{walk:?} {a} {b}");
            let mut walk_away = Path::new(walk, 1, 64, given[..1].to_vec(), 0);
            assert!(distance(&walk_away.at(0.0, 0.5), &given[0]) < 1e-4);
            assert!((variance(&walk_away.at(9.0, 0.5)) / 0.25 - 1.0).abs() < 0.4);
        }
    }

    #[test]
    fn a_change_of_speed_does_not_jump() {
        let mut odometer = Odometer::new(2.0);
        assert_eq!((odometer.at(0.0, 2.0), odometer.at(1.5, 2.0)), (0.0, 3.0));
        assert_eq!((odometer.at(2.0, 0.5), odometer.at(4.0, 0.5)), (4.0, 5.0));
        assert_eq!((odometer.at(4.0, 0.0), odometer.at(9.0, 0.0)), (5.0, 5.0));
    }

    #[test]
    fn uniform_latents_are_even_from_minus_one_to_one() {
        let mut latent = noise(3, 4, 40_000, 1.0);
        Distribution::Uniform.shape(&mut latent);
        assert!(latent.iter().all(|v| v.abs() <= 1.0));
        for quarter in 0..4 {
            let low = -1.0 + 0.5 * quarter as f32;
            let share = latent.iter().filter(|v| (low..low + 0.5).contains(*v)).count() as f64 / latent.len() as f64;
            assert!((share - 0.25).abs() < 0.01, "{quarter}: {share}");
        }
    }
}
