//! Frames to tensors at full size, and back.

use super::*;
use crate::planes::sampling::Between;

#[test]
fn planes_come_back_from_a_tensor() {
    for (format, (width, height)) in PixelFormat::ALL.into_iter().flat_map(|f| SIZES.map(|size| (f, size))) {
        for info in variants(format, width, height) {
            let frame = Frame::new(info, 11, true);
            let tensor = to_tensor(&frame.planes(), Device::Cpu, Kind::Float).unwrap();
            assert_eq!(tensor.size(), [1, info.channels() as i64, height as i64, width as i64]);
            let full_size = Preprocessor::full_size(&info).unwrap();
            let to = (Kind::Float, Device::Cpu);
            let on_device =
                device::sample(full_size.sampler(), &frame.planes(), Between::Repeat, to, Layout::Contiguous).unwrap();
            assert!(apart(&tensor, &on_device) < 1e-5, "{info}");

            let last_layout = tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            for (tensor, on_device, tolerance) in [
                (&tensor, false, 0),
                (&last_layout, false, 0),
                (&tensor, true, 0),
                (&tensor.to_kind(Kind::Half), false, 1),
            ] {
                let mut back = Frame::new(info, 11, false);
                back.planes.iter_mut().for_each(|(data, _)| data.fill(7));
                match on_device {
                    true => device::pack(tensor, info.channels(), &mut back.planes_mut()).unwrap(),
                    false => write_tensor(tensor, &mut back.planes_mut()).unwrap(),
                }
                let (across, down) = info.format.chroma_step();
                for k in 0..3 {
                    let step = if k > 0 { (across, down) } else { (1, 1) };
                    let (columns, rows) = (width.div_ceil(step.0), height.div_ceil(step.1));
                    for (x, y) in (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y))) {
                        let (got, expected) = (back.sample(k, x, y), frame.sample(k, x, y));
                        let close = (got - expected).abs() <= f64::from(tolerance);
                        assert!(close, "{info} {on_device} sample {k} at ({x}, {y}): {got} for {expected}");
                    }
                }
                let (data, stride) = &back.planes[0];
                assert!(data[info.row_bytes(0)..*stride].iter().all(|v| *v == 7), "{info}: padding was written");
                if matches!(format, PixelFormat::Rgba | PixelFormat::Bgrx) {
                    assert_eq!(data[3], 255);
                }
            }
        }
    }
}

#[test]
fn chroma_is_the_mean_of_its_pixels() {
    let (width, height) = (5, 3);
    let rgb = Tensor::rand([1, 3, height as i64, width as i64], (Kind::Float, Device::Cpu)) * 1.6 - 0.3;
    let levels = numbers(&rgb).into_iter().map(|v| f64::from(v).clamp(0.0, 1.0) * 255.0).collect::<Vec<_>>();
    let at = |c: usize, x: usize, y: usize| levels[(c * height + y) * width + x];
    for format in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuy2] {
        let info = FrameInfo { range: Range::Limited, matrix: Matrix::Bt709, ..FrameInfo::new(format, width, height) };
        let (across, down) = format.chroma_step();
        for on_device in [false, true] {
            let mut frame = Frame::new(info, 2, false);
            match on_device {
                true => device::pack(&rgb, 3, &mut frame.planes_mut()).unwrap(),
                false => write_tensor(&rgb, &mut frame.planes_mut()).unwrap(),
            }
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let luma = |x, y| 0.2126 * at(0, x, y) + 0.7152 * at(1, x, y) + 0.0722 * at(2, x, y);
                let mean = |difference: &dyn Fn(usize, usize) -> f64| {
                    let (x, y) = (x / across * across, y / down * down);
                    let places =
                        (y..(y + down).min(height)).flat_map(|y| (x..(x + across).min(width)).map(move |x| (x, y)));
                    let (sum, n) = places.fold((0.0, 0.0), |(sum, n), (x, y)| (sum + difference(x, y), n + 1.0));
                    sum / n
                };
                let expected = [
                    16.0 + luma(x, y) / 255.0 * 219.0,
                    128.0 + mean(&|x, y| at(2, x, y) - luma(x, y)) / 1.8556 / 255.0 * 224.0,
                    128.0 + mean(&|x, y| at(0, x, y) - luma(x, y)) / 1.5748 / 255.0 * 224.0,
                ];
                for (k, expected) in expected.into_iter().enumerate() {
                    let got = if k == 0 { frame.sample(0, x, y) } else { frame.sample(k, x / across, y / down) };
                    assert!((got - expected).abs() < 0.51, "{info} {k} ({x}, {y}): {got} for {expected}");
                }
            }
        }
    }
}

#[test]
fn grey_tensors_fill_colour_frames_and_colour_tensors_grey_ones() {
    let grey = Tensor::full([1, 40, 30], 0.5, (Kind::Float, Device::Cpu));
    for format in PixelFormat::ALL {
        let mut frame = Frame::new(FrameInfo::new(format, 30, 40), 4, false);
        write_tensor(&grey, &mut frame.planes_mut()).unwrap();
        let back = to_tensor(&frame.planes(), Device::Cpu, Kind::Uint8).unwrap();
        assert!(numbers(&back).iter().all(|v| (v - 127.5).abs() < 1.5), "{format}");
    }
    let red = Tensor::from_slice(&[1.0_f32, 0.0, 0.0]).reshape([1, 3, 1, 1]).expand([1, 3, 4, 4], false);
    let mut frame = Frame::new(FrameInfo::new(PixelFormat::Gray8, 4, 4), 0, false);
    write_tensor(&red, &mut frame.planes_mut()).unwrap();
    assert!(frame.planes[0].0.iter().all(|v| *v == 76));
}

#[test]
fn not_a_number_is_black() {
    let tensor = Tensor::full([1, 3, 4, 4], f64::NAN, (Kind::Float, Device::Cpu));
    for format in PixelFormat::ALL {
        let mut frame = Frame::new(FrameInfo::new(format, 4, 4), 0, false);
        write_tensor(&tensor, &mut frame.planes_mut()).unwrap();
        assert_eq!(frame.rgb_at(1.5, 1.5), [0.0; 3], "{format}");
    }
}
