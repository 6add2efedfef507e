//! Runs a network over maps of one size: in one pass, or in tiles where memory wants it.

use std::sync::{Arc, Mutex};

use gst_torch_runtime::planes::Rect;
use gst_torch_runtime::{Batching, Engine, Error, Model, Result, Ticket};

use super::interface::Interface;
use super::lock;
use super::maps::Maps;
use super::memory::{self, Appetite};
use super::tiles::{Grid, Layout, MIN_SIDE, Tile};

/// How maps are cut, and what runs the tiles.
struct Plan {
    grid: Grid,
    engine: Arc<Engine>,
}

#[derive(Default)]
struct Plans {
    whole: Option<Arc<Plan>>,
    parts: Option<Arc<Plan>>,
}

/// See the module.
pub struct Tiler {
    model: Arc<Model>,
    channels: usize,
    /// Channels of the output that counts, and its number.
    output: (usize, usize),
    scale: usize,
    multiple: usize,
    /// The one size of maps that the network takes.
    size: Option<[usize; 2]>,
    /// Size of the maps, padded to what the network can take.
    maps: (usize, usize),
    /// As the user wants them, 0 for automatic.
    side: usize,
    overlap: usize,
    appetite: Appetite,
    plans: Mutex<Plans>,
    notices: Mutex<Vec<String>>,
}

/// What to run of a map, and how.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Pixels of the maps; `None` is all of them.
    pub parts: Option<&'a [Rect]>,
    pub batching: Batching,
}

/// A map under way.
pub struct Run {
    plan: Arc<Plan>,
    tickets: Vec<(Tile, Ticket)>,
}

/// Height and width of the maps that decide what runs networks of any size: those of our own for 640x360.
const STANDARD: [usize; 2] = [180, 320];
/// Side of the tiles for small parts, in pixels of the maps, overlap not counted.
const PART_SIDE: usize = 64;

impl Tiler {
    /// For maps that hold frames of `width` x `height`. Side and overlap of tiles are in pixels of the frame, 0 for automatic.
    pub fn new(
        model: &Arc<Model>,
        interface: &Interface,
        (width, height): (usize, usize),
        (side, overlap): (usize, usize),
    ) -> Self {
        let (unit, multiple) = (interface.unit(), interface.multiple());
        let [least_width, least_height] = interface.size().unwrap_or([1, 1]);
        let padded = |pixels: usize, least: usize| pixels.div_ceil(unit).next_multiple_of(multiple).max(least);
        Tiler {
            model: Arc::clone(model),
            channels: interface.channels(),
            output: interface.outputs(),
            scale: interface.scale(),
            multiple,
            size: interface.size(),
            maps: (padded(width, least_width), padded(height, least_height)),
            side: side.div_ceil(unit),
            overlap: overlap.div_ceil(unit),
            appetite: Appetite::new(interface),
            plans: Mutex::default(),
            notices: Mutex::default(),
        }
    }

    /// Width and height of the maps that [`start`](Self::start) takes.
    pub fn maps(&self) -> (usize, usize) {
        self.maps
    }

    /// Makes what runs ready, for whole maps or for parts.
    ///
    /// # Errors
    /// When the network cannot run, or there is not even memory for the smallest tile.
    pub fn prepare(&self, parts: bool) -> Result<Arc<Engine>> {
        self.plan(parts).map(|plan| Arc::clone(&plan.engine))
    }

    /// Takes what a user should hear of since the last call.
    pub fn take_notices(&self) -> Vec<String> {
        let mut notices = std::mem::take(&mut *lock(&self.notices));
        let plans = {
            let plans = lock(&self.plans);
            [plans.whole.clone(), plans.parts.clone()]
        };
        notices.extend(plans.iter().flatten().flat_map(|plan| plan.engine.take_notices()));
        notices
    }

    pub fn start(&self, input: &Maps, order: Order) -> Result<Run> {
        self.start_on(self.plan(order.parts.is_some())?, input, order)
    }

    fn start_on(&self, plan: Arc<Plan>, input: &Maps, order: Order) -> Result<Run> {
        let touches = |tile: &Tile, part: &Rect| {
            let meets = |a: usize, length: usize, b: usize, size: usize| a < b + size && b < a + length;
            meets(part.x, part.width, tile.x, tile.width) && meets(part.y, part.height, tile.y, tile.height)
        };
        let wanted = |tile: &Tile| order.parts.is_none_or(|parts| parts.iter().any(|part| touches(tile, part)));
        let submit = |tile: Tile| {
            let part = if plan.grid.is_whole() { input.to_tensor() } else { input.cut(&tile).to_tensor() };
            Ok((tile, plan.engine.submit(part.map_err(|e| self.torch(&e))?, order.batching)))
        };
        let tickets = plan.grid.tiles().filter(wanted).map(submit).collect::<Result<_>>()?;
        Ok(Run { plan, tickets })
    }

    /// Waits for what was started on `input`; where memory ran out, does it again in smaller tiles. The maps are as large as
    /// the input's times the scale of the network; outside the parts that were ordered they hold nothing of use.
    pub fn collect(&self, mut run: Run, input: &Maps, order: Order) -> Result<Maps> {
        loop {
            let plan = Arc::clone(&run.plan);
            match self.join(run) {
                Err(error @ Error::OutOfMemory { .. }) => {
                    let smaller = self.halve(&plan, error, order.parts.is_some())?;
                    run = self.start_on(smaller, input, order)?;
                }
                result => return result,
            }
        }
    }

