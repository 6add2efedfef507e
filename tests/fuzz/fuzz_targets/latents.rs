//! Arrays of whole numbers, from any bytes.

#![no_main]

use gst_torch_fuzz::codec::entropy::latents::Latents;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [channels, height, width, range, data @ ..] = data else { return };
    let max = i32::from(*range) - 100;
    let side = |v: &u8| usize::from(v % 8);
    let Ok(mut latents) = Latents::new(side(channels), side(height), side(width), -100, max) else { return };
    if let Ok(values) = latents.decode(data) {
        assert!(values.iter().all(|v| (-100..=max).contains(v)), "a value out of range");
    }
});
