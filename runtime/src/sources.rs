//! What a model says about itself outside its tensors: its card, GStreamer's `.modelinfo`, an exporter's JSON.

use std::io::Read;
use std::path::Path;

use crate::card::Card;
use crate::error::{Error, Result};
use crate::info::Claims;
use crate::planes::Fit;

/// An embedded text larger than this is not metadata.
const MAX_EMBEDDED: u64 = 4 << 20;

pub(crate) fn from_card(card: &Card) -> Claims {
    Claims {
        task: card.task.clone(),
        description: card.description.clone(),
        licence: card.licence.clone(),
        call: card.call.clone(),
        labels: card.labels.clone(),
        size: card.input.size,
        colour: card.input.colour,
        fit: card.input.fit,
        pad: card.input.pad,
        scale: card.input.scale,
        mean: card.input.mean,
        std: card.input.std,
        multiple: card.input.multiple,
        layout: card.output.layout.clone(),
        output: card.output.clone(),
        max_error: card.engine.max_error,
        ..Claims::default()
    }
}

/// GStreamer 1.28's side file, an INI: a section a tensor, with `dir`, `dims`, `id` and `ranges`.
pub(crate) fn from_modelinfo(text: &str) -> Claims {
    let mut claims = Claims::default();
    for section in text.split('[').skip(1) {
        let value = |key: &str| {
            section.lines().skip(1).find_map(|line| {
                let (k, v) = line.split_once('=')?;
                (k.trim() == key).then(|| v.trim())
            })
        };
        match value("dir") {
            Some("input") => {
                let dims: Vec<i64> =
                    value("dims").unwrap_or("").split(',').filter_map(|d| d.trim().parse().ok()).collect();
                claims.size = match dims[..] {
                    [_, 1 | 3, h, w] | [_, h, w, 1 | 3] if h > 0 && w > 0 => Some([w as usize, h as usize]),
                    _ => None,
                };
                if let Some((low, high)) = value("ranges").and_then(|r| r.split(';').next()?.split_once(','))
                    && let (Ok(low), Ok(high)) = (low.trim().parse::<f32>(), high.trim().parse::<f32>())
                    && high > low
                {
                    // v / 255 * (high - low) + low, as (v / scale - mean) / std
                    claims.scale = Some(255.0);
                    claims.std = Some([1.0 / (high - low); 3]);
                    claims.mean = Some([-low / (high - low); 3]);
                }
            }
            Some("output") => {
                claims.layout = claims.layout.or_else(|| value("id").and_then(layout_of_tensor_id).map(str::to_owned));
            }
            _ => {}
        }
    }
    claims
}

/// The registered tensor ids of upstream's decoders, in our words.
fn layout_of_tensor_id(id: &str) -> Option<&'static str> {
    match id {
        "yolo-v8-out" => Some("yolov8"),
        "yolox-out" => Some("yolox"),
        "ssd-mobilenet-v1-variant-1-out" => Some("ssd"),
        _ => None,
    }
}

/// What Ultralytics' exporter puts into `extra/config.txt` inside the TorchScript zip.
pub(crate) fn embedded(path: &Path) -> Result<Claims> {
    let bad = |reason: String| Error::bad_file(path, reason);
    let file = std::fs::File::open(path).map_err(|e| Error::NotFound { path: path.into(), reason: e.to_string() })?;
    let mut zip = zip::ZipArchive::new(std::io::BufReader::new(file))
        .map_err(|e| bad(format!("not a TorchScript file (a zip archive was expected: {e})")))?;
    let names: Vec<String> = zip.file_names().map(str::to_owned).collect();
    if !names.iter().any(|name| name.ends_with("/constants.pkl")) {
        let hint = if names.iter().any(|name| name.ends_with("/data.pkl")) {
            "it is a pickle of weights (torch.save), which has no network in it; export it with torch.jit.trace or script"
        } else if names.iter().any(|name| name.ends_with(".so") || name.contains("aotinductor")) {
            "AOTInductor packages (.pt2) are not supported yet; export TorchScript"
        } else {
            "the archive is not TorchScript"
        };
        return Err(bad(hint.into()));
    }
    let Some(name) = names.iter().find(|name| name.ends_with("/extra/config.txt")) else {
        return Ok(Claims::default());
    };
    let mut text = String::new();
    let entry = zip.by_name(name).map_err(|e| bad(format!("{name}: {e}")))?;
    // Embedded facts are a help, never a must: what cannot be read is as if it were not there.
    if entry.take(MAX_EMBEDDED).read_to_string(&mut text).is_err() {
        return Ok(Claims::default());
    }
    Ok(from_ultralytics(&text))
}

fn from_ultralytics(text: &str) -> Claims {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else {
        return Claims::default();
    };
    let labels = json["names"].as_object().map(|names| {
        let mut pairs: Vec<(usize, String)> =
            names.iter().filter_map(|(k, v)| Some((k.parse().ok()?, v.as_str()?.to_owned()))).collect();
        pairs.sort_unstable();
        pairs.into_iter().map(|(_, label)| label).collect()
    });
    let size = json["imgsz"].as_array().and_then(|size| match size[..] {
        [ref h, ref w] => Some([w.as_u64()? as usize, h.as_u64()? as usize]), // [height, width] there
        _ => None,
    });
    // RT-DETR is the one family there that is trained on stretched pictures. `head` is told since 8.4.
    let is_rtdetr = json["head"] == "RTDETRDecoder"
        || json["description"].as_str().is_some_and(|text| text.to_ascii_lowercase().contains("rtdetr"));
    Claims {
        fit: is_rtdetr.then_some(Fit::Stretch),
        task: json["task"].as_str().map(str::to_owned),
        description: json["description"].as_str().map(str::to_owned),
        licence: json["license"].as_str().map(str::to_owned),
        labels,
        size: size.filter(|s| s.iter().all(|d| (1..=16384).contains(d))),
        end_to_end: json["end2end"].as_bool(),
        stride: json["stride"].as_u64().map(|s| s as usize),
        ..Claims::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modelinfo_gives_size_range_and_layout() {
        let text = "[modelinfo]\nversion=1.0\n[images]\nid=images\ndims=-1,3,384,640\ndir=input\nranges=-1.0,1.0\n\
                    [output0]\nid=yolo-v8-out\ndir=output\ndims=1,84,8400\n";
        let claims = from_modelinfo(text);
        assert_eq!(claims.size, Some([640, 384]));
        assert_eq!(claims.layout.as_deref(), Some("yolov8"));
        // black is -1 and white is 1
        let (scale, mean, std) = (claims.scale.unwrap(), claims.mean.unwrap()[0], claims.std.unwrap()[0]);
        let input = |v: f32| (v / scale - mean) / std;
        assert!((input(0.0) + 1.0).abs() < 1e-6 && (input(255.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn ultralytics_names_are_sorted_by_number_and_its_size_is_height_first() {
        let claims = from_ultralytics(
            r#"{"names": {"10": "k", "0": "a", "2": "c"}, "imgsz": [384, 640], "task": "detect", "stride": 32}"#,
        );
        assert_eq!(claims.labels.unwrap(), ["a", "c", "k"]);
        assert_eq!((claims.size, claims.stride), (Some([640, 384]), Some(32)));
    }

    #[test]
    fn embedded_nonsense_is_as_if_absent() {
        for text in ["", "[]", "{\"names\": 3, \"imgsz\": [0]}", "\u{0}"] {
            let claims = from_ultralytics(text);
            assert!(claims.labels.is_none() && claims.size.is_none());
        }
    }
}
