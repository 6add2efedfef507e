//! The rates of input and output, and the times that pictures have at them.

use crate::codec::Timeline as Count;

const SECOND: u128 = 1_000_000_000;
/// Timestamps of containers are rounded to this at worst (Matroska's are): as near, a frame is shown where the output's grid
/// wants a picture, and leaves with the grid's time.
const ROUNDING: u64 = 1_000_000;
/// Nominal times that meet a frame's to this are what the stream means.
const EXACT: u64 = 10;

/// Times beyond (73 years) are no times of a stream.
const LATEST: u64 = u64::MAX / 8;

/// Frames a second.
pub type Rate = (u32, u32);

/// What comes and what is wanted; `None` is not known or, of the output, the same as the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    input: Option<Rate>,
    output: Option<Rate>,
}

impl Rates {
    /// Rates of 0 are unknown.
    pub fn new(input: Rate, output: Rate) -> Self {
        let known = |rate: Rate| Some(rate).filter(|rate| rate.0 > 0 && rate.1 > 0);
        let (input, output) = (known(input), known(output));
        let same = |a: Rate, b: Rate| u64::from(a.0) * u64::from(b.1) == u64::from(b.0) * u64::from(a.1);
        let output = match (input, output) {
            (Some(input), Some(output)) if same(input, output) => None,
            _ => output,
        };
        Rates { input, output }
    }

    /// Whether the output has another rate than the input.
    pub fn changes(self) -> bool {
        self.output.is_some()
    }

    /// From one frame of the input to the next, in ns; `None` where that is not known.
    pub fn spacing(self) -> Option<u64> {
        self.input.map(|rate| Count::new(rate).after(1))
    }

    /// The time that the frame after one at `time` has, to the nanosecond.
    pub fn next(self, time: u64) -> Option<u64> {
        let mut count = Count::new(self.input?);
        count.set(time);
        Some(count.after(1))
    }

    pub fn output_spacing(self) -> Option<u64> {
        self.output.or(self.input).map(|rate| Count::new(rate).after(1))
    }

    /// How many pictures leave for each that comes, if that is a whole number: then all of those leave, too.
    fn multiple(self) -> Option<u64> {
        let Some(output) = self.output else { return Some(1) };
        let (from, to) = (self.input?, output);
        let (up, down) = (u64::from(to.0) * u64::from(from.1), u64::from(to.1) * u64::from(from.0));
        up.is_multiple_of(down).then(|| up / down)
    }

    pub fn is_multiple(self) -> bool {
        self.multiple().is_some()
    }

    /// Whether a frame of the input that is shown from `time` on leaves: the time that it leaves with, and its duration where it
    /// has to change.
    pub fn keeps(self, time: u64, origin: u64) -> Option<(u64, Option<u64>)> {
        let Some(output) = self.output.filter(|_| time < LATEST) else { return Some((time, None)) };
        if self.is_multiple() {
            let mut count = Count::new(output);
            count.set(time);
            return Some((time, Some(count.after(1) - time)));
        }
        let grid = Grid { rate: output, origin };
        let index = grid.first_from(time.saturating_sub(grid.tolerance()));
        let place = grid.time(index);
        let near = place.abs_diff(time) <= grid.tolerance();
        near.then(|| (place, Some(grid.time(index + 1).saturating_sub(place))))
    }

    /// How long a picture that is made is shown: until the next one, where that is not decided by what comes.
    pub fn shown(self, time: u64, origin: u64) -> Option<u64> {
        let rate = self.output.filter(|_| !self.is_multiple() && time < LATEST)?;
        let grid = Grid { rate, origin };
        Some(grid.time(grid.first_from(time + 1)) - time)
    }

    /// Times of pictures after a frame and before another (or none), at the nominal rate. None that are well before `left`.
    pub fn after(self, from: u64, until: u64, left: u64, origin: u64) -> Vec<u64> {
        let Some(rate) = self.output.or(self.input).filter(|_| until < LATEST) else { return Vec::new() };
        if !self.is_multiple() {
            return Grid { rate, origin }.between(from.max(left), until);
        }
        let mut count = Count::new(rate);
        count.set(from);
        let near = count.after(1).saturating_sub(from) / 2;
        let elapsed = u128::from(left.saturating_sub(from)) * u128::from(rate.0) / (SECOND * u128::from(rate.1));
        let first = (elapsed as u64).max(1);
        (first..).map(|k| count.after(k)).take_while(|time| time.saturating_add(near) < until).collect()
    }

