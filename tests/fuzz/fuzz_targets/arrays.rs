//! Two pictures of a user's autoencoder, the second in the dimensions of the first, from any bytes.

#![no_main]

use gst_torch_fuzz::codec::shape::{RANGE, Shape};

/// What the decoder allows of a canvas of so many samples.
fn most(area: u64) -> usize {
    64 * area as usize + (1 << 16)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [area, first, data @ ..] = data else { return };
    let (area, (first, second)) = (u64::from(*area), data.split_at(usize::from(*first).min(data.len())));
    let Ok((shape, rest)) = Shape::read(first, area) else { return };
    let written = shape.write();
    assert_eq!(Shape::read(&written, area), Ok((shape.clone(), &[][..])));
    let Ok(mut coder) = shape.coder() else { return };
    for bytes in [rest, second] {
        let Ok(values) = coder.decode(bytes) else { return };
        assert!(values.len() <= most(area), "{} numbers for {area} samples", values.len());
        assert!(values.iter().all(|value| (RANGE[0]..=RANGE[1]).contains(value)), "a number out of range");
    }
});
