//! The same conversions as torch operators, for frames and networks on a device other than the CPU.
//!
//! Bytes cross to the device as they are, which is the least there is to move: 1.5 bytes a pixel for 4:2:0, against 12
//! for RGB in fp32. A native 4:2:0 route, for networks that take planes as they are, can start from [`upload`].

use tch::{Device, Kind, Tensor};

use super::colour;
use super::format::Packing;
use super::geometry::Axis;
use super::memory::Layout;
use super::pack::OPAQUE;
use super::sampler::Sampler;
use super::sampling::Between;
use super::{Planes, PlanesMut, Rect, Result};

/// A tensor of undefined numbers, `[N, C, H, W]`, in either layout.
pub(super) fn empty([n, c, h, w]: [usize; 4], options: (Kind, Device), layout: Layout) -> Result<Tensor> {
    let [n, c, h, w] = [n, c, h, w].map(|v| v as i64);
    Ok(match layout {
        Layout::Contiguous => Tensor::f_empty([n, c, h, w], options)?,
        Layout::ChannelsLast => Tensor::f_empty([n, h, w, c], options)?.f_permute([0, 3, 1, 2])?,
    })
}

/// Makes a network's input on a device.
pub(super) fn sample(
    sampler: &Sampler,
    planes: &Planes,
    between: Between,
    (kind, device): (Kind, Device),
    layout: Layout,
) -> Result<Tensor> {
    let geometry = sampler.geometry();
    let resize = |samples: Tensor, step: (usize, usize)| resize(&samples, geometry.axes(), step, between);
    let source = geometry.source();
    let luma = resize(luma(planes, source, device)?, (1, 1))?;
    let samples = if sampler.has_chroma() {
        let step = planes.info().format.chroma_step();
        Tensor::f_cat(&[luma, resize(chroma(planes, source, device)?, step)?], 1)?
    } else {
        luma
    };

    let (channels, components) = (sampler.channels(), sampler.components());
    let placed = geometry.placed();
    let numbers = sampler.numbers(device)?;
    let column = |i: usize| numbers.f_narrow(1, i as i64, 1);
    let matrix = numbers.f_narrow(1, 4, components as i64)?;
    let pixels = matrix.f_matmul(&samples.f_reshape([components as i64, -1])?)?.f_add(&column(0)?)?;
    let pixels = pixels.f_clamp_tensor(Some(column(1)?), Some(column(2)?))?;
    let pixels = if kind == Kind::Uint8 { pixels.f_round()? } else { pixels };
    let [c, y, x, h, w] = [channels, placed.y, placed.x, placed.height, placed.width].map(|v| v as i64);
    let pixels = pixels.f_reshape([1, c, h, w])?;

    let (width, height) = geometry.input();
    let mut out = empty([1, channels, height, width], (kind, device), layout)?;
    if (placed.width, placed.height) != (width, height) {
        out.f_copy_(&column(3)?.f_reshape([1, c, 1, 1])?)?;
    }
    out.f_narrow(2, y, h)?.f_narrow(3, x, w)?.f_copy_(&pixels)?;
    Ok(out)
}

/// Rows `y..y + rows` of a plane, and of each row `x..x + bytes`, as bytes `[rows, bytes]` on a device.
fn upload(planes: &Planes, plane: usize, [y, rows, x, bytes]: [usize; 4], device: Device) -> Result<Tensor> {
    let (data, stride) = planes.plane(plane);
    let window = &data[y * stride + x..][..(rows - 1) * stride + bytes];
    let (size, strides) = ([rows as i64, bytes as i64], [stride as i64, 1]);
    // SAFETY: the window was just cut to hold these rows. The view lives no longer than this module's functions, which
    // return what was computed from it, and is only read.
    let view = unsafe { Tensor::f_from_blob(window.as_ptr(), &size, &strides, Kind::Uint8, Device::Cpu)? };
    Ok(view.f_to_device(device)?)
}

