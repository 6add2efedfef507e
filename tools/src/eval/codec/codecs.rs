//! The codecs that are compared, as launch lines.

use anyhow::{Result, ensure};

pub struct Codec {
    /// As in tables, in the plot's legend and after `--anchor`.
    pub name: String,
    /// Launch line of the encoder, with `{q}` where the quality goes.
    pub encoder: String,
    /// Launch lines of decoders, of which the first that is there is taken.
    pub decoders: Vec<String>,
    /// From the best to the worst picture.
    pub qualities: Vec<f64>,
    /// What measured today may differ tomorrow, under the same name.
    pub ours: bool,
}

/// What is compared, and how.
pub struct Choice<'a> {
    pub gop: u32,
    pub intra: bool,
    /// `model-file` of our elements; none is their own choice.
    pub models: &'a [String],
    /// `quality` of our encoder.
    pub qualities: &'a [f64],
}

/// Constant quantisers, for curves from about 25 to 45 dB.
const QUANTISERS: [f64; 6] = [20.0, 25.0, 30.0, 35.0, 40.0, 45.0];
/// On libav's scale for MJPEG, which ends at 69.
const JPEG_QUANTISERS: [f64; 6] = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Names of the peers that stand for what our codec is measured by, within reach and beyond.
pub fn default_anchors(intra: bool) -> &'static [&'static str] {
    if intra {
        &["mjpeg", "x264-intra-ultrafast", "x264-intra-medium"]
    } else {
        &["mjpeg", "x264-ultrafast", "x264-medium"]
    }
}

/// Peers first, then ours.
pub fn codecs(choice: &Choice) -> Result<Vec<Codec>> {
    let gop = choice.gop;
    let mut codecs = vec![mjpeg()];
    if !choice.intra {
        codecs.push(x264("x264-ultrafast", &format!("speed-preset=ultrafast tune=zerolatency key-int-max={gop}")));
        codecs.push(x264("x264-medium", &format!("speed-preset=medium tune=zerolatency key-int-max={gop}")));
        codecs.push(x265(gop));
    }
    // Not tuned for latency, which would cut pictures into slices: there is nothing to wait for as it is.
    codecs.push(x264("x264-intra-ultrafast", "speed-preset=ultrafast key-int-max=1"));
    codecs.push(x264("x264-intra-medium", "speed-preset=medium key-int-max=1"));
    let gop = if choice.intra { 1 } else { gop };
    if choice.models.is_empty() {
        codecs.push(ours("torchenc".into(), "", gop, choice.qualities));
    }
    for model in choice.models {
        let path = std::path::Path::new(model);
        let name = path.file_stem().map_or(model.clone(), |stem| stem.to_string_lossy().into_owned());
        // Quotes and backslashes are all that a launch line needs escaped within quotes.
        let quoted = model.replace('\\', "\\\\").replace('"', "\\\"");
        codecs.push(ours(name, &format!(" model-file=\"{quoted}\""), gop, choice.qualities));
    }
    for (index, codec) in codecs.iter().enumerate() {
        let same = codecs[..index].iter().any(|other| other.name == codec.name);
        ensure!(!same, "two codecs would be called {}: give one model file another name", codec.name);
    }
    Ok(codecs)
}

/// Of GStreamer's two encoders libav's, for its Huffman tables are fitted to each picture, and its quantisation
/// matrices give the better PSNR unless a picture is flat: the stronger opponent. `bitexact` leaves libav's name out.
fn mjpeg() -> Codec {
    Codec {
        name: "mjpeg".into(),
        encoder: "avenc_mjpeg huffman=optimal pass=quant qmin={q} qmax={q} flags=bitexact".into(),
        decoders: vec!["jpegdec idct-method=islow".into(), "avdec_mjpeg".into()],
        qualities: JPEG_QUANTISERS.into(),
        ours: false,
    }
}

fn x264(name: &str, settings: &str) -> Codec {
    Codec {
        name: name.into(),
        encoder: format!(
            "x264enc pass=quant quantizer={{q}} {settings} threads=2 aud=false ! \
             video/x-h264,stream-format=byte-stream,alignment=au"
        ),
        decoders: vec!["avdec_h264".into(), "openh264dec".into()],
        qualities: QUANTISERS.into(),
        ours: false,
    }
}