    /// Times of pictures between two frames of the input, of which those that came are `spacing` apart.
    pub fn between(self, from: u64, until: u64, spacing: Option<u64>, origin: u64) -> Vec<u64> {
        let Some(multiple) = self.multiple() else { return self.after(from, until, from, origin) };
        let steps = spacing.filter(|s| *s > 0).map_or(1, |s| ((until - from + s / 2) / s).max(1)) * multiple;
        // As the rate has them, if that meets the second frame; else evenly. Where the first frame leaves with a duration of the
        // rate, what follows it does best to begin there, so rounded times are met, too.
        if let Some(rate) = self.output.or(self.input) {
            let mut count = Count::new(rate);
            count.set(from);
            let near = if self.changes() { Grid { rate, origin }.tolerance() } else { EXACT };
            if count.after(steps).abs_diff(until) <= near {
                return (1..steps).map(|k| count.after(k)).collect();
            }
        }
        let part = |k: u64| from + (u128::from(until - from) * u128::from(k) / u128::from(steps)) as u64;
        (1..steps).map(part).collect()
    }
}

/// Times that have nothing to do with those of the input, but for where they begin.
struct Grid {
    rate: Rate,
    origin: u64,
}

impl Grid {
    fn time(&self, index: u64) -> u64 {
        let mut count = Count::new(self.rate);
        count.set(self.origin);
        count.after(index)
    }

    fn tolerance(&self) -> u64 {
        ROUNDING.min(Count::new(self.rate).after(1) / 8)
    }

    /// The index of the first that is not before `time`.
    fn first_from(&self, time: u64) -> u64 {
        let elapsed = u128::from(time.saturating_sub(self.origin));
        let index = elapsed * u128::from(self.rate.0) / (SECOND * u128::from(self.rate.1));
        let index = index as u64;
        // Rounding may have put it one off.
        (index.saturating_sub(1)..=index).find(|&index| self.time(index) >= time).unwrap_or(index.saturating_add(1))
    }

