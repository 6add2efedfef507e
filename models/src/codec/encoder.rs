//! Pictures to access units.

use std::ops::Range;
use std::sync::Arc;

use gst_torch_runtime::{Error, Result};
use tch::TchError;

use super::canvas::Frame;
use super::cells;
use super::control::Rate;
use super::detail::Detail;
use super::entropy::Coder;
use super::guess::{Guess, Tries};
use super::model::Model;
use super::motion::{self, Reference, Settings};
use super::network::{Network, Stage, step_size};
use super::picture::Picture;
use super::quantise;
use super::stream::{Header, PictureUnit};
use super::symbols::{Block, CELL, CELLS, Kind, Mode, Symbols};
use super::tone::{self, Tone};
use super::transform::{Sixteenths, Tables, block_step};

/// Key frames are coded with a step index lower by this: everything is predicted from them. Not those that follow a key
/// frame, as from them nothing is, when all pictures are intra.
pub const KEY_STEPS: u8 = 12;

/// Bits of a picture unit besides its slices, about.
const UNIT_BITS: u32 = 12 * 8;

/// How one picture is to be coded.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Whether it must be a key frame; the first one always is.
    pub key: bool,
    pub rate: Rate,
    /// Nanoseconds, as in the picture unit.
    pub time: Option<u64>,
    /// Added to the step index of each block, if not empty.
    pub changes: Vec<i8>,
}

/// An access unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coded {
    /// With the sequence header, if it is a key frame.
    pub bytes: Vec<u8>,
    pub key: bool,
    pub step: u8,
}

/// Codes one sequence. Its network runs where `encode` is called: to be called on a worker of the runtime.
pub struct Encoder {
    model: Arc<Model>,
    network: Network,
    header: Header,
    coders: Vec<Coder>,
    /// The picture before, as the decoder has it, and the older one before that in its light, if it is not a key frame's.
    decoded: Option<Picture>,
    older: Option<Picture>,
    /// Of the picture before, slice by slice.
    symbols: Vec<Symbols>,
    /// Whether the picture before is a key frame.
    after_key: bool,
    number: u8,
    guess: Guess,
    detail: Option<Detail>,
    detail_guess: Guess,
}

/// Symbols and bytes of each slice, and the picture as it will be decoded.
type Outcome = (Vec<Symbols>, Vec<Vec<u8>>, Picture);

/// How blocks move, and what that foretells.
type Motion = (Vec<Block>, Picture);

/// What a picture needs, besides its latents.
struct Draft {
    key: bool,
    /// How it is coded; a key frame that is predicted from the model's still is coded as an inter picture.
    kind: Kind,
    /// How bright it is beside what it is predicted from: see [`PictureUnit`].
    tones: Option<[Tone; 3]>,
    step: u8,
    blocks: Vec<Block>,
    prediction: Picture,
    soft: Vec<f32>,
}

