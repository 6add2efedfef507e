//! Training batches, made on a thread of their own while the network learns from the previous one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result};
use gst_torch_models::data::Truth;
use gst_torch_models::data::augment::Recipe;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::dataset::Dataset;

/// Batches made ahead of their use.
const AHEAD: u64 = 3;

/// What decides a batch, and all that does: the same numbers give the same pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    pub seed: u64,
    pub step: u64,
    pub mosaics: bool,
}

/// Pictures `(N, height, width, 3)` of 8 bits, with their truths.
pub struct Batch {
    pub pixels: Vec<u8>,
    pub truths: Vec<Truth>,
}

pub struct Batches {
    requests: Sender<Request>,
    ready: Receiver<Batch>,
    asked: u64,
}

impl Batches {
    /// `sizes` are those of the network's input and of the training pictures, width and height.
    pub fn start(dataset: Arc<Dataset>, recipe: Recipe, sizes: [(usize, usize); 2], batch: usize) -> Result<Self> {
        let (requests, wanted) = channel::<Request>();
        let (done, ready) = channel();
        let work = move || {
            for request in wanted {
                if done.send(make(&dataset, &recipe, sizes, batch, request)).is_err() {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("batches".into()).spawn(work).context("no thread for the batches")?;
        Ok(Batches { requests, ready, asked: 0 })
    }

    /// The steps whose batches should be asked for when that of `step` is needed: it and some of the following, less
    /// those asked for before.
    pub fn wanted(&self, step: u64) -> std::ops::Range<u64> {
        self.asked.max(step)..step + AHEAD + 1
    }

    /// Asks for the batches of `requests`, which are those of [`Batches::wanted`], and waits for the next that was asked
    /// for.
    pub fn next(&mut self, requests: Vec<Request>) -> Result<Batch> {
        for request in requests {
            self.requests.send(request).ok().context("the thread that makes batches has ended")?;
            self.asked = request.step + 1;
        }
        self.ready.recv().context("the thread that makes batches has ended")
    }
}

fn make(dataset: &Dataset, recipe: &Recipe, sizes: [(usize, usize); 2], batch: usize, request: Request) -> Batch {
    let [full, size] = sizes;
    // Neighbouring seeds and steps must not give neighbouring streams; the generator's seeding mixes them.
    let mut rng = StdRng::seed_from_u64(request.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ request.step);
    let mut pixels = Vec::with_capacity(batch * size.0 * size.1 * 3);
    let mut truths = Vec::with_capacity(batch);
    for _ in 0..batch {
        let example = recipe.compose(&mut rng, full, size, request.mosaics, |rng| {
            let sample = dataset.pick(rng);
            (&sample.picture, &sample.truth)
        });
        pixels.extend_from_slice(example.picture.rgb());
        truths.push(example.truth);
    }
    Batch { pixels, truths }
}
