//! What a network wants to see, and the one object that makes it from frames.

use half::{bf16, f16};
use tch::{Device, Kind, Tensor};

use super::colour::Affine;
use super::memory::{Layout, Picture, Pixels};
use super::sampler::Sampler;
use super::sampling::Between;
use super::simd::Isa;
use super::{Error, Fit, FrameInfo, Geometry, Planes, PlanesMut, Rect, Result, device, pack};

/// The channels of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Colour {
    Rgb,
    Bgr,
    Gray,
}

/// A network's input: size, colours, and what its numbers mean.
///
/// A level of 0 to 255 becomes `(level / scale - mean) / std` of its channel; `mean` and `std` are in the order of the
/// channels, and a grey input uses the first of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputSpec {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    pub colour: Colour,
    pub fit: Fit,
    /// Level of the padding around a letterboxed frame, 0 to 255.
    pub pad: u8,
    /// 255 for networks that take 0 to 1, 1 for those that take levels.
    pub scale: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Default for InputSpec {
    /// 640x640 RGB of 0 to 1, letterboxed on grey 114: what YOLO models take.
    fn default() -> Self {
        InputSpec {
            width: 640,
            height: 640,
            colour: Colour::Rgb,
            fit: Fit::Letterbox,
            pad: 114,
            scale: 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }
}

impl InputSpec {
    /// Number of channels: 1 or 3.
    pub fn channels(&self) -> usize {
        if self.colour == Colour::Gray { 1 } else { 3 }
    }

    /// From levels to the network's numbers.
    pub(super) fn normalisation(&self) -> Affine {
        let (scale, mean, std) = (f64::from(self.scale), self.mean.map(f64::from), self.std.map(f64::from));
        Affine::diagonal(std.map(|std| 1.0 / (scale * std)), std::array::from_fn(|c| -mean[c] / std[c]))
    }

    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::Input(what));
        let sides = 1..=super::format::MAX_SIDE;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return wrong(format!("each side must be 1 to {}, got {}x{}", sides.end(), self.width, self.height));
        }
        let divisors = [self.scale, self.std[0], self.std[1], self.std[2]];
        if divisors.iter().any(|v| !v.is_normal()) || self.mean.iter().any(|v| !v.is_finite()) {
            let InputSpec { scale, mean, std, .. } = self;
            return wrong(format!(
                "scale and std must not be 0, all finite; got scale {scale}, mean {mean:?}, std {std:?}"
            ));
        }
        Ok(())
    }

    /// Whether the network takes plain levels.
    fn is_levels(&self) -> bool {
        self.scale == 1.0 && self.mean == [0.0; 3] && self.std == [1.0; 3]
    }
}

/// Makes a network's input from frames of one kind: everything that does not depend on pixels is computed once.
#[derive(Debug, Clone)]
pub struct Preprocessor {
    info: FrameInfo,
    spec: InputSpec,
    between: Between,
    sampler: Sampler,
}

impl Preprocessor {
    /// For frames of `info` into an input of `spec`.
    ///
    /// # Errors
    /// When a side is 0 or too long, or the normalisation divides by 0.
    pub fn new(info: &FrameInfo, spec: &InputSpec) -> Result<Self> {
        Self::with(info, spec, Between::Linear)
    }

    /// For frames of `info` into `[1, C, H, W]` of 0 to 1 at their own size: RGB, or one channel for grey frames.
    pub fn full_size(info: &FrameInfo) -> Result<Self> {
        Self::full_size_scaled(info, 255.0)
    }

    /// For frames of `info` into an input of `spec`, whose size has to be theirs: nothing is interpolated, so that what
    /// [`write_tensor`] makes of a network's unchanged input is the frame that came.
    ///
    /// # Errors
    /// When the sizes differ, or the normalisation divides by 0.
    pub fn same_size(info: &FrameInfo, spec: &InputSpec) -> Result<Self> {
        let (frame, input) = ((info.width, info.height), (spec.width, spec.height));
        if frame != input {
            let text = format!("expected the size of the frame, {}x{}, got {}x{}", frame.0, frame.1, input.0, input.1);
            return Err(Error::Input(text));
        }
        Self::with(info, &InputSpec { fit: Fit::Stretch, ..*spec }, Between::Repeat)
    }

