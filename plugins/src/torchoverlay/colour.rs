//! The colours of the overlay, and what they are in a frame's own components.

use super::canvas::Ink;

/// Red, green and blue, 0 to 255, as sRGB.
pub type Rgb = [u8; 3];

pub const BLACK: Rgb = [0, 0, 0];

/// Sixteen colours, all light enough to carry black text: hues 157.5 degrees apart in OKLCH, at lightness 0.84 and 0.70
/// in turn, as strong as sRGB can show. Neighbours in the list differ most.
const PALETTE: [Rgb; 16] = [
    [34, 244, 3],
    [176, 127, 255],
    [234, 201, 9],
    [81, 160, 255],
    [254, 185, 143],
    [7, 178, 199],
    [254, 178, 192],
    [1, 186, 134],
    [243, 173, 254],
    [147, 172, 7],
    [189, 199, 254],
    [212, 142, 0],
    [135, 214, 255],
    [254, 102, 83],
    [8, 233, 218],
    [255, 72, 194],
];

/// The colour of a tracked object, which it keeps as long as its track.
pub fn of_track(track: u64) -> Rgb {
    PALETTE[(track % PALETTE.len() as u64) as usize]
}

/// The colour of all objects of a class, the same in every run (FNV-1a over the label).
pub fn of_label(label: &str) -> Rgb {
    let hash = label
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    of_track(hash ^ (hash >> 32))
}

/// How a frame stores colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColourModel {
    /// R, G, B: component = offset + scale * value, value in 0 to 1.
    Rgb { offset: [f32; 3], scale: [f32; 3] },
    /// Y, Cb, Cr with the weights of red and blue in Y (ITU-R BT.601, BT.709, ...), Y in 0 to 1, Cb and Cr in -0.5 to
    /// 0.5. Grey frames have the first alone.
    Yuv { kr: f32, kb: f32, offset: [f32; 3], scale: [f32; 3] },
}

impl ColourModel {
    /// `rgb` in this model, opaque.
    pub fn ink(&self, rgb: Rgb) -> Ink {
        let [r, g, b] = rgb.map(|v| f32::from(v) / 255.0);
        let (values, offset, scale) = match *self {
            ColourModel::Rgb { offset, scale } => ([r, g, b], offset, scale),
            ColourModel::Yuv { kr, kb, offset, scale } => {
                let y = kr * r + (1.0 - kr - kb) * g + kb * b;
                ([y, (b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr))], offset, scale)
            }
        };
        let component = |i: usize| (offset[i] + scale[i] * values[i]).round() as u8; // saturates
        [component(0), component(1), component(2), 255]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITED: ([f32; 3], [f32; 3]) = ([16.0, 128.0, 128.0], [219.0, 224.0, 224.0]);
    const FULL: ([f32; 3], [f32; 3]) = ([0.0, 128.0, 128.0], [255.0, 255.0, 255.0]);

    fn yuv(kr: f32, kb: f32, (offset, scale): ([f32; 3], [f32; 3])) -> ColourModel {
        ColourModel::Yuv { kr, kb, offset, scale }
    }

    #[test]
    fn primaries_are_those_of_the_standards() {
        // The 8-bit colour bars of BT.601 and BT.709, limited range.
        let bt601 = yuv(0.299, 0.114, LIMITED);
        assert_eq!(bt601.ink([255, 0, 0]), [81, 90, 240, 255]);
        assert_eq!(bt601.ink([0, 255, 0]), [145, 54, 34, 255]);
        let bt709 = yuv(0.2126, 0.0722, LIMITED);
        assert_eq!(bt709.ink([255, 0, 0]), [63, 102, 240, 255]);
        assert_eq!(bt709.ink([0, 0, 255]), [32, 240, 118, 255]);
        assert_eq!(bt709.ink([255, 255, 255]), [235, 128, 128, 255]);
        assert_eq!(bt709.ink(BLACK), [16, 128, 128, 255]);
        assert_eq!(yuv(0.299, 0.114, FULL).ink([255, 0, 0]), [76, 85, 255, 255]);
    }

    #[test]
    fn rgb_is_itself() {
        let full = ColourModel::Rgb { offset: [0.0; 3], scale: [255.0; 3] };
        assert_eq!(full.ink([1, 128, 254]), [1, 128, 254, 255]);
    }

    #[test]
    fn tracks_and_labels_keep_their_colours() {
        assert_eq!(of_track(3), of_track(3 + 16));
        assert_ne!(of_track(3), of_track(4));
        assert_eq!(of_label("person"), of_label("person"));
        assert_ne!(of_label("person"), of_label("car"));
        of_label("");
        of_track(u64::MAX);
    }
}
