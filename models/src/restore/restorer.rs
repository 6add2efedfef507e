//! One stream's restorer: takes frames of any format and gives restored ones.
//!
//! A frame is handed over with [`Restorer::submit`], which starts the network, and taken back with [`Pending::finish`], in the
//! same order. Several frames may be under way; how a recurrent network sees them one by one is in [`super::recurrence`].

use std::sync::{Arc, Mutex};

use gst_torch_runtime::planes::{
    self, Colour, FrameInfo, InputSpec, PixelFormat, Planes, PlanesMut, Preprocessor, Rect,
};
use gst_torch_runtime::{Batching, Engine, Error, Model, Result};
use tch::{Device, Kind as Number};

use super::compose::{self, Mask};
use super::custom::{Custom, Kind, Wishes};
use super::frames::{self, Buffer};
use super::interface::Interface;
use super::maps::Maps;
use super::recurrence::{Job, Recurrence, Turn};
use super::samples::Frame;
use super::tiler::{Order, Run, Tiler};
use super::{lock, noise};

/// How a restorer is set up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Longest side of a tile in pixels of the frame; 0 is as large as memory allows.
    pub tile_size: usize,
    /// Pixels of the frame that tiles share; 0 is as many as the network needs.
    pub tile_overlap: usize,
    /// For users' own networks.
    pub wishes: Wishes,
}

/// How one frame is to be restored.
#[derive(Debug, Clone)]
pub struct Request {
    /// 0 leaves it as it came, 1 is all that the network does.
    pub strength: f32,
    /// The noise, standard deviation in levels of 8 bits; `None` is to be estimated.
    pub noise: Option<f64>,
    /// The parts to restore, inside the frame; `None` is all of it.
    pub regions: Option<Vec<Rect>>,
    /// Nothing that came before belongs to it.
    pub fresh: bool,
    pub batching: Batching,
}

impl Default for Request {
    fn default() -> Self {
        Request { strength: 1.0, noise: None, regions: None, fresh: false, batching: Batching::default() }
    }
}

/// See the module.
pub struct Restorer {
    name: String,
    interface: Interface,
    frame: FrameInfo,
    output: FrameInfo,
    tiler: Arc<Tiler>,
    engine: Arc<Engine>,
    recurrence: Option<Recurrence>,
    /// The noise of late, as estimated.
    level: Mutex<Option<f64>>,
}

/// What an estimate of the noise counts for beside those before: it settles within half a second.
const ESTIMATE_WEIGHT: f64 = 0.2;

impl Restorer {
    /// For frames of `frame`. Finds out what a user's network takes, and measures and compiles what will run: for whole
    /// frames, or with `regions` for parts of them.
    ///
    /// # Errors
    /// When the network restores no pictures, or there is not even memory for the smallest tile.
    pub fn new(model: &Arc<Model>, frame: &FrameInfo, options: &Options, regions: bool) -> Result<Arc<Restorer>> {
        let interface = Interface::of(model, frame, &options.wishes)?;
        let (width, height, scale) = (frame.width, frame.height, interface.scale());
        let tiler = Tiler::new(model, &interface, (width, height), (options.tile_size, options.tile_overlap));
        let (engine, tiler, name) = (tiler.prepare(regions)?, Arc::new(tiler), model.info().name.clone());
        let recurrence = match &interface {
            Interface::Samples(config) if config.history => Some(Recurrence::new(&name, *config, Arc::clone(&tiler))?),
            _ => None,
        };
        Ok(Arc::new(Restorer {
            name,
            interface,
            frame: *frame,
            output: FrameInfo { width: width * scale, height: height * scale, ..*frame },
            tiler,
            engine,
            recurrence,
            level: Mutex::default(),
        }))
    }

    /// What frames are when they come.
    pub fn input(&self) -> &FrameInfo {
        &self.frame
    }

    /// What frames are when they leave.
    pub fn output(&self) -> &FrameInfo {
        &self.output
    }

    /// How many times wider and higher they are.
    pub fn scale(&self) -> usize {
        self.interface.scale()
    }

    /// Whether the network sees what it made of the frame before.
    pub fn is_recurrent(&self) -> bool {
        self.interface.is_recurrent()
    }

    /// What ran first; smaller tiles have another.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Takes what a user should hear of since the last call.
    pub fn take_notices(&self) -> Vec<String> {
        self.tiler.take_notices()
    }

