//! What a recurrent network does with the frames of a stream, in a thread of its own.
//!
//! Such a network sees what it made of the frame before. It begins a frame as soon as that is there, not when the frame before
//! has been written and pushed on: what others do with a frame takes its time beside the network, not between two of its runs.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use gst_torch_runtime::planes::{FrameInfo, PixelFormat, Rect};
use gst_torch_runtime::{Error, Result};

use super::align::Aligner;
use super::compose::{self, Mask};
use super::frames::{self, Buffer};
use super::restorer::Request;
use super::samples::Frame;
use super::steady::Steady;
use super::tiler::{Order, Tiler};
use super::{Config, colour};

/// A frame for the network, and how it is to be restored.
pub(super) struct Job {
    pub(super) picture: Frame,
    /// Of its noise, standard deviation in levels of 8 bits.
    pub(super) level: f64,
    pub(super) request: Request,
    /// The regions in pixels of the maps.
    pub(super) parts: Option<Vec<Rect>>,
}

type Answer = Result<Frame>;

/// One stream's thread. Ends with the frame that it has.
pub(super) struct Recurrence {
    /// `None` once no more come.
    jobs: Option<Sender<(Weak<Job>, SyncSender<Answer>)>>,
    worker: Option<JoinHandle<()>>,
    model: String,
}

/// A frame under way. The network never sees one that is dropped before its turn.
pub(super) struct Turn {
    job: Arc<Job>,
    restored: Receiver<Answer>,
    model: String,
}

impl Recurrence {
    /// # Errors
    /// When the system starts no thread.
    pub(super) fn new(model: &str, config: Config, tiler: Arc<Tiler>) -> Result<Self> {
        let (jobs, queue) = channel::<(Weak<Job>, SyncSender<Answer>)>();
        let work = move || {
            let mut history = History::default();
            for (job, reply) in queue {
                let Some(job) = job.upgrade() else { continue };
                let restored = history.next(&config, &tiler, &job);
                if restored.is_err() {
                    history = History::default();
                }
                let _ = reply.send(restored);
            }
        };
        let worker = thread::Builder::new().name("torch-recurrence".into()).spawn(work);
        let worker = worker.map_err(|e| Error::torch(model, format!("no thread for it: {e}")))?;
        Ok(Recurrence { jobs: Some(jobs), worker: Some(worker), model: model.to_owned() })
    }

    /// Frames are begun in this order.
    pub(super) fn start(&self, job: Job) -> Turn {
        let job = Arc::new(job);
        let (reply, restored) = sync_channel(1);
        // Where the thread is gone, whoever waits hears of it.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send((Arc::downgrade(&job), reply)));
        Turn { job, restored, model: self.model.clone() }
    }
}

impl Drop for Recurrence {
    fn drop(&mut self) {
        self.jobs = None;
        // A network that ran on while the process ends would use what is gone.
        let _ = self.worker.take().map(JoinHandle::join);
    }
}

impl Turn {
    /// Waits for the frame as it is to be shown.
    pub(super) fn wait(self) -> Result<Frame> {
        let ended = || Error::Panic { model: self.model.clone(), reason: "its thread ended".into() };
        let mut shown = self.restored.recv().unwrap_or_else(|_| Err(ended()))?;
        let Job { picture, level, request, .. } = &*self.job;
        // Only for the eye: from history that is put right, the network's next colours are further off.
        colour::keep(&mut shown, picture, *level);
        match &request.regions {
            Some(regions) => inside(&shown, picture, regions),
            None => Ok(shown),
        }
    }
}

/// What is remembered between frames.
#[derive(Default)]
struct History {
    aligner: Aligner,
    restored: Option<Frame>,
    steady: Steady,
}

impl History {
    /// Runs the network on the next frame.
    fn next(&mut self, config: &Config, tiler: &Tiler, job: &Job) -> Answer {
        let Job { picture, level, request, parts } = job;
        if request.fresh {
            *self = History::default();
        }
        let moved = self.restored.take().and_then(|before| self.aligner.align(picture, &before, *level));
        let input = frames::input(config, tiler.maps(), picture, moved.as_ref(), *level);
        let order = Order { parts: parts.as_deref(), batching: request.batching };
        let output = tiler.collect(tiler.start(&input, order)?, &input, order)?;
        let mut restored = frames::from_maps(&output, picture.width, picture.height)?;
        // The network sees what it made itself, as it learnt: shown what came to rest, it takes its own errors for good.
        self.restored = Some(match &request.regions {
            Some(regions) => inside(&restored, picture, regions)?,
            None => restored.clone(),
        });
        match moved {
            Some(_) => self.steady.hold(&mut restored, self.aligner.blocks(), *level),
            None => self.steady = Steady::default(),
        }
        Ok(restored)
    }
}

/// `restored` inside `regions`, and `picture` around them.
fn inside(restored: &Frame, picture: &Frame, regions: &[Rect]) -> Result<Frame> {
    let info = FrameInfo::new(PixelFormat::I420, picture.width, picture.height);
    let (mut within, mut whole) = (Buffer::new(info), Buffer::new(info));
    frames::write(restored, &mut within.planes_mut()?)?;
    frames::write(picture, &mut whole.planes_mut()?)?;
    compose::blend(&within.planes()?, &Mask::of_regions(&info, regions, 1.0), &mut whole.planes_mut()?);
    frames::read(&whole.planes()?)
}

#[cfg(test)]
mod tests {
    use gst_torch_runtime::{Batching, PrecisionSpec};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::builtin;
    use crate::codec::picture::Picture;
    use crate::restore::custom::Wishes;
    use crate::restore::degrade::Noise;
    use crate::restore::interface::Interface;

    const LEVEL: f64 = 10.0;

    /// What is put to rest for the eye would be its own errors' proof to the network.
    #[test]
    fn the_network_sees_what_it_made_and_not_what_is_shown() {
        let model = builtin::open("denoise").unwrap().load("cpu".parse().unwrap(), PrecisionSpec::Auto).unwrap();
        let info = FrameInfo::new(PixelFormat::I420, 96, 64);
        let interface = Interface::of(&model, &info, &Wishes::default()).unwrap();
        let Interface::Samples(config) = &interface else { panic!("not one of ours") };
        let tiler = Tiler::new(&model, &interface, (96, 64), (0, 0));
        tiler.prepare(false).unwrap();

        let still = Frame { picture: Picture::grey(6, 4), width: 96, height: 64 };
        let (noise, mut rng) = (Noise::gaussian(LEVEL), StdRng::seed_from_u64(1));
        let (mut history, mut aligner, mut before) = (History::default(), Aligner::default(), None);
        let mut at_rest = 0;
        for number in 0..30 {
            let request = Request { fresh: number == 0, ..Request::default() };
            let job = Job { picture: noise.apply(&still, &mut rng), level: LEVEL, request, parts: None };
            let moved = before.take().and_then(|before| aligner.align(&job.picture, &before, LEVEL));
            let input = frames::input(config, tiler.maps(), &job.picture, moved.as_ref(), LEVEL);
            let order = Order { parts: None, batching: Batching::default() };
            let output = tiler.collect(tiler.start(&input, order).unwrap(), &input, order).unwrap();
            let made = frames::from_maps(&output, 96, 64).unwrap();

            let shown = history.next(config, &tiler, &job).unwrap();
            assert!(history.restored.as_ref().unwrap().picture == made.picture, "frame {number}");
            at_rest += usize::from(shown.picture != made.picture);
            before = Some(made);
        }
        assert!(at_rest > 10, "{at_rest} frames were put to rest; then this shows nothing");
    }
}
