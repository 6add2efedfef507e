//! Framing and headers, from any bytes.

#![no_main]

use gst_torch_fuzz::codec::stream::{Found, Header, PictureUnit, find};
use gst_torch_fuzz::codec::symbols::Kind;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Found::Unit(unit) = find(data) {
        assert!(unit.length <= data.len());
    }
    if let Ok(header) = Header::read(data) {
        let bytes = header.write();
        let Found::Unit(unit) = find(&bytes) else { panic!("a header that cannot be found again") };
        assert_eq!(Header::read(unit.payload), Ok(header));
    }
    for (kind, slices) in [(Kind::Intra, 1), (Kind::Inter, 3)] {
        if let Ok(picture) = PictureUnit::read(kind, data, slices) {
            assert_eq!(picture.slices.len(), slices);
        }
    }
});