    fn join(&self, Run { plan, tickets }: Run) -> Result<Maps> {
        let (channels, index) = self.output;
        // All are waited for, so that nothing of a frame that failed still runs when it is done again.
        let results: Vec<_> = tickets.into_iter().map(|(tile, ticket)| (tile, ticket.wait())).collect();
        let mut whole = None;
        for (tile, outputs) in results {
            let outputs = outputs?;
            let (_, output) = outputs.get(index).ok_or_else(|| self.mismatch("an output is missing".into()))?;
            let maps = Maps::from_tensor(output).map_err(|e| self.torch(&e))?;
            let wanted = [channels, tile.height * self.scale, tile.width * self.scale];
            if [maps.channels, maps.height, maps.width] != wanted {
                return Err(self.mismatch(format!("an output is {:?}; expected {wanted:?}", output.size())));
            }
            if plan.grid.is_whole() {
                return Ok(maps);
            }
            let (width, height) = (self.maps.0 * self.scale, self.maps.1 * self.scale);
            let whole = whole.get_or_insert_with(|| Maps::zeros(channels, height, width));
            plan.grid.add(&tile, &maps.data, self.scale, whole);
        }
        whole.ok_or_else(|| self.mismatch("no part of the frame was ordered".into()))
    }

    /// The plan for whole maps or for parts, made when first wanted.
    fn plan(&self, parts: bool) -> Result<Arc<Plan>> {
        let slot = |plans: &Plans| if parts { plans.parts.clone() } else { plans.whole.clone() };
        if let Some(plan) = slot(&lock(&self.plans)) {
            return Ok(plan);
        }
        let plan = self.make_plan(self.first_side(parts)?)?;
        self.keep(&plan, parts);
        Ok(plan)
    }

    fn keep(&self, plan: &Arc<Plan>, parts: bool) {
        let mut plans = lock(&self.plans);
        let slot = if parts { &mut plans.parts } else { &mut plans.whole };
        *slot = Some(Arc::clone(plan));
    }

    /// The side of tiles to begin with; 0 is one for all.
    fn first_side(&self, parts: bool) -> Result<usize> {
        if let Some([width, height]) = self.size {
            return Ok(width.max(height));
        }
        if self.side > 0 {
            let least = if self.overlap > 0 { 0 } else { self.appetite.least_side(&self.model)? };
            return Ok(self.side.max(least));
        }
        let side = self.appetite.side(&self.model, self.maps)?;
        if !parts {
            return Ok(side);
        }
        let small = PART_SIDE + memory::overlap(self.appetite.reach(&self.model, PART_SIDE)?);
        Ok(if side == 0 { small } else { side.min(small) })
    }

    fn grid(&self, side: usize) -> Result<Grid> {
        let (width, height) = self.maps;
        let tile = match self.size {
            Some([width, height]) => (width, height),
            None if side == 0 => (width, height),
            None => (side, side),
        };
        if tile.0 >= width && tile.1 >= height {
            return Ok(Grid::new(self.maps, Layout { side: 0, overlap: 0, reach: 0, multiple: 1 }));
        }
        let reach = match self.size {
            // It runs at no size on which its reach could be measured.
            Some(_) => tile.0.min(tile.1) / 8,
            None => self.appetite.reach(&self.model, side)?,
        };
        let overlap = if self.overlap > 0 { self.overlap } else { memory::overlap(reach) };
        Ok(Grid::of_size(self.maps, tile, Layout { side, overlap, reach, multiple: self.multiple }))
    }

    /// With tiles of `side`, or of less where there is no memory for that.
    fn make_plan(&self, mut side: usize) -> Result<Arc<Plan>> {
        loop {
            let grid = self.grid(side)?;
            let (width, height) = grid.tile();
            match self.model.engine_like(self.channels, [height, width], self.like(&grid)) {
                Ok(engine) => return Ok(Arc::new(Plan { grid, engine })),
                Err(error @ Error::OutOfMemory { .. }) => side = self.smaller(&grid, error)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The size of maps whose plan runs `grid`'s tiles, height and width. It is the same for all sizes, so that tiles give
    /// what the whole gives.
    fn like(&self, grid: &Grid) -> [usize; 2] {
        let (width, height) = grid.tile();
        if self.size.is_some() { [height, width] } else { STANDARD.map(|side| side.next_multiple_of(self.multiple)) }
    }

    /// A plan with tiles of half the side, after `plan` ran out of memory. Another frame may have been there before.
    fn halve(&self, plan: &Arc<Plan>, error: Error, parts: bool) -> Result<Arc<Plan>> {
        let current = self.plan(parts)?;
        if !Arc::ptr_eq(&current, plan) {
            return Ok(current);
        }
        let smaller = self.make_plan(self.smaller(&plan.grid, error)?)?;
        self.keep(&smaller, parts);
        Ok(smaller)
    }

    fn smaller(&self, grid: &Grid, error: Error) -> Result<usize> {
        let (width, height) = grid.tile();
        let side = width.max(height);
        if side <= MIN_SIDE || self.size.is_some() {
            return Err(error);
        }
        let half = side.div_ceil(2).next_multiple_of(self.multiple).max(MIN_SIDE);
        lock(&self.notices).push(format!("{error}; frames go on in tiles, {half} pixels of the network's input wide"));
        Ok(half)
    }

    fn torch(&self, error: &tch::TchError) -> Error {
        Error::torch(&self.model.info().name, error.to_string())
    }

    fn mismatch(&self, reason: String) -> Error {
        Error::Mismatch { model: self.model.info().name.clone(), reason }
    }
}