/// Luma of a region, or all components of a packed format, as `[1, components, height, width]` in floats.
fn luma(planes: &Planes, Rect { x, y, width, height }: Rect, device: Device) -> Result<Tensor> {
    let packing = planes.info().format.packing();
    let step = match packing {
        Packing::Packed { step, .. } => step,
        Packing::Yuy2 => 2,
        _ => 1,
    };
    let bytes = upload(planes, 0, [y, height, x * step, width * step], device)?;
    let colours = if matches!(packing, Packing::Packed { .. }) { 3 } else { 1 };
    let pixels = bytes.f_unflatten(1, [width as i64, step as i64])?.f_narrow(2, 0, colours)?;
    Ok(pixels.f_permute([2, 0, 1])?.f_unsqueeze(0)?.f_to_kind(Kind::Float)?)
}

/// U and V of a region that begins on a chroma sample, as `[1, 2, height, width]` in floats.
fn chroma(planes: &Planes, region: Rect, device: Device) -> Result<Tensor> {
    let info = planes.info();
    let (across, down) = info.format.chroma_step();
    let (x, y) = (region.x / across, region.y / down);
    let (width, height) = (region.width.div_ceil(across), region.height.div_ceil(down));
    let interleaved = |plane: usize, step: usize| -> Result<Tensor> {
        let bytes = upload(planes, plane, [y, height, x * step, width * step], device)?;
        Ok(bytes.f_unflatten(1, [width as i64, step as i64])?)
    };
    let both = match info.format.packing() {
        Packing::SemiPlanar => interleaved(1, 2)?.f_permute([2, 0, 1])?,
        Packing::Yuy2 => interleaved(0, 4)?.f_slice(2, 1, 4, 2)?.f_permute([2, 0, 1])?,
        _ => {
            let plane = |k| upload(planes, k, [y, height, x, width], device);
            Tensor::f_stack(&[plane(1)?, plane(2)?], 0)?
        }
    };
    Ok(both.f_unsqueeze(0)?.f_to_kind(Kind::Float)?)
}

/// Samples of `step` pixels each, brought to the size and place that the axes say.
fn resize(samples: &Tensor, (x, y): (Axis, Axis), step: (usize, usize), between: Between) -> Result<Tensor> {
    if between == Between::Repeat {
        // Only ever at full size.
        let repeated = samples.f_repeat_interleave_self_int(step.1 as i64, 2, None)?;
        let repeated = repeated.f_repeat_interleave_self_int(step.0 as i64, 3, None)?;
        return Ok(repeated.f_narrow(2, 0, y.outputs as i64)?.f_narrow(3, 0, x.outputs as i64)?);
    }
    let size = [y.outputs as i64, x.outputs as i64];
    if (x.outputs, y.outputs) == (x.scaled, y.scaled) {
        let scale = |axis: Axis, step: usize| axis.scaled as f64 * step as f64 / axis.len as f64;
        return Ok(samples.f_upsample_bilinear2d(size, false, scale(y, step.1), scale(x, step.0))?);
    }
    // A crop: only the part that is kept is computed, however long the rest would be. In the units of `grid_sample` the
    // picture goes from -1 to 1; `per` maps the output's span to the source's, `shift` its centre.
    let axis = |axis: Axis, step: usize| {
        let samples = axis.len.div_ceil(step) as f64 * step as f64;
        let scale = axis.len as f64 / axis.scaled as f64;
        let centre = (axis.skipped as f64 + axis.outputs as f64 / 2.0) * scale;
        [axis.outputs as f64 * scale / samples, 2.0 * centre / samples - 1.0]
    };
    let ([across, right], [along, down]) = (axis(x, step.0), axis(y, step.1));
    let theta = [across, 0.0, right, 0.0, along, down].map(|v| v as f32);
    let theta = Tensor::f_from_slice(&theta)?.f_reshape([1, 2, 3])?.f_to_device(samples.device())?;
    let grid = Tensor::f_affine_grid_generator(&theta, [1, 1, size[0], size[1]], false)?;
    let (bilinear, border) = (0, 1);
    Ok(samples.f_grid_sampler_2d(&grid, bilinear, border, false)?)
}