impl Encoder {
    pub fn new(model: Arc<Model>, header: Header) -> Self {
        let columns = header.blocks().0;
        let coders = header
            .slices()
            .map(|rows| Coder::new(columns, rows.len(), &model.prior, Arc::clone(&model.steps)))
            .collect();
        let network = model.network();
        let detail = Detail::new(header.width.into(), header.height.into(), header.subsampling);
        Encoder {
            model,
            network,
            header,
            coders,
            decoded: None,
            older: None,
            symbols: Vec::new(),
            after_key: false,
            number: 0,
            guess: Guess::default(),
            detail,
            detail_guess: Guess::default(),
        }
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The canvas as it will be decoded.
    pub fn decoded(&self) -> Option<&Picture> {
        self.decoded.as_ref()
    }

    /// Codes a picture of the header's size.
    pub fn encode(&mut self, frame: &Frame, request: &Request) -> Result<Coded> {
        let _guard = tch::no_grad_guard();
        if !frame.fits(&self.header) {
            let Frame { width, height, subsampling, .. } = frame;
            let Header { width: w, height: h, subsampling: s, .. } = self.header;
            let reason = format!("a picture of {width}x{height}, {subsampling:?}; expected {w}x{h}, {s:?}");
            return Err(Error::Mismatch { model: self.model.name.clone(), reason });
        }
        let canvas = &frame.to_canvas();
        let model = Arc::clone(&self.model);
        let torch = |e: TchError| Error::torch(&model.name, e.to_string());
        let reference = self.decoded.take().filter(|_| !request.key);
        let check = reference.as_ref().map(|picture| picture.checksum() as u16);
        let key = reference.is_none();
        let first = match request.rate {
            Rate::Step(step) if key && !self.after_key => step.saturating_sub(KEY_STEPS),
            Rate::Step(step) => step,
            Rate::Bits { target, .. } => self.guess.step(key, target),
        };
        let tones = reference.as_ref().and_then(|before| tone::change(before, canvas, step_size(first.into())));
        let [reference, older] = [reference, self.older.take()].map(|picture| match &tones {
            Some(tones) => picture.map(|picture| tone::apply(tones, picture)),
            None => picture,
        });
        let references = reference.as_ref().map(|picture| (picture, older.as_ref()));
        let mut draft = self.draft(canvas, references, tones, request, first).map_err(torch)?;
        let (slices, coded, decoded) = match request.rate {
            Rate::Step(_) => self.code_at_once(&draft),
            Rate::Bits { .. } => self.fit(&mut draft, request.rate),
        }
        .map_err(torch)?;
        self.decoded = Some(decoded);
        self.older = reference;
        let detail = match (&mut self.detail, &self.decoded) {
            (Some(detail), Some(canvas)) => {
                let bytes = detail.encode(frame, &mut Frame::of_canvas(canvas, &self.header), draft.step, key);
                self.detail_guess.learn(key, draft.step, bytes.len() as u32 * 8);
                Some(bytes)
            }
            _ => None,
        };
        self.symbols = slices;
        self.after_key = key;
        self.number = self.number.wrapping_add(1);
        let mut bytes = if key { self.header.write() } else { Vec::new() };
        let unit = PictureUnit {
            kind: if key { Kind::Intra } else { Kind::Inter },
            step: draft.step,
            number: self.number,
            reference: check,
            tones: draft.tones,
            time: request.time,
            slices: coded.iter().map(Vec::as_slice).collect(),
            detail: detail.as_deref(),
        };
        bytes.extend(unit.write());
        Ok(Coded { bytes, key, step: draft.step })
    }

    /// Rounds the latents, and codes them while the networks make of them what the decoder will have.
    fn code_at_once(&mut self, draft: &Draft) -> Result<Outcome, TchError> {
        let slices = self.quantise(draft);
        let key = draft.key;
        let Encoder { model, network, coders, .. } = self;
        let (coded, decoded) = std::thread::scope(|scope| {
            let coding = scope.spawn(|| code(coders, &slices, key));
            let decoded = reconstruct(model, network, &slices, &draft.prediction);
            (coding.join().map_err(|_| TchError::Torch("the entropy coder panicked".into())), decoded)
        });
        let (coded, decoded) = (coded??, decoded?);
        self.guess.learn(key, draft.step, bits(&coded));
        Ok((slices, coded, decoded))
    }

    /// Rounds and codes the latents, with other steps where the bits turn out too many or too few.
    fn fit(&mut self, draft: &mut Draft, rate: Rate) -> Result<Outcome, TchError> {
        let key = draft.key;
        let mut tries = Tries::default();
        loop {
            let slices = self.quantise(draft);
            let mut coders = self.coders.clone();
            let coded = code(&mut coders, &slices, key)?;
            let bits = bits(&coded) + self.detail_guess.bits(key, draft.step);
            self.guess.learn(key, draft.step, bits);
            let guess = rate.target().map_or(draft.step, |target| self.guess.step(key, target));
            let Some(step) = tries.next(rate, draft.step, bits, guess) else {
                self.coders = coders;
                let decoded = reconstruct(&self.model, &self.network, &slices, &draft.prediction)?;
                return Ok((slices, coded, decoded));
            };
            self.change_step(draft, step);
        }
    }

    /// Latents for another step, as if the analysis network had not looked at it.
    fn change_step(&self, draft: &mut Draft, step: u8) {
        let (_, tables) = stage(&self.model, &self.network, draft.kind);
        for (block, soft) in draft.blocks.iter().zip(draft.soft.chunks_mut(CELLS * CELL)) {
            let old = tables.steps(block_step(draft.step, block.step));
            let new = tables.steps(block_step(step, block.step));
            for cell in soft.chunks_mut(CELL) {
                for ((value, &old), &new) in cell.iter_mut().zip(old).zip(new) {
                    *value *= old as f32 / new as f32;
                }
            }
        }
        draft.step = step;
    }

    /// What was said of the last picture, slice by slice: to train the entropy coder's prior.
    pub fn symbols(&self) -> &[Symbols] {
        &self.symbols
    }

    /// Motion, prediction and latents that are not rounded yet.
    fn draft(
        &self,
        canvas: &Picture,
        references: Option<(&Picture, Option<&Picture>)>,
        tones: Option<[Tone; 3]>,
        request: &Request,
        step: u8,
    ) -> Result<Draft, TchError> {
        let (columns, rows) = canvas.blocks();
        let key = references.is_none();
        let (tones, moved) = match references {
            Some((before, older)) => (tones, Some(self.motion(canvas, before, older, step, &self.symbols))),
            None => self.beside_still(canvas, step).unzip(),
        };
        let kind = if moved.is_some() { Kind::Inter } else { Kind::Intra };
        let (mut blocks, prediction) =
            moved.unwrap_or_else(|| (vec![Block::default(); columns * rows], Picture::grey(columns, rows)));
        for (block, &change) in blocks.iter_mut().zip(&request.changes) {
            block.step = change.clamp(-31, 31);
        }
        let indices: Vec<u8> = blocks.iter().map(|block| block_step(step, block.step)).collect();
        let (stage, tables) = stage(&self.model, &self.network, kind);
        let soft = if blocks.iter().any(|block| block.mode != Mode::Skip) {
            cells::analyse(stage, tables, canvas, &prediction, &indices, self.model.kind())?
        } else {
            vec![0.0; blocks.len() * CELLS * CELL]
        };
        Ok(Draft { key, kind, tones, step, blocks, prediction, soft })
    }

    /// The tones and the motion of a key frame beside the model's still, if there is one and it foretells much.
    fn beside_still(&self, canvas: &Picture, step: u8) -> Option<([Tone; 3], Motion)> {
        let still = self.model.still(canvas.blocks())?;
        let tones = tone::between(still, canvas);
        let (blocks, prediction) = self.motion(canvas, &tone::apply(&tones, still.clone()), None, step, &[]);
        mostly_predicted(&blocks).then_some((tones, (blocks, prediction)))
    }

    /// The motion of a picture's blocks, and the prediction that comes of it; `before` are the symbols of the picture before.
    fn motion(
        &self,
        canvas: &Picture,
        from: &Picture,
        older: Option<&Picture>,
        step: u8,
        before: &[Symbols],
    ) -> Motion {
        let (columns, rows) = canvas.blocks();
        let (reference, older) = (Reference::new(from), older.map(Reference::new));
        let settings = Settings { threads: motion::threads(), ..Settings::for_step(step_size(f64::from(step)) as f32) };
        let mut prediction = Picture::grey(columns, rows);
        let mut blocks = Vec::with_capacity(columns * rows);
        for (index, slice) in self.header.slices().enumerate() {
            let before = before.get(index).map(|slice| &slice.blocks[..]);
            let found = motion::search(canvas, &reference, older.as_ref(), slice.clone(), before, &settings);
            predict(&reference, older.as_ref(), &found, slice, &mut prediction);
            blocks.extend(found);
        }
        (blocks, prediction)
    }

    /// Symbols of each slice; blocks that turn out empty are skipped where the stream can say so.
    fn quantise(&self, draft: &Draft) -> Vec<Symbols> {
        let columns = self.header.blocks().0;
        let colour = self.header.subsampling != super::stream::Subsampling::Grey;
        let slice = |rows: Range<usize>| {
            let mut symbols = Symbols::new(draft.kind, colour, draft.step, columns, rows.len());
            let first = rows.start * columns;
            symbols.blocks.copy_from_slice(&draft.blocks[first..rows.end * columns]);
            let part = rows.len().div_ceil(motion::threads()) * columns;
            let mut parts = (first..).step_by(part).zip(symbols.levels.chunks_mut(part * CELLS * CELL));
            let here = parts.next();
            let work = |(first, levels)| quantise_blocks(draft, columns, colour, first, levels);
            std::thread::scope(|scope| {
                parts.for_each(|part| {
                    scope.spawn(move || work(part));
                });
                here.map(work);
            });
            symbols.skip_empty();
            symbols
        };
        self.header.slices().map(slice).collect()
    }
}

/// Rounds the latents of blocks in a row, of which the first of the picture is `first`.
fn quantise_blocks(draft: &Draft, columns: usize, colour: bool, first: usize, levels: &mut [i16]) {
    for (place, block) in (first..).zip(levels.chunks_exact_mut(CELLS * CELL)) {
        if draft.blocks[place].mode == Mode::Skip {
            continue;
        }
        for (cell, levels) in block.as_chunks_mut::<CELL>().0.iter_mut().enumerate() {
            let around = quantise::Around::new(&draft.soft, columns, place, cell);
            quantise::cell(&around, draft.kind == Kind::Inter, colour, levels);
        }
    }
}

/// Bytes of each slice.
fn code(coders: &mut [Coder], slices: &[Symbols], key: bool) -> Result<Vec<Vec<u8>>, TchError> {
    if key {
        coders.iter_mut().for_each(Coder::reset);
    }
    let coded = coders.iter_mut().zip(slices).map(|(coder, slice)| coder.encode(slice));
    // What breaks the rules of symbols would be a defect of this encoder.
    coded.collect::<Result<_, String>>().map_err(TchError::Torch)
}

/// Whether the networks of inter pictures are the better choice: those of intra pictures do more for a block that nothing
/// predicts.
fn mostly_predicted(blocks: &[Block]) -> bool {
    blocks.iter().filter(|block| block.mode == Mode::Flat).count() * 2 < blocks.len()
}

fn bits(coded: &[Vec<u8>]) -> u32 {
    coded.iter().map(|bytes| bytes.len() as u32 * 8).sum::<u32>() + UNIT_BITS
}

/// Puts the prediction of a slice, the `rows` of blocks, in place.
pub(super) fn predict(
    reference: &Reference,
    older: Option<&Reference>,
    blocks: &[Block],
    rows: Range<usize>,
    prediction: &mut Picture,
) {
    let columns = prediction.blocks().0;
    let mut slice = Picture::grey(columns, rows.len());
    motion::compensate(reference, older, blocks, columns, rows.start, &mut slice);
    for (whole, part) in prediction.planes.iter_mut().zip(&slice.planes) {
        let first = rows.start * part.height / rows.len() * part.width;
        whole.data[first..first + part.data.len()].copy_from_slice(&part.data);
    }
}

/// The networks and the tables of one kind of picture.
fn stage<'a>(model: &'a Model, network: &'a Network, kind: Kind) -> (&'a Stage, &'a Tables) {
    match kind {
        Kind::Intra => (&network.intra, &model.tables[0]),
        Kind::Inter => (&network.inter, &model.tables[1]),
    }
}

