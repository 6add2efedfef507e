//! States of something that goes on step by step, kept so that going back does not mean going through all of it again.

use std::collections::{BTreeMap, VecDeque};

/// States by the number of the step that they come before.
///
/// Never more than twice so many. Those that are *spread* over all that was gone through get rarer as that gets longer: when
/// there are too many, every second one goes, and from then on half as many are kept. Those that are *near* are the last ones
/// that were offered, as close together as the first spread ones were: whoever goes backwards comes from a spread one once,
/// and from there on from near ones.
#[derive(Debug, Clone)]
pub struct Snapshots<T> {
    spread: BTreeMap<u64, T>,
    near: VecDeque<(u64, T)>,
    /// Steps between two near ones.
    first: u64,
    /// Steps between two spread ones.
    every: u64,
    most: usize,
}

impl<T: Clone> Snapshots<T> {
    /// One every so many steps to begin with, and `most` of each kind.
    pub fn new(every: u64, most: usize) -> Self {
        let every = every.max(1);
        Snapshots { spread: BTreeMap::new(), near: VecDeque::new(), first: every, every, most: most.max(2) }
    }

    /// Keeps a state, if it is one to be kept.
    pub fn offer(&mut self, step: u64, state: &T) {
        if !step.is_multiple_of(self.first) {
            return;
        }
        if !self.near.iter().any(|(near, _)| *near == step) {
            let oldest = if self.near.len() == self.most { self.near.pop_front() } else { None };
            let mut kept = oldest.map_or_else(|| state.clone(), |(_, kept)| kept);
            kept.clone_from(state);
            self.near.push_back((step, kept));
        }
        if !step.is_multiple_of(self.every) || self.spread.contains_key(&step) {
            return;
        }
        self.spread.insert(step, state.clone());
        if self.spread.len() > self.most {
            self.every *= 2;
            let every = self.every;
            self.spread.retain(|step, _| step.is_multiple_of(every));
        }
    }

    /// The last one that comes at or before `step`.
    pub fn before(&self, step: u64) -> Option<(u64, T)> {
        let spread = self.spread.range(..=step).next_back().map(|(step, state)| (*step, state));
        let near = self.near.iter().filter(|(near, _)| *near <= step).map(|(step, state)| (*step, state));
        near.chain(spread).max_by_key(|(step, _)| *step).map(|(step, state)| (step, state.clone()))
    }

    pub fn clear(&mut self) {
        *self = Snapshots::new(self.first, self.most);
    }

    pub fn len(&self) -> usize {
        self.spread.len() + self.near.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_one_before_is_found() {
        let mut snapshots = Snapshots::new(10, 100);
        (0..95).for_each(|step| snapshots.offer(step, &(step * 2)));
        assert_eq!(snapshots.len(), 10 + 10);
        assert_eq!(snapshots.before(57), Some((50, 100)));
        assert_eq!(snapshots.before(50), Some((50, 100)));
        assert_eq!(snapshots.before(3), Some((0, 0)));
        snapshots.clear();
        assert_eq!(snapshots.before(57), None);
        assert!(snapshots.is_empty());
    }

    #[test]
    fn there_are_never_too_many_and_they_stay_spread_out() {
        let mut snapshots = Snapshots::new(8, 16);
        for step in 0..100_000 {
            snapshots.offer(step, &step);
            assert!(snapshots.len() <= 2 * 16);
        }
        assert!(snapshots.spread.len() >= 8);
        let largest_gap = (0..100_000).step_by(97).map(|step| step - snapshots.before(step).unwrap().0).max().unwrap();
        assert!(largest_gap <= 100_000 / 6, "{largest_gap}");
        // The last ones are as close as in the beginning, and a new beginning is as close again.
        assert!((100_000 - 16 * 8..100_000).all(|step| step - snapshots.before(step).unwrap().0 < 8));
        snapshots.clear();
        (0..100).for_each(|step| snapshots.offer(step, &step));
        assert!((0..100).all(|step| step - snapshots.before(step).unwrap().0 < 8));
    }

    #[test]
    fn near_ones_stay_where_they_are_in_memory() {
        let mut snapshots = Snapshots::new(1, 4);
        let places = |snapshots: &Snapshots<Vec<u64>>| -> Vec<_> {
            let mut places: Vec<_> = snapshots.near.iter().map(|(_, state)| state.as_ptr()).collect();
            places.sort_unstable();
            places
        };
        (0..4).for_each(|step| snapshots.offer(step, &vec![step; 9]));
        let before = places(&snapshots);
        (4..40).for_each(|step| snapshots.offer(step, &vec![step; 9]));
        assert_eq!(places(&snapshots), before);
        assert_eq!(snapshots.before(39), Some((39, vec![39; 9])));
    }
}
