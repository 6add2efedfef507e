//! Who may use the cores: a fixed set of worker threads ("lanes"), one set for the CPU and one for each GPU.
//!
//! Libtorch's CPU thread pool belongs to the thread that calls it, and two pools on the same cores slow each other up
//! to 30 times (measured). So no streaming thread runs a network, and lanes times threads a lane never exceeds the
//! cores: a job runs either *wide*, alone with all cores (the lowest latency), or *narrow*, with one core beside other
//! narrow jobs (the highest throughput). Only lane 0 ever runs wide, so there is one pool of threads in the process.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use crate::device::{self, Device};
use crate::shim;

/// Runs `f` on the workers of a device, alone and with all its cores, and waits for what it returns; a panic in it is handed
/// back as an error. For networks that are run by hand, such as the codec's.
pub fn run_on<T: Send + 'static>(device: Device, f: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    Executor::of(device).run(Width::Wide, f)
}

/// What a lane is asked to do.
pub(crate) enum Job {
    /// Take what waits in this queue and run it.
    Drain(Arc<dyn Drain>),
    /// Run this once, with as many cores as said.
    Once { width: Width, run: Box<dyn FnOnce() + Send> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Wide,
    Narrow,
}

/// A queue of requests that lanes empty. A token for it is posted with every request, so a drain may find nothing left.
pub(crate) trait Drain: Send + Sync {
    /// When it may be drained at the latest; `None` is now. Later than now where a batch is still to fill.
    fn due(&self) -> Option<Instant>;
    /// Whether it gains by all cores when it is the only one that has work.
    fn prefers_wide(&self, requests_waiting: usize) -> bool;
    fn drain(&self, width: Width);
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    running: usize,
    wide: bool,
    /// Nothing is begun any more.
    closed: bool,
}

pub(crate) struct Executor {
    state: Mutex<State>,
    wake: Condvar,
    lanes: usize,
}

static EXECUTORS: LazyLock<Mutex<HashMap<Device, Arc<Executor>>>> = LazyLock::new(Mutex::default);
/// A process that exits waits so long for what runs.
const LAST_JOBS: Duration = Duration::from_secs(10);

/// At the exit of the process nothing is begun any more, and what runs comes to its end: else libtorch's and oneDNN's own state
/// would be taken down under it. What was set up last is taken down first, so this is said again as networks run.
fn close_at_exit() {
    extern "C" fn close() {
        // Whoever holds the lock may wait for a lane; a process that exits does not wait for both.
        let Ok(executors) = EXECUTORS.try_lock() else { return };
        executors.values().for_each(|executor| executor.close(LAST_JOBS));
    }
    shim::at_exit(close);
}

impl Executor {
    /// The executor of a device; its lanes start with the first use.
    pub fn of(device: Device) -> Arc<Executor> {
        let mut all = EXECUTORS.lock().unwrap();
        let executor = all.entry(device).or_insert_with(|| {
            // A GPU is fed by one thread: its stream runs the jobs one after the other anyway.
            let lanes = if device == Device::Cpu { device::cores() } else { 1 };
            Executor::start(&device.to_string(), lanes)
        });
        Arc::clone(executor)
    }

    fn start(name: &str, lanes: usize) -> Arc<Executor> {
        let executor = Arc::new(Executor { state: Mutex::default(), wake: Condvar::new(), lanes });
        for lane in 0..lanes {
            let executor = Arc::clone(&executor);
            std::thread::Builder::new()
                .name(format!("torch-{name}-{lane}"))
                .spawn(move || executor.work(lane))
                .expect("the system starts a thread");
        }
        executor
    }

    pub fn lanes(&self) -> usize {
        self.lanes
    }

    pub fn post(&self, job: Job) {
        self.state.lock().unwrap().jobs.push_back(job);
        self.wake.notify_all();
    }

