//! One fused pass from a frame's planes to a network's input.
//!
//! Each source row that counts is interpolated to the output's width (8 bits to 16), for Y and chroma each at its own
//! resolution; for every row of the output the two it lies between are blended, and the components are multiplied by one
//! matrix that holds colour conversion and normalisation together. Only a few rows are in flight, so everything but the
//! frame and the result stays in the first-level cache.
//!
//! For RGB and grey frames, which is what libraries prepare with OpenCV, order and rounding are those of `cv2.resize`:
//! the network sees the same levels, bit for bit. A score can move by more than a thousandth for less.

use tch::{Device, Tensor};

use super::colour::{self, Affine};
use super::finish::Finish;
use super::format::Packing;
use super::geometry::Geometry;
use super::kernels::{self, Blend};
use super::memory::{Element, Pixels};
use super::preprocess::{Colour, InputSpec};
use super::sampling::{Between, Columns, GROUP, Tap, WINDOW, taps};
use super::simd::{Isa, Simd, Work};
use super::{FrameInfo, Matrix, Planes, Result};

/// The tables of one geometry and one kind of frame.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    geometry: Geometry,
    packing: Packing,
    luma: Grid,
    /// None where the output needs no chroma or the frame has none of its own resolution.
    chroma: Option<Grid>,
    /// From samples to the network's numbers.
    whole: Affine,
    finish: Finish,
    blend: Blend,
    /// The padding's colour in the network's numbers.
    pad: [f32; 3],
    components: usize,
    channels: usize,
}

/// Where one resolution of samples is taken from.
#[derive(Debug, Clone)]
struct Grid {
    columns: Columns,
    rows: Vec<Tap>,
    /// First column and row of the source region, and how many columns it has, in samples.
    x: usize,
    y: usize,
    width: usize,
}

impl Grid {
    fn new(geometry: &Geometry, (across, down): (usize, usize), between: Between) -> Self {
        let (horizontal, vertical) = geometry.axes();
        let source = geometry.source();
        Grid {
            columns: Columns::new(horizontal, across, between),
            rows: taps(vertical, down, between),
            x: source.x / across,
            y: source.y / down,
            width: source.width.div_ceil(across),
        }
    }

    /// Makes one row of component `k`, which is every `STEP`th byte from `OFFSET` on of a plane.
    #[inline(always)]
    fn row<S: Simd, const STEP: usize, const OFFSET: usize>(
        &self,
        planes: &Planes,
        plane: usize,
        tap: Tap,
        k: usize,
        buffers: &mut Buffers,
    ) {
        let Buffers { blend, words, lines } = buffers;
        let lines = &mut lines[k];
        let bytes = |y: usize| &planes.row(plane, self.y + y)[self.x * STEP..];
        let halved = tap.rows[0] != tap.rows[1] && tap.weights[0] == tap.weights[1];
        if STEP == 1 && *blend == Blend::Fine && halved && matches!(self.columns, Columns::Halved) {
            // So common that it is done in one go; no other row of the output would need these again.
            lines.current = Lines::BLENDED;
            return kernels::quarter(tap.rows.map(bytes), &mut lines.rows[Lines::BLENDED]);
        }
        let slots = lines.slots(tap.rows);
        for (slot, y) in slots.into_iter().zip(tap.rows) {
            if lines.source[slot] != Some(y) {
                lines.source[slot] = Some(y);
                let bytes = bytes(y);
                let out = &mut lines.rows[slot];
                kernels::interpolate::<S, STEP, OFFSET>((bytes, self.width), &self.columns, words, out);
            }
        }
        lines.current = slots[0];
        if tap.rows[0] != tap.rows[1] || *blend == Blend::Levels {
            lines.current = Lines::BLENDED;
            let [first, second, blended] = &mut lines.rows;
            let held = [first, second];
            kernels::blend::<S>(*blend, slots.map(|slot| &held[slot][..]), tap.weights, blended);
        }
    }
}

/// Rows of the output that the frame's bytes are asked for in advance.
const AHEAD: usize = 2;