    /// Those between two frames of the input; what lies on a frame is that frame.
    fn between(&self, from: u64, until: u64) -> Vec<u64> {
        let first = self.first_from(from.saturating_add(self.tolerance() + 1));
        let end = until.saturating_sub(self.tolerance());
        (first..).map(|index| self.time(index)).take_while(|time| *time < end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_whole_multiple_lies_between_the_frames_of_the_input() {
        let rates = Rates::new((25, 1), (50, 1));
        assert_eq!((rates.changes(), rates.is_multiple(), rates.spacing()), (true, true, Some(40 * MS)));
        assert_eq!(rates.between(0, 40 * MS, rates.spacing(), 0), [20 * MS]);
        assert_eq!(rates.between(40 * MS, 120 * MS, rates.spacing(), 0), [60 * MS, 80 * MS, 100 * MS]);
        assert_eq!(rates.keeps(40 * MS, 0), Some((40 * MS, Some(20 * MS))));
        assert_eq!(rates.after(40 * MS, 80 * MS, 40 * MS, 0), [60 * MS]);
    }

    #[test]
    fn times_without_a_whole_number_of_ns_are_those_of_the_rate() {
        let rates = Rates::new((30, 1), (60, 1));
        assert_eq!(rates.between(33_333_333, 66_666_666, rates.spacing(), 0), [50_000_000]);
        assert_eq!(rates.next(66_666_666), Some(100_000_000));
        let rates = Rates::new((30_000, 1001), (60_000, 1001));
        assert_eq!(rates.between(33_366_666, 66_733_333, rates.spacing(), 0), [50_050_000]);
        // Rounded to ms, as Matroska does: where the picture before says that it ends.
        let rates = Rates::new((30, 1), (60, 1));
        assert_eq!(rates.keeps(33 * MS, 0), Some((33 * MS, Some(16_666_666))));
        assert_eq!(rates.between(33 * MS, 67 * MS, rates.spacing(), 0), [49_666_666]);
        // Beyond rounding: midway between what came.
        assert_eq!(rates.between(33 * MS, 73 * MS, rates.spacing(), 0), [53 * MS]);
    }

    #[test]
    fn the_same_rate_has_times_for_missing_frames_only() {
        for rates in [Rates::new((25, 1), (25, 1)), Rates::new((25, 1), (50, 2)), Rates::new((25, 1), (0, 1))] {
            assert!(!rates.changes());
            assert_eq!(rates.keeps(7, 0), Some((7, None)));
            assert_eq!(rates.between(0, 40 * MS, rates.spacing(), 0), [0u64; 0]);
            assert_eq!(rates.between(0, 59 * MS, rates.spacing(), 0), [0u64; 0], "late, not missing");
            assert_eq!(rates.between(0, 160 * MS, rates.spacing(), 0), [40 * MS, 80 * MS, 120 * MS]);
        }
    }

    #[test]
    fn any_other_rate_has_a_grid_on_which_some_frames_lie() {
        let rates = Rates::new((24, 1), (60, 1));
        let frame = |k: u64| k * 1_000_000_000 / 24;
        let mut times = Vec::new();
        for k in 0..24 {
            if let Some((time, _)) = rates.keeps(frame(k), 0) {
                assert_eq!(k % 2, 0, "every second one lies on the grid");
                times.push(time);
            }
            times.extend(rates.between(frame(k), frame(k + 1), rates.spacing(), 0));
        }
        let expected: Vec<u64> = (0..60).map(|k| k * 1_000_000_000 / 60).collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn a_frame_near_the_grid_leaves_with_its_time() {
        let rates = Rates::new((30_000, 1001), (60, 1));
        assert_eq!(rates.keeps(33_366_666, 0), Some((33_333_333, Some(16_666_667))));
        assert_eq!(
            rates.keeps(5_000_000 + 33_333_000, 5_000_000),
            Some((38_333_333, Some(16_666_667))),
            "it may be early"
        );
        assert_eq!(rates.keeps(35 * MS, 0), None);
    }

    #[test]
    fn a_lower_rate_leaves_frames_out() {
        let rates = Rates::new((50, 1), (20, 1));
        let kept: Vec<u64> = (0..10).map(|k| k * 20 * MS).filter(|&time| rates.keeps(time, 0).is_some()).collect();
        assert_eq!(kept, [0, 100 * MS]);
        assert_eq!(rates.between(40 * MS, 60 * MS, rates.spacing(), 0), [50 * MS]);
        assert_eq!(rates.between(0, 20 * MS, rates.spacing(), 0), [0u64; 0]);
    }

    #[test]
    fn unknown_rates_have_no_times_of_their_own() {
        let rates = Rates::new((0, 1), (0, 1));
        assert_eq!((rates.spacing(), rates.output_spacing()), (None, None));
        assert_eq!(rates.between(0, 500 * MS, None, 0), [0u64; 0]);
        assert_eq!(rates.after(0, 500 * MS, 0, 0), [0u64; 0]);
        // Unless what was usual is known.
        assert_eq!(rates.between(0, 120 * MS, Some(40 * MS), 0), [40 * MS, 80 * MS]);
        // Or a rate is asked for.
        assert_eq!(Rates::new((0, 1), (10, 1)).between(0, 250 * MS, None, 0), [100 * MS, 200 * MS]);
    }

    #[test]
    fn hostile_times_and_rates_end() {
        for (input, output) in [((1, u32::MAX), (u32::MAX, 1)), ((25, 1), (60, 1)), ((u32::MAX, 1), (1, u32::MAX))] {
            let rates = Rates::new(input, output);
            rates.keeps(u64::MAX, 0);
            assert!(rates.after(0, 1000, 0, 0).len() <= 4300);
            assert!(rates.after(u64::MAX - 10, u64::MAX, u64::MAX - 5, 3).len() < 100);
        }
    }
}
