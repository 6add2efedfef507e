//! Where a box will be: a constant-velocity Kalman filter over its centre and size.
//!
//! The motion model of SORT and ByteTrack with width and height in place of area and aspect (as BoT-SORT, Aharon et
//! al., 2022, arXiv:2206.14651). Model, measurement and noise couple none of the four coordinates, so the 8x8 filter
//! falls apart into four filters of position and velocity, written out below; no matrix library is needed.
//!
//! Time is in frame periods and need not come in whole ones. The process noise is that of white-noise acceleration
//! integrated over the step, so two steps of 1 predict what one step of 2 does, and skipped frames change nothing.

use crate::boxes::Rect;

/// Standard deviations as a fraction of the box's side, a frame: those of the DeepSORT and ByteTrack filters.
const POSITION_NOISE: f64 = 1.0 / 20.0;
const VELOCITY_NOISE: f64 = 1.0 / 160.0;
const MEASUREMENT_NOISE: f64 = 1.0 / 20.0;
/// How much less is known at the first sight of a box.
const FIRST_POSITION: f64 = 2.0;
const FIRST_VELOCITY: f64 = 10.0;

/// One coordinate: mean and covariance of position (pixels) and velocity (pixels a frame).
#[derive(Debug, Clone, Copy)]
struct Axis {
    position: f64,
    velocity: f64,
    position_variance: f64,
    covariance: f64,
    velocity_variance: f64,
}

impl Axis {
    fn new(position: f64, side: f64) -> Self {
        Axis {
            position,
            velocity: 0.0,
            position_variance: (FIRST_POSITION * POSITION_NOISE * side).powi(2),
            covariance: 0.0,
            velocity_variance: (FIRST_VELOCITY * VELOCITY_NOISE * side).powi(2),
        }
    }

    fn predict(&mut self, dt: f64, side: f64) {
        let position_noise = (POSITION_NOISE * side).powi(2);
        let velocity_noise = (VELOCITY_NOISE * side).powi(2);
        self.position += self.velocity * dt;
        self.position_variance += dt * (2.0 * self.covariance + dt * self.velocity_variance)
            + position_noise * dt
            + velocity_noise * dt.powi(3) / 3.0;
        self.covariance += dt * self.velocity_variance + velocity_noise * dt.powi(2) / 2.0;
        self.velocity_variance += velocity_noise * dt;
    }

    fn update(&mut self, measured: f64, side: f64) {
        let innovation = measured - self.position;
        let variance = self.position_variance + (MEASUREMENT_NOISE * side).powi(2);
        let position_gain = self.position_variance / variance;
        let velocity_gain = self.covariance / variance;
        self.position += position_gain * innovation;
        self.velocity += velocity_gain * innovation;
        self.velocity_variance -= velocity_gain * self.covariance;
        self.covariance *= 1.0 - position_gain;
        self.position_variance *= 1.0 - position_gain;
    }
}

/// The estimated box of one object.
#[derive(Debug, Clone)]
pub struct BoxFilter {
    x: Axis,
    y: Axis,
    w: Axis,
    h: Axis,
}

impl BoxFilter {
    /// Starts at `rect`, at rest. Its sides must be above 0.
    pub fn new(rect: &Rect) -> Self {
        let [x, y, w, h] = centre_and_size(rect);
        BoxFilter { x: Axis::new(x, w), y: Axis::new(y, h), w: Axis::new(w, w), h: Axis::new(h, h) }
    }

    /// Moves on by `dt` frame periods, 0 and up.
    pub fn predict(&mut self, dt: f64) {
        let (w, h) = (self.w.position, self.h.position);
        for side in [&mut self.w, &mut self.h] {
            // A box that shrinks as it leaves the picture must not turn inside out.
            if side.position + side.velocity * dt <= 0.0 {
                side.velocity = 0.0;
            }
        }
        self.x.predict(dt, w);
        self.y.predict(dt, h);
        self.w.predict(dt, w);
        self.h.predict(dt, h);
    }