fn x265(gop: u32) -> Codec {
    Codec {
        name: "x265-medium".into(),
        encoder: format!(
            "x265enc qp={{q}} speed-preset=medium tune=zerolatency key-int-max={gop} option-string=info=0:pools=2 ! \
             video/x-h265,stream-format=byte-stream,alignment=au"
        ),
        decoders: vec!["avdec_h265".into(), "libde265dec".into()],
        qualities: QUANTISERS.into(),
        ours: false,
    }
}

fn ours(name: String, model: &str, gop: u32, qualities: &[f64]) -> Codec {
    Codec {
        name,
        encoder: format!("torchenc quality={{q}} key-int-max={gop}{model}"),
        decoders: vec![format!("torchdec{model}")],
        qualities: qualities.into(),
        ours: true,
    }
}

impl Codec {
    pub fn encoder(&self, quality: f64) -> String {
        self.encoder.replace("{q}", &quality.to_string())
    }

    /// The decoder to use, or the name of an element that is not installed.
    pub fn decoder(&self) -> Result<&str, String> {
        let there = |line: &str| gst::ElementFactory::find(element(line)).is_some();
        if !there(&self.encoder) {
            return Err(element(&self.encoder).into());
        }
        let missing = || self.decoders.iter().map(|line| element(line)).collect::<Vec<_>>().join(" or ");
        self.decoders.iter().find(|line| there(line)).map(String::as_str).ok_or_else(missing)
    }
}

fn element(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(intra: bool, models: &[String]) -> Choice<'_> {
        Choice { gop: 250, intra, models, qualities: &[10.0, 62.5] }
    }

    fn names(codecs: &[Codec]) -> Vec<&str> {
        codecs.iter().map(|codec| codec.name.as_str()).collect()
    }

    #[test]
    fn all_intra_leaves_out_what_predicts_and_makes_ours_intra() {
        let codecs = codecs(&choice(true, &[])).unwrap();
        assert_eq!(names(&codecs), ["mjpeg", "x264-intra-ultrafast", "x264-intra-medium", "torchenc"]);
        assert!(codecs[1..].iter().all(|codec| codec.encoder.contains("key-int-max=1")));
        for (intra, anchors) in [(true, default_anchors(true)), (false, default_anchors(false))] {
            let codecs = super::codecs(&choice(intra, &[])).unwrap();
            assert!(anchors.iter().all(|anchor| names(&codecs).contains(anchor)));
        }
    }

    #[test]
    fn everyone_has_the_same_gop() {
        let codecs = codecs(&choice(false, &[])).unwrap();
        let predicting: Vec<_> = codecs.iter().filter(|codec| codec.encoder.contains("key-int-max=250")).collect();
        assert_eq!(predicting.len(), 4);
    }

    #[test]
    fn models_are_told_apart_by_name_and_given_to_both_ends() {
        let models = ["codec-s".to_string(), "/some where/night \"1\".toml".to_string()];
        let codecs = codecs(&choice(true, &models)).unwrap();
        assert_eq!(names(&codecs)[3..], ["codec-s", "night \"1\""]);
        assert_eq!(codecs[3].encoder(62.5), "torchenc quality=62.5 key-int-max=1 model-file=\"codec-s\"");
        assert_eq!(codecs[4].decoders, ["torchdec model-file=\"/some where/night \\\"1\\\".toml\""]);
        let twice = ["codec-s".to_string(), "/elsewhere/codec-s.toml".to_string()];
        assert!(super::codecs(&choice(true, &twice)).is_err());
    }

    #[test]
    fn whole_qualities_are_written_as_whole_numbers() {
        let codecs = codecs(&choice(false, &[])).unwrap();
        assert!(codecs[1].encoder(27.0).contains("quantizer=27 "));
    }

    #[test]
    fn what_is_not_installed_is_named() {
        gst::init().unwrap();
        let codec = |encoder: &str, decoder: &str| Codec {
            name: "codec".into(),
            encoder: encoder.into(),
            decoders: vec!["no-such-decoder a=1".into(), decoder.into()],
            qualities: vec![],
            ours: false,
        };
        assert_eq!(codec("identity sync=false", "identity silent=true").decoder(), Ok("identity silent=true"));
        assert_eq!(codec("no-such-encoder q={q}", "identity").decoder(), Err("no-such-encoder".into()));
        assert_eq!(codec("identity", "nor-this").decoder(), Err("no-such-decoder or nor-this".into()));
    }
}