impl Sampler {
    pub fn new(info: &FrameInfo, spec: &InputSpec, geometry: Geometry, between: Between) -> Self {
        let packing = info.format.packing();
        let is_yuv = info.format.is_yuv();
        let components = match (packing, spec.colour) {
            (Packing::Gray, _) => 1,
            (_, Colour::Gray) if is_yuv => 1,
            _ => 3,
        };
        let luma_step = (1, 1);
        let chroma = (is_yuv && components == 3).then(|| Grid::new(&geometry, info.format.chroma_step(), between));
        let normalise = spec.normalisation();
        let whole = whole(info, spec, components);
        let blend = if is_yuv { Blend::Fine } else { Blend::Levels };
        let pad = std::array::from_fn(|c| (normalise.m[c][c] * f64::from(spec.pad) + normalise.b[c]) as f32);
        Sampler {
            geometry,
            packing,
            luma: Grid::new(&geometry, luma_step, between),
            chroma,
            whole,
            finish: finish(&whole, &normalise, blend),
            blend,
            pad,
            components,
            channels: spec.channels(),
        }
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub fn has_chroma(&self) -> bool {
        self.chroma.is_some()
    }

    /// Samples a pixel is made of, 1 or 3.
    pub fn components(&self) -> usize {
        self.components
    }

    /// Channels of the input, 1 or 3.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// For each channel of the input, as a tensor on a device, in floats: shift, lowest and highest number, padding,
    /// and the matrix from levels.
    pub fn numbers(&self, device: Device) -> Result<Tensor> {
        let Finish { b, low, high, .. } = self.finish;
        let row = |c: usize| {
            let [m0, m1, m2] = self.whole.m[c].map(|v| v as f32);
            [b[c], low[c], high[c], self.pad[c], m0, m1, m2]
        };
        let numbers = Tensor::f_from_slice(&(0..self.channels).flat_map(row).collect::<Vec<_>>())?;
        Ok(numbers.f_reshape([self.channels as i64, 7])?.f_to_device(device)?)
    }

    /// Fills the whole picture: the frame where it is placed, padding around it.
    pub fn run<T: Element>(&self, planes: &Planes, out: Pixels<T>, isa: Isa) {
        isa.run(Frame { sampler: self, planes, out });
    }

    #[inline(always)]
    fn sample<S: Simd, T: Element>(&self, planes: &Planes, mut out: Pixels<T>) {
        let (width, height) = self.geometry.input();
        let placed = self.geometry.placed();
        let pad = self.pad.map(T::from_f32);
        let (right, bottom) = (placed.x + placed.width, placed.y + placed.height);

        let padded = placed.width.next_multiple_of(2 * GROUP);
        let mut buffers = Buffers {
            blend: self.blend,
            words: vec![0; self.luma.width + 1 + WINDOW],
            lines: [(); 3].map(|()| Lines::new(padded)),
        };

        for y in (0..placed.y).chain(bottom..height) {
            out.fill(y, 0, width, pad);
        }
        let (mut luma_tap, mut chroma_tap) = (None, None);
        for (j, &tap) in self.luma.rows.iter().enumerate() {
            let y = placed.y + j;
            self.prefetch::<S>(planes, j);
            // Enlarged pictures meet the same source rows several times.
            if luma_tap.replace(tap) != Some(tap) {
                S::run(LumaRow { sampler: self, planes, tap, buffers: &mut buffers });
            }
            if let Some(chroma) = &self.chroma {
                let tap = chroma.rows[j];
                if chroma_tap.replace(tap) != Some(tap) {
                    S::run(ChromaRow { sampler: self, grid: chroma, planes, tap, buffers: &mut buffers });
                }
            }
            out.fill(y, 0, placed.x, pad);
            out.fill(y, right, width - right, pad);
            let components = buffers.lines.each_ref().map(|lines| &lines.rows[lines.current][..placed.width]);
            let row = out.row(y, placed.x, placed.width);
            match (self.components, self.channels) {
                (1, 1) => self.finish.row::<S, i16, T, 1, 1>(components, row),
                (1, _) => self.finish.row::<S, i16, T, 1, 3>(components, row),
                (_, 1) => self.finish.row::<S, i16, T, 3, 1>(components, row),
                (_, _) => self.finish.row::<S, i16, T, 3, 3>(components, row),
            }
        }
    }

    /// Has the rows brought nearer that are read after row `j` of the output.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, planes: &Planes, j: usize) {
        if let Some(tap) = self.luma.rows.get(j + AHEAD) {
            for y in tap.rows {
                S::prefetch(planes.row(0, self.luma.y + y));
            }
        }
        if let Some(chroma) = &self.chroma
            && let Some(tap) = chroma.rows.get(j + AHEAD)
        {
            for plane in 1..planes.info().format.planes() {
                S::prefetch(planes.row(plane, chroma.y + tap.rows[1]));
            }
        }
    }

    /// Interpolates and blends luma; of packed formats, all components.
    #[inline(always)]
    fn luma_row<S: Simd>(&self, planes: &Planes, tap: Tap, buffers: &mut Buffers) {
        let grid = &self.luma;
        match self.packing {
            Packing::Gray | Packing::Planar | Packing::SemiPlanar => grid.row::<S, 1, 0>(planes, 0, tap, 0, buffers),
            Packing::Yuy2 => grid.row::<S, 2, 0>(planes, 0, tap, 0, buffers),
            Packing::Packed { step: 3, .. } => {
                grid.row::<S, 3, 0>(planes, 0, tap, 0, buffers);
                grid.row::<S, 3, 1>(planes, 0, tap, 1, buffers);
                grid.row::<S, 3, 2>(planes, 0, tap, 2, buffers);
            }
            Packing::Packed { .. } => {
                grid.row::<S, 4, 0>(planes, 0, tap, 0, buffers);
                grid.row::<S, 4, 1>(planes, 0, tap, 1, buffers);
                grid.row::<S, 4, 2>(planes, 0, tap, 2, buffers);
            }
        }
    }