    fn full_size_scaled(info: &FrameInfo, scale: f32) -> Result<Self> {
        let colour = if info.channels() == 1 { Colour::Gray } else { Colour::Rgb };
        let (width, height) = (info.width, info.height);
        let spec = InputSpec { width, height, colour, fit: Fit::Stretch, scale, ..InputSpec::default() };
        Self::with(info, &spec, Between::Repeat)
    }

    fn with(info: &FrameInfo, spec: &InputSpec, between: Between) -> Result<Self> {
        info.check()?;
        spec.check()?;
        let frame = Rect::new(0, 0, info.width, info.height);
        let geometry = Geometry::new(frame, spec.width, spec.height, spec.fit);
        let sampler = Sampler::new(info, spec, geometry, between);
        Ok(Preprocessor { info: *info, spec: *spec, between, sampler })
    }

    pub fn info(&self) -> &FrameInfo {
        &self.info
    }

    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// Where a whole frame lies in the input.
    pub fn geometry(&self) -> &Geometry {
        self.sampler.geometry()
    }

    /// A tensor `[batch, C, H, W]` on the CPU for `run` to fill; what it holds before that is undefined. A slot of the
    /// batch is `tensor.f_get(i)`.
    pub fn empty(&self, batch: usize, kind: Kind, layout: Layout) -> Result<Tensor> {
        let InputSpec { width, height, .. } = self.spec;
        device::empty([batch, self.spec.channels(), height, width], (kind, Device::Cpu), layout)
    }

    /// Fills `out`, `[1, C, H, W]` or `[C, H, W]` on the CPU (a slot of a batch, say), from a whole frame. Kinds are
    /// Float, BFloat16, Half, and Uint8 for networks that take levels; the memory may be contiguous or channels-last.
    pub fn run(&self, planes: &Planes, out: &mut Tensor) -> Result<()> {
        self.check_frame(planes)?;
        self.fill(&self.sampler, planes, out, Isa::detect())
    }

    /// As `run`, from a part of the frame. Where chroma has half the resolution the region is widened to whole chroma
    /// samples; the geometry returned says what was taken.
    pub fn run_region(&self, planes: &Planes, region: Rect, out: &mut Tensor) -> Result<Geometry> {
        self.check_frame(planes)?;
        let sampler = self.region_sampler(region)?;
        self.fill(&sampler, planes, out, Isa::detect())?;
        Ok(*sampler.geometry())
    }

    /// A new input `[1, C, H, W]` on any device: the bytes are uploaded as they are, all else happens there.
    pub fn run_on(&self, planes: &Planes, device: Device, kind: Kind, layout: Layout) -> Result<Tensor> {
        self.check_frame(planes)?;
        self.check_kind(kind)?;
        if device == Device::Cpu {
            let mut out = self.empty(1, kind, layout)?;
            self.run(planes, &mut out)?;
            return Ok(out);
        }
        device::sample(&self.sampler, planes, self.between, (kind, device), layout)
    }

    /// As `run_on`, from a part of the frame; see `run_region`.
    pub fn run_region_on(
        &self,
        planes: &Planes,
        region: Rect,
        device: Device,
        kind: Kind,
        layout: Layout,
    ) -> Result<(Tensor, Geometry)> {
        self.check_frame(planes)?;
        self.check_kind(kind)?;
        if device == Device::Cpu {
            let mut out = self.empty(1, kind, layout)?;
            let geometry = self.run_region(planes, region, &mut out)?;
            return Ok((out, geometry));
        }
        let sampler = self.region_sampler(region)?;
        let out = device::sample(&sampler, planes, self.between, (kind, device), layout)?;
        Ok((out, *sampler.geometry()))
    }

    pub(super) fn region_sampler(&self, region: Rect) -> Result<Sampler> {
        if !region.lies_in(self.info.width, self.info.height) {
            return Err(Error::Region { region, info: self.info });
        }
        let (across, down) = self.info.format.chroma_step();
        let widen = |start: usize, len: usize, step: usize, limit: usize| {
            let first = start / step * step;
            (first, (start + len).next_multiple_of(step).min(limit) - first)
        };
        let (x, width) = widen(region.x, region.width, across, self.info.width);
        let (y, height) = widen(region.y, region.height, down, self.info.height);
        let geometry = Geometry::new(Rect::new(x, y, width, height), self.spec.width, self.spec.height, self.spec.fit);
        Ok(Sampler::new(&self.info, &self.spec, geometry, self.between))
    }