    /// Reads a frame, and starts on it.
    ///
    /// # Errors
    /// When the frame is not of the kind that was agreed on.
    pub fn submit(self: &Arc<Self>, frame: &Planes, request: Request) -> Result<Pending> {
        if *frame.info() != self.frame {
            return Err(planes::Error::Frame { expected: self.frame, got: *frame.info() }.into());
        }
        let parts = request.regions.as_deref().map(|regions| self.parts(regions));
        let nothing = request.strength <= 0.0 || parts.as_ref().is_some_and(Vec::is_empty);
        let order = Order { parts: parts.as_deref(), batching: request.batching };
        let started = |input: Maps| Ok::<_, Error>(Work::Started { run: self.tiler.start(&input, order)?, input });
        let work = match &self.interface {
            _ if nothing => Work::Nothing,
            Interface::Samples(config) => {
                let picture = frames::read(frame)?;
                let level = if config.level { self.level(&picture, &request) } else { 0.0 };
                match &self.recurrence {
                    Some(recurrence) => Work::Turn(recurrence.start(Job {
                        picture,
                        level,
                        request: request.clone(),
                        parts: parts.clone(),
                    })),
                    None => started(frames::input(config, self.tiler.maps(), &picture, None, level))?,
                }
            }
            Interface::Custom { reader, .. } => {
                let (width, height) = self.tiler.maps();
                started(self.numbers(reader, frame)?.padded(width, height))?
            }
        };
        Ok(Pending { restorer: Arc::clone(self), request, parts, work })
    }

    /// Regions in pixels of the maps, grown to whole ones.
    fn parts(&self, regions: &[Rect]) -> Vec<Rect> {
        let unit = self.interface.unit();
        let span = |from: usize, length: usize| (from / unit, (from + length).div_ceil(unit) - from / unit);
        let part = |region: &Rect| {
            let ((x, width), (y, height)) = (span(region.x, region.width), span(region.y, region.height));
            Rect::new(x, y, width, height)
        };
        regions.iter().map(part).collect()
    }

    /// Writes a frame enlarged plainly, by bilinear interpolation, where the scale is not 1; else as it is.
    ///
    /// # Errors
    /// When the frames are not of the kinds that were agreed on.
    pub fn enlarge(&self, frame: &Planes, out: &mut PlanesMut) -> Result<()> {
        let FrameInfo { width, height, .. } = self.output;
        let colour = if self.frame.channels() == 1 { Colour::Gray } else { Colour::Rgb };
        let spec = InputSpec { width, height, colour, fit: planes::Fit::Stretch, ..InputSpec::default() };
        let enlarger = Preprocessor::new(&self.frame, &spec)?;
        let picture = enlarger.run_on(frame, Device::Cpu, Number::Float, planes::Layout::Contiguous)?;
        Ok(planes::write_tensor(&picture, out)?)
    }

    /// The noise level to tell the network, in levels of 8 bits.
    fn level(&self, picture: &Frame, request: &Request) -> f64 {
        if let Some(level) = request.noise {
            return level;
        }
        let now = noise::estimate(picture);
        let mut level = lock(&self.level);
        let before = level.filter(|_| !request.fresh).unwrap_or(now);
        *level.insert(before + ESTIMATE_WEIGHT * (now - before))
    }

    /// The input of a user's network.
    fn numbers(&self, reader: &Preprocessor, frame: &Planes) -> Result<Maps> {
        let tensor = reader.run_on(frame, Device::Cpu, Number::Float, planes::Layout::Contiguous)?;
        Maps::from_tensor(&tensor).map_err(|e| self.torch(&e))
    }

    fn torch(&self, error: &tch::TchError) -> Error {
        Error::torch(&self.name, error.to_string())
    }

    fn picture(&self, output: &Maps) -> Result<Frame> {
        frames::from_maps(output, self.output.width, self.output.height)
    }

    /// The picture that a user's network means, in levels of 0 to 1.
    fn levels(&self, custom: &Custom, input: &Maps, output: &Maps, out: &PlanesMut) -> Result<Maps> {
        let FrameInfo { width, height, .. } = self.output;
        let output = output.cropped(width, height);
        let input = match (custom.kind, custom.scale) {
            (Kind::Image, _) => return Ok(custom.levels(None, output)),
            (_, 1) => input.cropped(width, height),
            // The difference is to the picture enlarged, which is what `out` holds.
            _ => self.read_output(&custom.spec(width, height), out)?,
        };
        Ok(custom.levels(Some(&input), output))
    }

