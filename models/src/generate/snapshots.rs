//! States of something that goes on step by step, kept so that going back does not mean going through all of it again.

use std::collections::BTreeMap;

/// States by the number of the step that they come before. Never more than so many: when there are too many, every second one
/// goes, and from then on half as many are kept.
#[derive(Debug, Clone)]
pub struct Snapshots<T> {
    kept: BTreeMap<u64, T>,
    every: u64,
    most: usize,
}

impl<T: Clone> Snapshots<T> {
    /// One every so many steps to begin with, and `most` in all.
    pub fn new(every: u64, most: usize) -> Self {
        Snapshots { kept: BTreeMap::new(), every: every.max(1), most: most.max(2) }
    }

    /// Keeps a state, if it is one to be kept.
    pub fn offer(&mut self, step: u64, state: &T) {
        if !step.is_multiple_of(self.every) || self.kept.contains_key(&step) {
            return;
        }
        self.kept.insert(step, state.clone());
        if self.kept.len() > self.most {
            self.every *= 2;
            let every = self.every;
            self.kept.retain(|step, _| step.is_multiple_of(every));
        }
    }

    /// The last one that comes at or before `step`.
    pub fn before(&self, step: u64) -> Option<(u64, T)> {
        self.kept.range(..=step).next_back().map(|(step, state)| (*step, state.clone()))
    }

    pub fn clear(&mut self) {
        self.kept.clear();
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_one_before_is_found() {
        let mut snapshots = Snapshots::new(10, 100);
        (0..95).for_each(|step| snapshots.offer(step, &(step * 2)));
        assert_eq!(snapshots.len(), 10);
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
            assert!(snapshots.len() <= 16);
        }
        assert!(snapshots.len() >= 8);
        let largest_gap = (0..100_000).step_by(97).map(|step| step - snapshots.before(step).unwrap().0).max().unwrap();
        assert!(largest_gap <= 100_000 / 6, "{largest_gap}");
    }
}
