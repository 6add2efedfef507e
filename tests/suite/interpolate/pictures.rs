//! Formats and sizes.

use gst_video::VideoFormat;

use super::*;

/// Formats of the runtime: read as they come, and converted.
const FORMATS: [VideoFormat; 10] = [
    VideoFormat::I420,
    VideoFormat::Nv12,
    VideoFormat::Gray8,
    VideoFormat::Yuy2,
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
];

#[test]
fn every_format_is_made_in_its_own_colours() {
    for format in FORMATS {
        let info = info(format, SIZE, (25, 1));
        let mut run = start("", &info, None);
        run.push_all(&[(0.0, 0), (2.0, 80)]);
        let left = run.left();
        assert_eq!(left.len(), 3, "{format:?}");
        let truth = picture(&info, 1.0);
        // The fourth byte of a pixel without alpha is anything.
        let components = info.format_info().n_components();
        let all = |buffer| (0..components).flat_map(|c| samples(buffer, &info, c)).collect::<Vec<u8>>();
        let score = |buffer| gst_torch_models::metrics::psnr::psnr(&all(buffer), &all(&truth));
        let (made, neighbours) = (score(&left[1]), score(&left[0]).max(score(&left[2])));
        assert!(made > neighbours + 3.0, "{format:?}: {made} dB made, {neighbours} dB of the neighbours");
        if info.has_alpha() {
            assert!(samples(&left[1], &info, 3).iter().all(|&alpha| alpha == 77), "{format:?}");
        }
    }
}

#[test]
fn any_size_has_its_own_number_of_samples() {
    for format in [VideoFormat::I420, VideoFormat::Nv12, VideoFormat::Gray8, VideoFormat::Rgb] {
        for size in [(1, 1), (17, 31), (2, 90), (97, 5)] {
            let info = info(format, size, (25, 1));
            let mut run = start("", &info, None);
            run.push_all(&[(0.0, 0), (0.5, 80), (1.0, 120)]);
            let left = run.left();
            assert_eq!(left.iter().map(times).collect::<Vec<_>>(), [0, 40, 80, 120].map(|ms| at(ms * MS, 40 * MS)));
            assert!(left.iter().all(|buffer| buffer.size() == info.size()), "{format:?} {size:?}");
            let mean = |buffer: &gst::Buffer| {
                let luma = samples(buffer, &info, 0);
                luma.iter().map(|&v| f64::from(v)).sum::<f64>() / luma.len() as f64
            };
            let (a, b, c) = (mean(&left[0]), mean(&left[1]), mean(&left[2]));
            assert!(b > a.min(c) - 12.0 && b < a.max(c) + 12.0, "{format:?} {size:?}: {a}, {b}, {c}");
        }
    }
}

#[test]
fn padded_rows_are_read_and_held_as_they_lie() {
    let info = info(VideoFormat::Gray8, (50, 20), (25, 1));
    let mut run = start("max-gap=100000000", &info, None);
    let padded = |n: f64, ms: u64| {
        let tight = picture(&info, n);
        let (stride, tight_stride) = (80, info.stride()[0] as usize);
        let mut bytes = vec![255u8; stride * 20];
        for (row, from) in bytes.chunks_mut(stride).zip(tight.map_readable().unwrap().chunks(tight_stride)) {
            row[..50].copy_from_slice(&from[..50]);
        }
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let new = buffer.get_mut().unwrap();
        new.set_pts(gst::ClockTime::from_mseconds(ms));
        gst_video::VideoMeta::add_full(
            new,
            gst_video::VideoFrameFlags::empty(),
            VideoFormat::Gray8,
            50,
            20,
            &[0],
            &[stride as i32],
        )
        .unwrap();
        buffer
    };
    for (n, ms) in [(0.0, 0), (2.0, 80), (6.0, 240)] {
        run.push(padded(n, ms));
    }
    let left = run.left();
    assert_eq!(left.len(), 7);
    let shown = |buffer: &gst::Buffer| samples(buffer, &info, 0);
    assert_eq!(shown(&left[3]), shown(&left[2]), "held");
    let score = |a: &gst::Buffer, n: f64| gst_torch_models::metrics::psnr::psnr(&shown(a), &shown(&picture(&info, n)));
    assert!(score(&left[1], 1.0) > score(&left[0], 1.0), "made of what is in the rows, not of what is between them");
}
