//! From values to places, and which values get a tick.

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    Linear,
    Logarithmic,
}

/// An axis from one place to another; values may not all be finite or, on a logarithmic one, positive.
#[derive(Debug, Clone)]
pub struct Axis {
    scale: Scale,
    /// In the scale's own terms: of a logarithmic axis, logarithms.
    low: f64,
    high: f64,
    from: f32,
    to: f32,
}

impl Axis {
    /// With room around `values`; `None` if there is none to show.
    pub fn around(values: impl Iterator<Item = f64>, scale: Scale, from: f32, to: f32) -> Option<Axis> {
        let scaled = values.map(|value| scale.of(value)).filter(|value| value.is_finite());
        let (low, high) = scaled.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return None;
        }
        let room = if high > low { 0.04 * (high - low) } else { 0.5 };
        Some(Axis { scale, low: low - room, high: high + room, from, to })
    }

    pub fn place(&self, value: f64) -> f32 {
        let share = (self.scale.of(value) - self.low) / (self.high - self.low);
        self.from + (share as f32) * (self.to - self.from)
    }

    /// Values that are easy to read, about `count` of them.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high, count),
            Scale::Logarithmic => logarithmic_ticks(self.low, self.high, count),
        }
    }
}

impl Scale {
    fn of(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Logarithmic => value.log10(),
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let about = (high - low) / count as f64;
    let power = 10f64.powf(about.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= 0.999 * about);
    let step = step.unwrap_or(10.0 * power);
    ((low / step).ceil() as i64..=(high / step).floor() as i64).map(|index| index as f64 * step).collect()
}

/// Of each power of ten 1, 2 and 5 times it, or less of them where that is too many.
fn logarithmic_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let with = |digits: &[f64]| -> Vec<f64> {
        let powers = low.floor() as i32..=high.floor() as i32;
        let all = powers.flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        all.filter(|value| (low..=high).contains(&value.log10())).collect()
    };
    let choices: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
    choices.map(with).into_iter().find(|ticks| ticks.len() <= count + count / 2).unwrap_or_else(|| with(&[1.0]))
}

/// A tick's number, without zeros that say nothing.
pub fn label(value: f64) -> String {
    let digits = if value.abs() >= 10.0 || value == 0.0 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(linear_ticks(27.3, 45.2, 5), [30.0, 35.0, 40.0, 45.0]);
        assert_eq!(linear_ticks(36.9, 40.1, 4), [37.0, 38.0, 39.0, 40.0]);
        assert_eq!(logarithmic_ticks(1.2, 3.1, 6), [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert_eq!(logarithmic_ticks(0.5, 4.5, 4), [10.0, 100.0, 1000.0, 10000.0]);
    }

    #[test]
    fn values_lie_in_proportion_and_within_the_axis() {
        let axis = Axis::around([10.0, 1000.0].into_iter(), Scale::Logarithmic, 100.0, 300.0).unwrap();
        assert_eq!(axis.place(100.0), 200.0);
        assert!(axis.place(10.0) > 100.0 && axis.place(10.0) < 110.0);
        assert!(axis.place(1000.0) < 300.0 && axis.place(1000.0) > 290.0);
        let upwards = Axis::around([0.0, f64::NAN, 4.0].into_iter(), Scale::Linear, 50.0, 0.0).unwrap();
        assert_eq!(upwards.place(2.0), 25.0);
    }

    #[test]
    fn one_value_or_none_is_no_division_by_nought() {
        let axis = Axis::around([7.0].into_iter(), Scale::Linear, 0.0, 10.0).unwrap();
        assert_eq!(axis.place(7.0), 5.0);
        assert!(Axis::around([0.0, -1.0].into_iter(), Scale::Logarithmic, 0.0, 10.0).is_none());
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([2000.0, 0.5, 10.0, 1.0, 0.05, 0.0].map(label), ["2000", "0.5", "10", "1", "0.05", "0"]);
    }
}