    /// Takes in where the box was seen. Its sides must be above 0.
    pub fn update(&mut self, rect: &Rect) {
        let [x, y, w, h] = centre_and_size(rect);
        let (noise_w, noise_h) = (self.w.position, self.h.position);
        self.x.update(x, noise_w);
        self.y.update(y, noise_h);
        self.w.update(w, noise_w);
        self.h.update(h, noise_h);
    }

    /// Keeps the size as it is. What hides an object also shrinks its box, which says nothing about its growth.
    pub fn hold_size(&mut self) {
        self.w.velocity = 0.0;
        self.h.velocity = 0.0;
    }

    /// The box as estimated now.
    pub fn rect(&self) -> Rect {
        let (w, h) = (self.w.position, self.h.position);
        Rect { x: (self.x.position - w / 2.0) as f32, y: (self.y.position - h / 2.0) as f32, w: w as f32, h: h as f32 }
    }
}

fn centre_and_size(rect: &Rect) -> [f64; 4] {
    let [x, y, w, h] = [rect.x, rect.y, rect.w, rect.h].map(f64::from);
    [x + w / 2.0, y + h / 2.0, w, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rect(x: f32) -> Rect {
        Rect { x, y: 20.0, w: 40.0, h: 80.0 }
    }

    fn moving_right(step: f32, frames: usize) -> BoxFilter {
        let mut filter = BoxFilter::new(&rect(0.0));
        for i in 1..=frames {
            filter.predict(1.0);
            filter.update(&rect(step * i as f32));
        }
        filter
    }

    #[test]
    fn steady_motion_is_foreseen() {
        let mut filter = moving_right(5.0, 30);
        filter.predict(4.0);
        let seen = filter.rect();
        assert!((seen.x - 170.0).abs() < 1.0, "{seen:?}");
        assert!((seen.y - 20.0).abs() < 0.1 && (seen.w - 40.0).abs() < 0.1 && (seen.h - 80.0).abs() < 0.1);
    }

    #[test]
    fn one_long_step_equals_many_short_ones() {
        let (mut once, mut often) = (moving_right(3.0, 10), moving_right(3.0, 10));
        once.predict(2.5);
        for _ in 0..10 {
            often.predict(0.25);
        }
        for (a, b) in [(once.x, often.x), (once.y, often.y), (once.w, often.w), (once.h, often.h)] {
            assert!((a.position - b.position).abs() < 1e-9);
            assert!((a.position_variance - b.position_variance).abs() < 1e-9 * a.position_variance);
            assert!((a.covariance - b.covariance).abs() < 1e-9 * a.covariance.abs().max(1e-9));
            assert!((a.velocity_variance - b.velocity_variance).abs() < 1e-9 * a.velocity_variance);
        }
    }

    /// Against the textbook form with matrices: P = F P F' + Q, K = P H' / S, worked out by hand for these numbers.
    #[test]
    fn gain_follows_from_the_variances() {
        let mut axis =
            Axis { position: 10.0, velocity: 1.0, position_variance: 4.0, covariance: 1.0, velocity_variance: 2.0 };
        axis.predict(2.0, 0.0);
        assert_eq!((axis.position, axis.position_variance, axis.covariance), (12.0, 16.0, 5.0));
        axis.update(20.0, 40.0); // measurement noise (40 / 20)^2 = 4, so S = 20
        assert!((axis.position - (12.0 + 0.8 * 8.0)).abs() < 1e-12);
        assert!((axis.velocity - (1.0 + 0.25 * 8.0)).abs() < 1e-12);
        assert!((axis.position_variance - 3.2).abs() < 1e-12);
        assert!((axis.covariance - 1.0).abs() < 1e-12);
        assert!((axis.velocity_variance - 0.75).abs() < 1e-12);
    }

    #[test]
    fn a_shrinking_box_keeps_its_sides_above_zero() {
        let mut filter = BoxFilter::new(&Rect { x: 0.0, y: 0.0, w: 50.0, h: 50.0 });
        for i in 1..20 {
            filter.predict(1.0);
            let side = (50.0 - 5.0 * i as f32).max(1.0);
            filter.update(&Rect { x: 0.0, y: 0.0, w: side, h: side });
        }
        for _ in 0..100 {
            filter.predict(3.0);
            assert!(filter.rect().w > 0.0 && filter.rect().h > 0.0);
        }
    }
}