/// Writes a picture of 0 to 1 on a device, `[1, C, H, W]` or `[C, H, W]`, into planes of the same size.
pub(super) fn pack(tensor: &Tensor, channels: usize, planes: &mut PlanesMut) -> Result<()> {
    let info = *planes.info();
    let (w, h) = (info.width as i64, info.height as i64);
    let rgb = tensor.f_detach()?.f_to_kind(Kind::Float)?.f_reshape([channels as i64, h * w])?;
    let rgb = rgb.f_clamp(0.0, 1.0)?.f_expand([3, h * w], false)?;

    let from_rgb = colour::from_rgb(&info);
    let numbers: [f32; 12] = std::array::from_fn(|i| match i % 4 {
        3 => from_rgb.b[i / 4] as f32,
        k => (from_rgb.m[i / 4][k] * 255.0) as f32,
    });
    let numbers = Tensor::f_from_slice(&numbers)?.f_reshape([3, 4])?.f_to_device(tensor.device())?;
    let samples = numbers.f_narrow(1, 0, 3)?.f_matmul(&rgb)?.f_add(&numbers.f_narrow(1, 3, 1)?)?;
    let samples = samples.f_reshape([1, 3, h, w])?;
    let bytes = |t: Tensor| -> Result<Tensor> { Ok(t.f_round()?.f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)?) };

    let packing = info.format.packing();
    if let Packing::Packed { step, .. } = packing {
        let pixels = bytes(samples)?.f_squeeze_dim(0)?.f_permute([1, 2, 0])?;
        let pixels = pixels.f_pad([0, step as i64 - 3], "constant", f64::from(OPAQUE))?;
        return download(&pixels, 0, planes);
    }
    let luma = bytes(samples.f_select(1, 0)?.f_squeeze_dim(0)?)?;
    if packing == Packing::Gray {
        return download(&luma, 0, planes);
    }
    let (across, down) = info.format.chroma_step();
    let window = [down as i64, across as i64];
    // Windows that reach over the edge take the mean of what is there.
    let means = samples.f_narrow(1, 1, 2)?.f_avg_pool2d(window, window, [0, 0], true, false, None)?;
    let chroma = bytes(means.f_squeeze_dim(0)?)?;
    match packing {
        Packing::Yuy2 => {
            // The second luma of an odd row's last pair lies outside the picture.
            let luma = Tensor::f_cat(&[luma.f_narrow(1, 0, w)?, luma.f_narrow(1, w - 1, w % 2)?], 1)?;
            let (first, second) = (luma.f_slice(1, 0, None, 2)?, luma.f_slice(1, 1, None, 2)?);
            let (u, v) = (chroma.f_select(0, 0)?, chroma.f_select(0, 1)?);
            download(&Tensor::f_stack(&[first, u, second, v], 2)?, 0, planes)
        }
        Packing::SemiPlanar => {
            download(&luma, 0, planes)?;
            download(&chroma.f_permute([1, 2, 0])?, 1, planes)
        }
        _ => {
            download(&luma, 0, planes)?;
            download(&chroma.f_select(0, 0)?, 1, planes)?;
            download(&chroma.f_select(0, 1)?, 2, planes)
        }
    }
}

/// Copies bytes, as many as the plane has without its padding, into the plane.
fn download(bytes: &Tensor, plane: usize, planes: &mut PlanesMut) -> Result<()> {
    let info = *planes.info();
    let (rows, row_bytes) = (info.rows(plane), info.row_bytes(plane));
    let mut data = vec![0; rows * row_bytes];
    bytes.f_contiguous()?.f_copy_data_u8(&mut data, rows * row_bytes)?;
    for (y, row) in data.chunks_exact(row_bytes).enumerate() {
        planes.row_mut(plane, y).copy_from_slice(row);
    }
    Ok(())
}
