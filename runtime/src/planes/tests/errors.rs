//! What is refused, and how that is said.

use super::*;

#[test]
fn what_does_not_fit_is_an_error_that_says_so() {
    let info = FrameInfo::new(PixelFormat::I420, 32, 16);
    let mut frame = Frame::new(info, 0, false);
    let cpu = (Kind::Float, Device::Cpu);
    let preprocessor = Preprocessor::new(&info, &InputSpec::default()).unwrap();
    let mut good = preprocessor.empty(1, Kind::Float, Layout::Contiguous).unwrap();

    let other = Frame::new(FrameInfo::new(PixelFormat::I420, 32, 18), 0, false);
    let error = preprocessor.run(&other.planes(), &mut good).unwrap_err();
    assert_eq!(error, Error::Frame { expected: info, got: other.info });
    for region in
        [Rect::new(0, 0, 33, 1), Rect::new(31, 15, 1, 2), Rect::new(0, 0, 0, 4), Rect::new(usize::MAX, 0, 2, 2)]
    {
        let error = preprocessor.run_region(&frame.planes(), region, &mut good).unwrap_err();
        assert_eq!(error, Error::Region { region, info });
    }
    for mut wrong in [
        Tensor::zeros([1, 3, 640, 641], cpu),
        Tensor::zeros([1, 1, 640, 640], cpu),
        Tensor::zeros([2, 3, 640, 640], cpu),
        Tensor::zeros([640, 640], cpu),
        Tensor::zeros([1, 3, 640, 640], (Kind::Double, Device::Cpu)),
        Tensor::zeros([1, 3, 640, 640], (Kind::Uint8, Device::Cpu)),
    ] {
        assert!(preprocessor.run(&frame.planes(), &mut wrong).is_err(), "{:?} {:?}", wrong.size(), wrong.kind());
    }
    for spec in [
        InputSpec { width: 0, ..InputSpec::default() },
        InputSpec { height: 1 << 17, ..InputSpec::default() },
        InputSpec { std: [1.0, 0.0, 1.0], ..InputSpec::default() },
        InputSpec { scale: f32::NAN, ..InputSpec::default() },
        InputSpec { mean: [0.0, f32::INFINITY, 0.0], ..InputSpec::default() },
    ] {
        assert!(matches!(Preprocessor::new(&info, &spec), Err(Error::Input(_))), "{spec:?}");
    }
    let error = write_tensor(&Tensor::zeros([1, 3, 32, 16], cpu), &mut frame.planes_mut()).unwrap_err();
    assert!(error.to_string().contains("[1, 3 or 1, 16, 32] for I420 32x16"), "{error}");
    let levels = Tensor::zeros([1, 3, 16, 32], (Kind::Uint8, Device::Cpu));
    assert!(write_tensor(&levels, &mut frame.planes_mut()).unwrap_err().to_string().contains("Uint8"));
}