/// What the decoder makes of the symbols of a picture: see the specification.
pub(super) fn reconstruct(
    model: &Model,
    network: &Network,
    slices: &[Symbols],
    prediction: &Picture,
) -> Result<Picture, TchError> {
    let (columns, rows) = prediction.blocks();
    let (stage, tables) = stage(model, network, slices[0].kind);
    let mut residual = Sixteenths::new(columns, rows);
    let mut row = 0;
    for slice in slices {
        residual.put(tables, slice, row);
        row += slice.rows();
    }
    let mut out = Picture::grey(columns, rows);
    residual.add_to(prediction, None, &mut out);
    let blocks = || slices.iter().flat_map(|slice| slice.blocks.iter().map(|block| (slice.step, block)));
    if blocks().any(|(_, block)| block.is_corrected()) {
        let indices: Vec<u8> = blocks().map(|(step, block)| block_step(step, block.step)).collect();
        let mut correction = cells::correct(stage, &out, prediction, slices, &indices, model.kind())?;
        residual.add_to(prediction, Some(&correction), &mut out);
        if let Some(filter) = stage.filter() {
            filter.add(&out, prediction, slices, &indices, model.kind(), &mut correction)?;
            residual.add_to(prediction, Some(&correction), &mut out);
        }
    }
    Ok(out)
}
