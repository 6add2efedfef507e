//! Frames to networks' inputs.

use super::*;
use crate::planes::sampling::Between;
use crate::planes::simd::Isa;

#[test]
fn every_format_size_fit_matrix_and_range_follows_the_formulas() {
    for (format, (width, height)) in PixelFormat::ALL.into_iter().flat_map(|f| SIZES.map(|size| (f, size))) {
        for info in variants(format, width, height) {
            let frame = Frame::new(info, 13, false);
            for fit in [Fit::Letterbox, Fit::Stretch, Fit::Crop] {
                let spec = InputSpec { width: 64, height: 40, fit, scale: 1.0, ..InputSpec::default() };
                let preprocessor = Preprocessor::new(&info, &spec).unwrap();
                let geometry = preprocessor.geometry();
                let (across, down) = geometry.axes();
                let placed = geometry.placed();
                let place = |axis: geometry::Axis, i: usize| {
                    ((i + axis.skipped) as f64 + 0.5) * axis.len as f64 / axis.scaled as f64
                };
                for (isa, layout) in
                    Isa::available().iter().zip([Layout::ChannelsLast, Layout::Contiguous].iter().cycle())
                {
                    let mut out = preprocessor.empty(1, Kind::Float, *layout).unwrap();
                    preprocessor.fill(preprocessor.sampler(), &frame.planes(), &mut out, *isa).unwrap();
                    let got = numbers(&out);
                    for (j, i) in (0..40).flat_map(|j| (0..64).map(move |i| (j, i))) {
                        let inside = (placed.x..placed.x + placed.width).contains(&i)
                            && (placed.y..placed.y + placed.height).contains(&j);
                        let expected = match inside {
                            true => frame.rgb_at(place(across, i - placed.x), place(down, j - placed.y)),
                            false => [114.0; 3],
                        };
                        for (c, expected) in expected.into_iter().enumerate() {
                            let got = f64::from(got[(c * 40 + j) * 64 + i]);
                            // Weights of 1/2048, enlarged by the matrix; and whole levels where OpenCV rounds to them.
                            let close = (got - expected).abs() < if format.is_yuv() { 0.4 } else { 1.0 };
                            assert!(close, "{info} {fit:?} {isa:?} ({i}, {j}, {c}): {got} for {expected}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn channel_order_normalisation_and_kinds_are_as_asked() {
    let info = FrameInfo::new(PixelFormat::Nv12, 50, 38);
    let frame = Frame::new(info, 3, true);
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let levels = InputSpec { width: 48, height: 48, scale: 1.0, ..InputSpec::default() };
    let rgb = Preprocessor::new(&info, &levels).unwrap();
    let rgb = rgb.run_on(&frame.planes(), Device::Cpu, Kind::Float, Layout::Contiguous).unwrap();
    let constants = |v: [f32; 3]| Tensor::from_slice(&v).reshape([1, 3, 1, 1]);
    let normalised = (&rgb / 255.0 - constants(mean)) / constants(std);
    let bgr = (rgb.flip([1]) / 255.0 - constants(mean)) / constants(std);
    for (colour, expected) in [(Colour::Rgb, &normalised), (Colour::Bgr, &bgr)] {
        let preprocessor = Preprocessor::new(&info, &InputSpec { colour, scale: 255.0, mean, std, ..levels }).unwrap();
        for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::Half, 1.1e-3), (Kind::BFloat16, 8e-3)] {
            for layout in [Layout::Contiguous, Layout::ChannelsLast] {
                let mut out = preprocessor.empty(1, kind, layout).unwrap();
                preprocessor.run(&frame.planes(), &mut out).unwrap();
                assert_eq!(out.stride()[1] == 1, layout == Layout::ChannelsLast);
                assert!(apart(&out, expected) < tolerance, "{colour:?} {kind:?}: {}", apart(&out, expected));
            }
        }
    }
    let bytes = Preprocessor::new(&info, &levels).unwrap();
    let bytes = bytes.run_on(&frame.planes(), Device::Cpu, Kind::Uint8, Layout::ChannelsLast).unwrap();
    assert!(apart(&bytes, &rgb) <= 0.5 + 1e-3);
}

/// Wide enough for whole blocks, and not a multiple of any; halved, for which there is a way of its own, and not.
#[test]
fn every_instruction_set_kind_and_layout_gives_the_same() {
    for (format, (width, height)) in PixelFormat::ALL.into_iter().flat_map(|f| [(f, (394, 74)), (f, (300, 57))]) {
        let info = FrameInfo::new(format, width, height);
        let frame = Frame::new(info, 3, false);
        for colour in [Colour::Rgb, Colour::Gray] {
            let spec = InputSpec { width: 197, height: 37, colour, scale: 1.0, ..InputSpec::default() };
            let preprocessor = Preprocessor::new(&info, &spec).unwrap();
            let filled = |kind, layout, isa| {
                let mut out = preprocessor.empty(1, kind, layout).unwrap();
                preprocessor.fill(preprocessor.sampler(), &frame.planes(), &mut out, isa).unwrap();
                out
            };
            let expected = filled(Kind::Float, Layout::Contiguous, Isa::Portable);
            for isa in Isa::available() {
                // Of levels up to 255, bf16 holds eight bits and f16 eleven.
                for (kind, tolerance) in
                    [(Kind::Float, 1e-4), (Kind::BFloat16, 0.5001), (Kind::Half, 0.0626), (Kind::Uint8, 0.5001)]
                {
                    for layout in [Layout::Contiguous, Layout::ChannelsLast] {
                        let apart = apart(&filled(kind, layout, *isa), &expected);
                        assert!(apart <= tolerance, "{info} {colour:?} {isa:?} {kind:?} {layout:?}: {apart}");
                    }
                }
            }
        }
    }
}

#[test]
fn grey_is_luma() {
    for format in PixelFormat::ALL {
        let info = FrameInfo { matrix: Matrix::Bt709, ..FrameInfo::new(format, 33, 21) };
        let frame = Frame::new(info, 5, true);
        let spec = InputSpec { width: 33, height: 21, colour: Colour::Gray, scale: 1.0, ..InputSpec::default() };
        let preprocessor = Preprocessor::new(&info, &spec).unwrap();
        let out = preprocessor.run_on(&frame.planes(), Device::Cpu, Kind::Float, Layout::Contiguous).unwrap();
        assert_eq!(out.size(), [1, 1, 21, 33]);
        for (i, got) in numbers(&out).into_iter().enumerate() {
            let [a, b, c] = [0, 1, 2].map(|k| frame.interpolated(k, (i % 33) as f64 + 0.5, (i / 33) as f64 + 0.5));
            let expected = match format.is_yuv() {
                true => (a - 16.0) / 219.0 * 255.0,
                false => 0.299 * a + 0.587 * b + 0.114 * c,
            };
            assert!((f64::from(got) - expected).abs() < 0.02, "{info} {i}: {got} for {expected}");
        }
    }
}

#[test]
fn a_region_is_what_its_own_frame_would_be() {
    for format in PixelFormat::ALL {
        let info = FrameInfo::new(format, 90, 60);
        let frame = Frame::new(info, 9, false);
        let (across, down) = format.chroma_step();
        // A region that begins or ends inside a chroma sample is widened to all of it.
        let (asked, taken) = match across {
            1 => (Rect::new(13, 9, 41, 30), Rect::new(13, 9, 41, 30)),
            _ => (Rect::new(13, 9, 41, 30), Rect::new(12, 9 / down * down, 42, if down == 2 { 32 } else { 30 })),
        };
        let part = FrameInfo { width: taken.width, height: taken.height, ..info };
        let planes: Vec<_> = (0..format.planes())
            .map(|p| {
                let (data, stride) = &frame.planes[p];
                let (columns, x, y) = match p {
                    0 => (90, taken.x, taken.y),
                    _ => (45, taken.x / across, taken.y / down),
                };
                (&data[y * stride + x * info.row_bytes(p) / columns..], *stride)
            })
            .collect();
        let part = Planes::new(part, &planes).unwrap();
        let spec = InputSpec { width: 56, height: 48, ..InputSpec::default() };
        let expected = Preprocessor::new(part.info(), &spec).unwrap();
        let expected = expected.run_on(&part, Device::Cpu, Kind::Float, Layout::Contiguous).unwrap();

        let preprocessor = Preprocessor::new(&info, &spec).unwrap();
        let out = preprocessor.empty(3, Kind::Float, Layout::ChannelsLast).unwrap();
        let geometry = preprocessor.run_region(&frame.planes(), asked, &mut out.get(1)).unwrap();
        assert_eq!(geometry.source(), taken);
        assert!(apart(&out.narrow(0, 1, 1), &expected) == 0.0, "{info}");
        let whole = preprocessor.run_region(&frame.planes(), Rect::new(0, 0, 90, 60), &mut out.get(2)).unwrap();
        assert_eq!(whole, *preprocessor.geometry());
        let full = preprocessor.run_on(&frame.planes(), Device::Cpu, Kind::Float, Layout::Contiguous).unwrap();
        assert!(apart(&out.narrow(0, 2, 1), &full) == 0.0, "{info}");
    }
}

#[test]
fn the_way_on_a_device_gives_what_the_cpu_gives() {
    let spec = InputSpec { width: 64, height: 48, std: [0.5, 1.0, 2.0], ..InputSpec::default() };
    for (format, (width, height)) in PixelFormat::ALL.into_iter().flat_map(|f| SIZES.map(|size| (f, size))) {
        let info = FrameInfo::new(format, width, height);
        let frame = Frame::new(info, 7, false);
        for fit in [Fit::Letterbox, Fit::Stretch, Fit::Crop] {
            for colour in [Colour::Rgb, Colour::Bgr, Colour::Gray] {
                let preprocessor = Preprocessor::new(&info, &InputSpec { fit, colour, ..spec }).unwrap();
                let region = Rect::new(width / 3, height / 3, width.div_ceil(2), height.div_ceil(2));
                let sampler = preprocessor.region_sampler(region).unwrap();
                for sampler in [preprocessor.sampler(), &sampler] {
                    let to = (Kind::Float, Device::Cpu);
                    let on_device =
                        device::sample(sampler, &frame.planes(), Between::Linear, to, Layout::ChannelsLast).unwrap();
                    let mut on_cpu = preprocessor.empty(1, Kind::Float, Layout::ChannelsLast).unwrap();
                    preprocessor.fill(sampler, &frame.planes(), &mut on_cpu, Isa::detect()).unwrap();
                    let apart = apart(&on_device, &on_cpu) * 255.0;
                    assert!(
                        apart < if format.is_yuv() { 0.8 } else { 1.6 },
                        "{info} {fit:?} {colour:?} {}: {apart}",
                        sampler.geometry().source()
                    );
                }
            }
        }
    }
}

/// Numbers of OpenCV 5.0's `cv2.resize(..., interpolation=cv2.INTER_LINEAR)`.
#[test]
fn rgb_comes_to_the_very_levels_of_opencv() {
    let level = |x: usize, y: usize, c: usize| (x * 37 + y * 91 + c * 53 + x * y * 29) as u8;
    let rgb: Vec<u8> = (0..5 * 7 * 3).map(|i| level(i / 3 % 7, i / 21, i % 3)).collect();
    let info = FrameInfo::new(PixelFormat::Rgb, 7, 5);
    let smaller = [40, 105, 85, 150, 216, 150, 78, 211, 88, 221, 72, 85, 81, 128, 90];
    #[rustfmt::skip]
    let larger = [
        0, 20, 46, 72, 98, 124, 150, 176, 202, 222, 30, 56, 89, 121, 98, 101, 134, 167, 199, 225,
        81, 115, 159, 203, 99, 64, 107, 151, 195, 230, 131, 112, 116, 171, 134, 100, 81, 136, 191, 235,
        182, 93, 45, 111, 178, 155, 55, 121, 188, 240, 90, 89, 80, 58, 129, 117, 28, 106, 184, 245,
        27, 81, 101, 30, 90, 89, 29, 98, 167, 221, 77, 62, 65, 105, 90, 101, 137, 118, 99, 84,
        108, 51, 43, 150, 91, 108, 203, 131, 59, 2,
    ];
    for ((width, height), expected) in [((5, 3), &smaller[..]), ((10, 9), &larger[..])] {
        let (fit, scale) = (Fit::Stretch, 1.0);
        let spec = InputSpec { width, height, fit, scale, ..InputSpec::default() };
        let preprocessor = Preprocessor::new(&info, &spec).unwrap();
        let planes = Planes::new(info, &[(&rgb, 21)]).unwrap();
        for isa in Isa::available() {
            let mut out = preprocessor.empty(1, Kind::Uint8, Layout::Contiguous).unwrap();
            preprocessor.fill(preprocessor.sampler(), &planes, &mut out, *isa).unwrap();
            let red = numbers(&out.to_kind(Kind::Float))[..width * height].to_vec();
            assert!(red.iter().zip(expected).all(|(a, b)| *a == *b as f32), "{width}x{height} {isa:?}: {red:?}");
        }
    }
}
