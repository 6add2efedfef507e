//! Two pictures in a row, the second predicted from the first, from any bytes.

#![no_main]

use gst_torch_fuzz::Decoder;
use gst_torch_fuzz::codec::stream::{Coding, Colour, Header, Subsampling};
use gst_torch_fuzz::codec::symbols::Kind;

/// Mostly one block, since what a picture takes to decode goes with its blocks; three where a neighbour's neighbour counts.
/// The last is that of the seeds.
const SIDES: [u16; 8] = [1, 2, 3, 8, 13, 16, 18, 50];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [shape, high, low, data @ ..] = data else { return };
    let subsampling = [Subsampling::Grey, Subsampling::Quarter, Subsampling::Half, Subsampling::Full];
    let mut decoder = Decoder::new(Header {
        coding: Coding::Residual,
        model: [0; 16],
        name: String::new(),
        width: SIDES[usize::from(shape & 7)],
        height: SIDES[usize::from(shape >> 3 & 7)],
        subsampling: subsampling[usize::from(shape >> 6)],
        interleaved: false,
        colour: Colour::default(),
        rate: (25, 1),
        aspect: (1, 1),
        slice_rows: 24,
    });
    let (first, second) = data.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(data.len()));
    decoder.decode(Kind::Intra, first);
    decoder.decode(Kind::Inter, second);
});