    fn check_frame(&self, planes: &Planes) -> Result<()> {
        let got = *planes.info();
        if got == self.info { Ok(()) } else { Err(Error::Frame { expected: self.info, got }) }
    }

    fn check_kind(&self, kind: Kind) -> Result<()> {
        match kind {
            Kind::Float | Kind::BFloat16 | Kind::Half => Ok(()),
            Kind::Uint8 if self.spec.is_levels() => Ok(()),
            Kind::Uint8 => Err(Error::Input("Uint8 takes levels: scale 1, mean 0 and std 1".to_string())),
            _ => Err(Error::Input(format!("kind {kind:?} is not one of Float, BFloat16, Half, Uint8"))),
        }
    }

    pub(super) fn fill(&self, sampler: &Sampler, planes: &Planes, out: &mut Tensor, isa: Isa) -> Result<()> {
        let picture = Picture::of(out, &[self.spec.channels()])?;
        let expected = [self.spec.channels(), self.spec.height, self.spec.width];
        if picture.shape != expected {
            return Err(Error::Tensor { expected: format!("{expected:?}"), got: format!("{:?}", picture.shape) });
        }
        let kind = out.f_kind()?;
        self.check_kind(kind)?;
        match kind {
            Kind::BFloat16 => sampler.run::<bf16>(planes, Pixels::of(out, picture), isa),
            Kind::Half => sampler.run::<f16>(planes, Pixels::of(out, picture), isa),
            Kind::Uint8 => sampler.run::<u8>(planes, Pixels::of(out, picture), isa),
            _ => sampler.run::<f32>(planes, Pixels::of(out, picture), isa),
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn sampler(&self) -> &Sampler {
        &self.sampler
    }
}

/// A frame as `[1, 3, H, W]` RGB, or `[1, 1, H, W]` if it is grey, at full resolution and contiguous: 0 to 1, or levels
/// 0 to 255 for `Kind::Uint8`. The frame's bytes are read where they lie, whatever their strides. Chroma is repeated.
///
/// For one frame; [`Preprocessor::full_size`] keeps its tables for many.
pub fn to_tensor(planes: &Planes, device: Device, kind: Kind) -> Result<Tensor> {
    let scale = if kind == Kind::Uint8 { 1.0 } else { 255.0 };
    Preprocessor::full_size_scaled(planes.info(), scale)?.run_on(planes, device, kind, Layout::Contiguous)
}

/// Writes `[1, C, H, W]` or `[C, H, W]` of 0 to 1, RGB or grey, from any device into a frame of the same size: the way
/// back from [`to_tensor`]. Chroma is the mean over the pixels it stands for, alpha and unused bytes become 255, padding
/// is left alone. Numbers beyond 0 and 1 are held there, and NaN becomes 0.
///
/// # Errors
/// When the shape is another, or the kind is not Float, BFloat16 or Half.
pub fn write_tensor(tensor: &Tensor, planes: &mut PlanesMut) -> Result<()> {
    let info = *planes.info();
    if !tensor.defined() {
        return Err(Error::Tensor { expected: format!("a picture for {info}"), got: "nothing".to_string() });
    }
    let (size, kind) = (tensor.size(), tensor.f_kind()?);
    let expected = [info.height as i64, info.width as i64];
    let channels = match size.as_slice() {
        [1, c @ (1 | 3), rest @ ..] | [c @ (1 | 3), rest @ ..] if *rest == expected => *c as usize,
        _ => {
            let expected = format!("[1, 3 or 1, {}, {}] for {info}", expected[0], expected[1]);
            return Err(Error::Tensor { expected, got: format!("{size:?}") });
        }
    };
    if !matches!(kind, Kind::Float | Kind::BFloat16 | Kind::Half) {
        let expected = "kind Float, BFloat16 or Half".to_string();
        return Err(Error::Tensor { expected, got: format!("{kind:?}") });
    }
    if tensor.device() != Device::Cpu {
        return device::pack(tensor, channels, planes);
    }
    match Picture::of(tensor, &[channels]) {
        Ok(picture) => pack::pack(tensor, picture, planes, Isa::detect()),
        // Strides that no network leaves behind, a transposed view for one.
        Err(_) => {
            let dense = tensor.f_contiguous()?;
            pack::pack(&dense, Picture::of(&dense, &[channels])?, planes, Isa::detect())
        }
    }
}
