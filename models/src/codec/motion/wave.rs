//! Blocks that depend on those to the left and above, decided by several threads at once: each row follows the one above it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// So often a thread looks whether a block is there before it lets others run.
const LOOKS: u32 = 200;

/// What `decide` gives for each of `rows` of `columns` blocks. It is told the index of a block and what was decided before, of
/// which it may look at all of the same row and at the row above up to one block farther; what else is there is of no meaning. The
/// outcome is the same with any number of threads.
pub fn decide<T: Copy + Default + Send + Sync>(
    threads: usize,
    columns: usize,
    rows: usize,
    decide: impl Fn(usize, &[T]) -> T + Sync,
) -> Vec<T> {
    let threads = threads.min(rows);
    if threads < 2 {
        let mut known = vec![T::default(); columns * rows];
        for index in 0..known.len() {
            known[index] = decide(index, &known);
        }
        return known;
    }
    let shared: Vec<OnceLock<T>> = (0..columns * rows).map(|_| OnceLock::new()).collect();
    let failed = AtomicBool::new(false);
    let work = |first: usize| {
        let _alarm = Alarm(&failed);
        let mut known = vec![T::default(); columns * rows];
        for row in (first..rows).step_by(threads) {
            for index in row * columns..(row + 1) * columns {
                if row > 0 {
                    // One more of the row above; at the left edge that is the first two.
                    let ahead = (index - columns + 1).min(row * columns - 1);
                    for above in [index - columns, ahead] {
                        match wait(&shared[above], &failed) {
                            Some(value) => known[above] = value,
                            None => return,
                        }
                    }
                }
                known[index] = decide(index, &known);
                let _ = shared[index].set(known[index]);
            }
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|first| {
            scope.spawn(move || work(first));
        });
        work(0);
    });
    shared.into_iter().map(|value| value.into_inner().unwrap_or_default()).collect()
}

/// What another thread decides; nothing if one has failed.
fn wait<T: Copy>(value: &OnceLock<T>, failed: &AtomicBool) -> Option<T> {
    let mut looks = 0;
    loop {
        if let Some(value) = value.get() {
            return Some(*value);
        }
        if failed.load(Ordering::Relaxed) {
            return None;
        }
        looks += 1;
        if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
}

/// Tells the others when its thread panics, as they would wait forever.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Depends on all that it may look at.
    fn mix(columns: usize) -> impl Fn(usize, &[u64]) -> u64 + Sync {
        move |index, known: &[u64]| {
            let row = index / columns;
            let mut seen = index as u64;
            let mut add = |at: usize| seen = seen.wrapping_mul(6364136223846793005).wrapping_add(known[at] | 1);
            (row * columns..index).for_each(&mut add);
            if row > 0 {
                ((row - 1) * columns..=(index - columns + 1).min(row * columns - 1)).for_each(&mut add);
            }
            seen
        }
    }

    #[test]
    fn any_number_of_threads_decides_the_same() {
        for (columns, rows) in [(1, 1), (1, 9), (7, 1), (2, 2), (5, 6), (40, 23)] {
            let one = decide(1, columns, rows, mix(columns));
            for threads in [2, 3, 8] {
                assert_eq!(decide(threads, columns, rows, mix(columns)), one, "{columns}x{rows}, {threads}");
            }
        }
        assert!(decide(2, 4, 0, mix(4)).is_empty());
    }

    #[test]
    fn a_panic_ends_all_threads() {
        let result = std::panic::catch_unwind(|| {
            decide(3, 4, 9, |index, _: &[u32]| if index == 17 { panic!("on purpose") } else { 1 })
        });
        assert!(result.is_err());
    }
}