    /// Interpolates and blends U and V.
    #[inline(always)]
    fn chroma_row<S: Simd>(&self, planes: &Planes, grid: &Grid, tap: Tap, buffers: &mut Buffers) {
        match self.packing {
            Packing::SemiPlanar => {
                grid.row::<S, 2, 0>(planes, 1, tap, 1, buffers);
                grid.row::<S, 2, 1>(planes, 1, tap, 2, buffers);
            }
            Packing::Yuy2 => {
                grid.row::<S, 4, 1>(planes, 0, tap, 1, buffers);
                grid.row::<S, 4, 3>(planes, 0, tap, 2, buffers);
            }
            _ => {
                grid.row::<S, 1, 0>(planes, 1, tap, 1, buffers);
                grid.row::<S, 1, 0>(planes, 2, tap, 2, buffers);
            }
        }
    }
}

/// A whole frame, for numbers of one kind.
struct Frame<'a, T> {
    sampler: &'a Sampler,
    planes: &'a Planes<'a>,
    out: Pixels<'a, T>,
}

impl<T: Element> Work for Frame<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.sampler.sample::<S, T>(self.planes, self.out);
    }
}

/// A row of luma, or of all components of a packed format. By itself, since it is the same for every kind of number, and
/// long.
struct LumaRow<'a> {
    sampler: &'a Sampler,
    planes: &'a Planes<'a>,
    tap: Tap,
    buffers: &'a mut Buffers,
}

impl Work for LumaRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.sampler.luma_row::<S>(self.planes, self.tap, self.buffers);
    }
}

/// A row of U and V, as above.
struct ChromaRow<'a> {
    sampler: &'a Sampler,
    grid: &'a Grid,
    planes: &'a Planes<'a>,
    tap: Tap,
    buffers: &'a mut Buffers,
}

impl Work for ChromaRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.sampler.chroma_row::<S>(self.planes, self.grid, self.tap, self.buffers);
    }
}

/// The rows in flight.
struct Buffers {
    blend: Blend,
    /// One of samples as words, where columns are looked up.
    words: Vec<i16>,
    lines: [Lines; 3],
}

/// A component's last two interpolated source rows, which neighbouring rows of the output often share, and their blend.
struct Lines {
    /// Which source row each of the first two holds.
    source: [Option<usize>; 2],
    rows: [Vec<i16>; 3],
    /// Which of them the output is made from.
    current: usize,
}

impl Lines {
    const BLENDED: usize = 2;

    fn new(width: usize) -> Self {
        Lines { source: [None; 2], rows: [(); 3].map(|()| vec![0; width]), current: 0 }
    }

    /// Where two source rows are held, or are to be put.
    #[inline(always)]
    fn slots(&self, [above, below]: [usize; 2]) -> [usize; 2] {
        let first = usize::from(self.source[1] == Some(above) || self.source[0] == Some(below) && above != below);
        [first, if below == above { first } else { 1 - first }]
    }
}

/// From a frame's samples to the network's numbers. A single component stands in the first place.
fn whole(info: &FrameInfo, spec: &InputSpec, components: usize) -> Affine {
    let order = match spec.colour {
        Colour::Rgb => Affine::diagonal([1.0; 3], [0.0; 3]),
        Colour::Bgr => Affine::swap_red_blue(),
        // The weights that made Y from RGB give Y back from RGB. RGB itself has none; BT.601's are what OpenCV takes.
        Colour::Gray => colour::gray(if info.format.is_yuv() { info.matrix } else { Matrix::Bt601 }),
    };
    let mut whole = spec.normalisation().after(&order).after(&colour::to_rgb(info));
    if components == 1 {
        // A grey frame's sample stands for all three; where Y alone decides, the other two have no part.
        whole.m = whole.m.map(|row| [row.iter().sum(), 0.0, 0.0]);
    }
    whole
}

/// The same for interpolated rows, held to what levels 0 to 255 come to: YUV can hold colours that RGB cannot.
fn finish(whole: &Affine, normalise: &Affine, blend: Blend) -> Finish {
    let ends = |c: usize| [0.0, 255.0].map(|level| (normalise.m[c][c] * level + normalise.b[c]) as f32);
    Finish {
        m: whole.m.map(|row| row.map(|v| (v / blend.unit()) as f32)),
        b: whole.b.map(|v| v as f32),
        low: std::array::from_fn(|c| ends(c)[0].min(ends(c)[1])),
        high: std::array::from_fn(|c| ends(c)[0].max(ends(c)[1])),
    }
}