    /// Runs `f` on a lane and waits for what it returns; a panic in it is handed back as an error.
    pub fn run<T: Send + 'static>(&self, width: Width, f: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let run = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(f)).map_err(|p| crate::error::panic_message(&*p));
            let _ = sender.send(result);
        });
        self.post(Job::Once { width, run });
        receiver.recv().unwrap_or_else(|_| Err("the worker is gone".into()))
    }

    /// Begins nothing any more, and waits for what runs.
    fn close(&self, longest: Duration) {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.closed = true;
        let waited = self.wake.wait_timeout_while(state, longest, |state| state.running > 0);
        drop(waited);
    }

    fn work(&self, lane: usize) {
        let mut threads = 0;
        for done in 1_u64.. {
            let (job, width) = self.next(lane);
            let wanted = if width == Width::Wide { self.lanes } else { 1 };
            if threads != wanted {
                shim::set_threads(wanted);
                threads = wanted;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| match job {
                Job::Drain(queue) => queue.drain(width),
                Job::Once { run, .. } => run(),
            }));
            // Drains answer their own requests, panics included; what arrives here has nobody waiting for it.
            debug_assert!(outcome.is_ok());
            if done.is_power_of_two() {
                close_at_exit();
            }
            let mut state = self.state.lock().unwrap();
            state.running -= 1;
            if width == Width::Wide {
                state.wide = false;
            }
            drop(state);
            self.wake.notify_all();
        }
    }

    /// Waits for a job that this lane may run now, and says how wide.
    fn next(&self, lane: usize) -> (Job, Width) {
        let mut state = self.state.lock().unwrap();
        loop {
            let now = Instant::now();
            let mut wait = Duration::from_secs(3600);
            let due = (!state.wide && !state.closed)
                .then(|| {
                    state.jobs.iter().position(|job| match job {
                        Job::Once { .. } => true,
                        Job::Drain(queue) => match queue.due() {
                            Some(due) if due > now => {
                                wait = wait.min(due - now);
                                false
                            }
                            _ => true,
                        },
                    })
                })
                .flatten();
            if let Some(index) = due {
                match self.width_for(&state, index) {
                    Width::Wide if lane != 0 || state.running > 0 => {} // lane 0 takes it when all are idle
                    width => {
                        let job = state.jobs.remove(index).expect("the index was just found");
                        state.running += 1;
                        state.wide = width == Width::Wide;
                        return (job, width);
                    }
                }
            }
            state = self.wake.wait_timeout(state, wait).unwrap().0;
        }
    }

    fn width_for(&self, state: &State, index: usize) -> Width {
        match &state.jobs[index] {
            _ if self.lanes == 1 => Width::Wide,
            Job::Once { width, .. } => *width,
            Job::Drain(queue) => {
                if queue.prefers_wide(state.jobs.len() + state.running) {
                    Width::Wide
                } else {
                    Width::Narrow
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn lanes_times_threads_never_exceed_the_cores() {
        let executor = Executor::start("test", 4);
        let (cores_used, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (sender, receiver) = std::sync::mpsc::channel();
        for i in 0..200 {
            let width = if i % 7 == 0 { Width::Wide } else { Width::Narrow };
            let cores = if width == Width::Wide { 4 } else { 1 };
            let (used, most, sender) = (Arc::clone(&cores_used), Arc::clone(&most), sender.clone());
            let run = Box::new(move || {
                let now = used.fetch_add(cores, Ordering::SeqCst) + cores;
                most.fetch_max(now, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(200));
                used.fetch_sub(cores, Ordering::SeqCst);
                sender.send(()).unwrap();
            });
            executor.post(Job::Once { width, run });
        }
        for _ in 0..200 {
            receiver.recv_timeout(Duration::from_secs(20)).expect("every job runs");
        }
        assert_eq!(most.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn who_closes_waits_for_what_runs_and_nothing_is_begun_after_it() {
        let executor = Executor::start("test", 1);
        let (begun, came) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..3 {
            let (begun, came) = (Arc::clone(&begun), Arc::clone(&came));
            let run = Box::new(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(200));
                came.fetch_add(1, Ordering::SeqCst);
            });
            executor.post(Job::Once { width: Width::Narrow, run });
        }
        while begun.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        executor.close(Duration::from_secs(60));
        let done = came.load(Ordering::SeqCst);
        assert_eq!(done, begun.load(Ordering::SeqCst));
        assert!(done < 3);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(begun.load(Ordering::SeqCst), done);
    }

    #[test]
    fn a_lane_keeps_its_number_of_threads_whatever_others_set() {
        let executor = Executor::start("test", 2);
        let seen = executor.run(Width::Narrow, || {
            std::thread::spawn(|| tch::set_num_threads(3)).join().unwrap();
            tch::get_num_threads()
        });
        assert_eq!(seen, Ok(1));
    }

    #[test]
    fn a_panic_is_handed_back_and_the_lane_lives_on() {
        let executor = Executor::start("test", 1);
        let error = executor.run(Width::Wide, || -> () { panic!("provoked") }).unwrap_err();
        assert_eq!(error, "provoked");
        assert_eq!(executor.run(Width::Narrow, || 7), Ok(7));
    }
}
