//! Frames and events between the thread that brings them and the thread that pushes them on, in order.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushing;

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, bool)>,
    /// Items that count as busy: queued, or taken and not yet done.
    busy: usize,
    /// An item was taken and is not done.
    taken: Option<bool>,
    flushing: bool,
}

/// A queue whose items may be "busy" (a network runs for them). Producers wait for a free place by the number of busy
/// items; the consumer takes items in order and says when each is done.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { items: VecDeque::new(), busy: 0, taken: None, flushing: true };
        Queue { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Queue<T> {
    /// Waits until fewer than `limit` items are busy.
    pub fn wait_for_place(&self, limit: usize) -> Result<(), Flushing> {
        self.wait(|state| (state.busy < limit).then_some(()))
    }

    pub fn has_place(&self, limit: usize) -> bool {
        self.state.lock().unwrap().busy < limit
    }

    /// Waits until every item is done.
    pub fn wait_until_empty(&self) -> Result<(), Flushing> {
        self.wait(|state| (state.items.is_empty() && state.taken.is_none()).then_some(()))
    }

    pub fn push(&self, item: T, busy: bool) -> Result<(), Flushing> {
        let mut state = self.state.lock().unwrap();
        if state.flushing {
            return Err(Flushing);
        }
        state.busy += usize::from(busy);
        state.items.push_back((item, busy));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for the next item. `done` has to be called before the next is taken.
    pub fn take(&self) -> Result<T, Flushing> {
        self.wait(|state| {
            let (item, busy) = state.items.pop_front()?;
            state.taken = Some(busy);
            Some(item)
        })
    }

    pub fn done(&self) {
        let mut state = self.state.lock().unwrap();
        if let Some(busy) = state.taken.take() {
            state.busy -= usize::from(busy);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// With `true`, all waits end and pushes are refused; with `false`, what was left is dropped and it starts afresh.
    /// Returns what was dropped, so that it is freed under no lock.
    pub fn set_flushing(&self, flushing: bool) -> Vec<T> {
        let mut state = self.state.lock().unwrap();
        state.flushing = flushing;
        let dropped = if flushing { VecDeque::new() } else { std::mem::take(&mut state.items) };
        state.busy -= dropped.iter().filter(|(_, busy)| *busy).count();
        drop(state);
        self.changed.notify_all();
        dropped.into_iter().map(|(item, _)| item).collect()
    }

    fn wait<R>(&self, mut ready: impl FnMut(&mut State<T>) -> Option<R>) -> Result<R, Flushing> {
        let mut state = self.state.lock().unwrap();
        loop {
            if state.flushing {
                return Err(Flushing);
            }
            if let Some(result) = ready(&mut state) {
                return Ok(result);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_busy_item_holds_its_place_until_it_is_done() {
        let queue = Queue::default();
        queue.set_flushing(false);
        queue.push("frame", true).unwrap();
        queue.push("event", false).unwrap();
        assert!(queue.has_place(2) && !queue.has_place(1));
        assert_eq!(queue.take(), Ok("frame"));
        assert!(!queue.has_place(1));
        queue.done();
        assert!(queue.has_place(1));
        assert_eq!(queue.take(), Ok("event"));
        queue.done();
        assert_eq!(queue.wait_until_empty(), Ok(()));
    }

    #[test]
    fn flushing_ends_every_wait_and_drops_what_was_left() {
        let queue = Arc::new(Queue::default());
        queue.set_flushing(false);
        queue.push(1, true).unwrap();
        let waits: Vec<_> = (0..3)
            .map(|i| {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || match i {
                    0 => queue.wait_for_place(1),
                    1 => queue.wait_until_empty(),
                    _ => queue.wait_for_place(0),
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20));
        assert!(queue.set_flushing(true).is_empty());
        assert!(waits.into_iter().all(|w| w.join().unwrap() == Err(Flushing)));
        assert_eq!(queue.push(2, false), Err(Flushing));
        assert_eq!(queue.set_flushing(false), [1]);
        assert!(queue.has_place(1));
    }

    #[test]
    fn an_item_that_was_taken_before_a_flush_is_still_counted_down() {
        let queue = Queue::default();
        queue.set_flushing(false);
        queue.push(1, true).unwrap();
        queue.take().unwrap();
        queue.set_flushing(true);
        queue.done();
        queue.set_flushing(false);
        assert!(queue.has_place(1));
        assert_eq!(queue.wait_until_empty(), Ok(()));
    }
}