    fn read_output(&self, spec: &InputSpec, out: &PlanesMut) -> Result<Maps> {
        self.numbers(&Preprocessor::same_size(&self.output, spec)?, &out.as_planes())
    }

    /// Writes what was restored over a frame, as strong and where it was asked for.
    fn put(&self, restored: &Restored, request: &Request, out: &mut PlanesMut) -> Result<()> {
        if request.strength >= 1.0 && request.regions.is_none() && !compose::has_alpha(self.output.format) {
            return self.write(restored, out);
        }
        let strength = request.strength.clamp(0.0, 1.0);
        let mask = match &request.regions {
            None => Mask::Even(strength),
            Some(regions) => {
                let scale = self.scale();
                let scaled = |r: &Rect| Rect::new(r.x * scale, r.y * scale, r.width * scale, r.height * scale);
                let regions: Vec<_> = regions.iter().map(scaled).collect();
                Mask::of_regions(&self.output, &regions, strength)
            }
        };
        let mut copy = Buffer::copy(&out.as_planes());
        self.write(restored, &mut copy.planes_mut()?)?;
        compose::blend(&copy.planes()?, &mask, out);
        Ok(())
    }

    fn write(&self, restored: &Restored, out: &mut PlanesMut) -> Result<()> {
        let levels = match restored {
            Restored::Picture(picture) => return frames::write(picture, out),
            Restored::Levels(levels) => levels,
        };
        if levels.channels == 1 && self.output.format != PixelFormat::Gray8 {
            // A network of one channel restores luma, and leaves colour as it is.
            let FrameInfo { width, height, .. } = self.output;
            let spec = InputSpec { width, height, colour: Colour::Gray, ..InputSpec::default() };
            let before = self.read_output(&spec, out)?;
            compose::add_luma(levels, &before, out);
            return Ok(());
        }
        Ok(planes::write_tensor(&levels.to_tensor().map_err(|e| self.torch(&e))?, out)?)
    }
}

enum Work {
    Nothing,
    Started { input: Maps, run: Run },
    Turn(Turn),
}

/// A frame under way.
pub struct Pending {
    restorer: Arc<Restorer>,
    request: Request,
    /// The regions in pixels of the maps.
    parts: Option<Vec<Rect>>,
    work: Work,
}

impl Pending {
    /// Whether `finish` does nothing.
    pub fn changes_nothing(&self) -> bool {
        matches!(self.work, Work::Nothing)
    }

    /// Whether `finish` needs what [`Restorer::enlarge`] writes. Where the size stays, it always does, and that is the frame
    /// as it came.
    pub fn needs_frame(&self) -> bool {
        let partly = self.request.strength < 1.0 || self.request.regions.is_some();
        let Restorer { interface, output, .. } = &*self.restorer;
        partly || interface.adds(output.format) || compose::has_alpha(output.format) || self.changes_nothing()
    }

    /// Waits for the network and writes the restored frame over `out`, which holds the frame as it came; enlarged, where
    /// `needs_frame` says so.
    ///
    /// # Errors
    /// What the network failed with; `out` is then as it was.
    pub fn finish(self, out: &mut PlanesMut) -> Result<()> {
        let Pending { restorer, request, parts, work } = self;
        if *out.info() != restorer.output {
            return Err(planes::Error::Frame { expected: restorer.output, got: *out.info() }.into());
        }
        let order = Order { parts: parts.as_deref(), batching: request.batching };
        let restored = match (work, &restorer.interface) {
            (Work::Started { input, run }, interface) => {
                let output = restorer.tiler.collect(run, &input, order)?;
                match interface {
                    Interface::Samples(_) => Restored::Picture(restorer.picture(&output)?),
                    Interface::Custom { custom, .. } => {
                        Restored::Levels(restorer.levels(custom, &input, &output, out)?)
                    }
                }
            }
            (Work::Turn(turn), _) => Restored::Picture(turn.wait()?),
            (Work::Nothing, _) => return Ok(()),
        };
        restorer.put(&restored, &request, out)
    }
}

enum Restored {
    Picture(Frame),
    /// RGB or grey, 0 to 1.
    Levels(Maps),
}
