//! Writes what a training run made: the weights as safetensors, and the card that describes them.

use std::path::Path;

use anyhow::{Context, Result};
use gst_torch_models::data::augment::Recipe;
use gst_torch_models::data::picture::PAD;
use gst_torch_models::detect::network::Config;
use gst_torch_models::metrics::ap::Report;
use sha2::{Digest, Sha256};
use tch::nn;
use toml::{Table, Value};

use super::checkpoint::Progress;
use super::dataset::Source;
use super::footage;

/// A finished run.
pub struct Trained<'a> {
    pub folder: &'a Path,
    pub name: &'a str,
    pub labels: &'a [String],
    /// Width and height.
    pub size: (usize, usize),
    pub config: &'a Config,
    pub weights: &'a nn::VarStore,
    pub recipe: &'a Recipe,
    pub data: &'a [Source],
    pub val: &'a [Source],
    pub seed: u64,
    pub epochs: u64,
    pub pictures: u64,
    pub minutes: f64,
    pub report: Option<&'a Report>,
}

/// What a person writes into a card; kept when the card is written again.
const HAND_WRITTEN: [&str; 3] = ["description", "licence", "about"];

/// Writes `NAME.safetensors` and `NAME.toml` into the folder.
pub fn write(trained: &Trained) -> Result<()> {
    let file = format!("{}.safetensors", trained.name);
    let weights = trained.folder.join(&file);
    trained.weights.save(&weights).with_context(|| weights.display().to_string())?;
    let path = trained.folder.join(format!("{}.toml", trained.name));

    let mut card = hand_written(&path)?;
    card.insert("task".into(), "detect".into());
    card.insert("network".into(), "detect".into());
    card.insert("weights".into(), file.into());
    card.insert("sha256".into(), sha256(&weights)?.into());
    card.insert("labels".into(), strings(trained.labels));
    card.insert("input".into(), input(trained.size).into());
    card.insert("output".into(), Table::from_iter([("layout".to_string(), Value::from("maps"))]).into());
    // What bf16 changes, and a little more; AP50 is the same to the third digit.
    card.insert("engine".into(), Table::from_iter([("max-error".to_string(), Value::from(0.02))]).into());
    card.insert("config".into(), Value::try_from(trained.config)?);
    card.insert("training".into(), training(trained)?.into());
    std::fs::write(&path, toml::to_string(&card)?).with_context(|| path.display().to_string())?;
    println!("wrote {} and {}", path.display(), weights.display());
    Ok(())
}

/// What a person wrote into the card that was there before, if there was one.
pub fn hand_written(path: &Path) -> Result<Table> {
    let mut kept = Table::new();
    if let Ok(text) = std::fs::read_to_string(path) {
        let mut before: Table = toml::from_str(&text).with_context(|| path.display().to_string())?;
        for key in HAND_WRITTEN {
            if let Some(value) = before.remove(key) {
                kept.insert(key.into(), value);
            }
        }
    }
    Ok(kept)
}

/// The command that is running.
pub fn command() -> String {
    let words = std::env::args().skip(1).map(|a| if a.contains(' ') { format!("'{a}'") } else { a });
    std::iter::once("gst-torch".to_string()).chain(words).collect::<Vec<_>>().join(" ")
}

fn input((width, height): (usize, usize)) -> Table {
    Table::from_iter([
        ("size".to_string(), Value::from(vec![width as i64, height as i64])),
        ("colour".to_string(), "rgb".into()),
        ("fit".to_string(), "letterbox".into()),
        ("pad".to_string(), i64::from(PAD).into()),
        ("scale".to_string(), 255.0.into()),
        ("mean".to_string(), vec![0.0; 3].into()),
        ("std".to_string(), vec![1.0; 3].into()),
    ])
}

fn training(trained: &Trained) -> Result<Table> {
    let mut table = Table::from_iter([
        ("command".to_string(), Value::from(command())),
        ("seed".to_string(), (trained.seed as i64).into()),
        ("epochs".to_string(), (trained.epochs as i64).into()),
        ("pictures".to_string(), (trained.pictures as i64).into()),
        ("minutes".to_string(), ((trained.minutes * 10.0).round() / 10.0).into()),
        ("data".to_string(), strings(trained.data)),
        ("validation".to_string(), strings(trained.val)),
        ("recipe".to_string(), Value::try_from(trained.recipe)?),
    ]);
    if let Some(report) = trained.report {
        let mut results = Table::from_iter([("ap50".to_string(), Value::from(rounded(report.mean())))]);
        if trained.labels.len() > 1 {
            for (label, score) in trained.labels.iter().zip(&report.classes) {
                results.extend(score.map(|s| (format!("ap50-{label}"), Value::from(rounded(s)))));
            }
        }
        table.insert("results".into(), results.into());
    }
    Ok(table)
}

fn rounded(score: f64) -> f64 {
    (score * 1e4).round() / 1e4
}

pub fn strings<T: ToString>(values: &[T]) -> Value {
    Value::from(values.iter().map(T::to_string).collect::<Vec<_>>())
}

/// Of a file, in hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How a network came to be what it is.
pub struct Training<'a> {
    pub seed: u64,
    pub progress: &'a Progress,
    pub data: &'a [footage::Source],
    pub val: &'a [footage::Source],
}

/// Writes the card of `weights` beside them. `max_error` is what other precisions may change.
pub fn learnt(
    task: &str,
    network: &str,
    config: Value,
    max_error: f64,
    weights: &Path,
    training: &Training,
    results: Table,
) -> Result<()> {
    let path = weights.with_extension("toml");
    let mut card = hand_written(&path)?;
    let file = weights.file_name().unwrap_or_default().to_string_lossy().into_owned();
    card.insert("task".into(), task.into());
    card.insert("network".into(), network.into());
    card.insert("weights".into(), file.into());
    card.insert("sha256".into(), sha256(weights)?.into());
    card.insert("config".into(), config);
    card.insert("engine".into(), Table::from_iter([("max-error".to_string(), Value::from(max_error))]).into());
    let training = Table::from_iter([
        ("command".to_string(), Value::from(command())),
        ("seed".to_string(), (training.seed as i64).into()),
        ("steps".to_string(), (training.progress.step as i64).into()),
        ("minutes".to_string(), in_parts(training.progress.seconds / 60.0, 10.0)),
        ("data".to_string(), strings(training.data)),
        ("validation".to_string(), strings(training.val)),
        ("results".to_string(), results.into()),
    ]);
    card.insert("training".into(), training.into());
    std::fs::write(&path, toml::to_string(&card)?).with_context(|| path.display().to_string())?;
    println!("wrote {} and {}", path.display(), weights.display());
    Ok(())
}

/// A number with so many parts of one.
pub fn in_parts(value: f64, parts: f64) -> Value {
    Value::from((value * parts).round() / parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_card_pins_its_weights_and_keeps_what_a_person_wrote() {
        let _turn = super::super::GENERATOR.lock();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        std::fs::write(&path, "task = 'old'\nlicence = 'MPL-2.0'\n[about]\nlimits = 'many'\n").unwrap();
        let store = nn::VarStore::new(Device::Cpu);
        let config = Config::new(2);
        gst_torch_models::detect::network::DetectNet::new(&store.root(), &config).unwrap();
        let report = Report { classes: vec![Some(0.5), None], objects: vec![3, 0] };
        let source: Source = "clip.avi,labels=x.txt".parse().unwrap();
        write(&Trained {
            folder: folder.path(),
            name: "m",
            labels: &["a".into(), "b".into()],
            size: (640, 384),
            config: &config,
            weights: &store,
            recipe: &Recipe::default(),
            data: std::slice::from_ref(&source),
            val: &[],
            seed: 7,
            epochs: 1,
            pictures: 10,
            minutes: 0.1,
            report: Some(&report),
        })
        .unwrap();

        let card = gst_torch_runtime::card::Card::read(&path).unwrap();
        assert_eq!(card.task.as_deref(), Some("detect"));
        assert_eq!(card.licence.as_deref(), Some("MPL-2.0"));
        assert_eq!(card.about.unwrap()["limits"].as_str(), Some("many"));
        assert_eq!(card.sha256, Some(sha256(&folder.path().join("m.safetensors")).unwrap()));
        assert_eq!(card.config.unwrap().try_into::<Config>().unwrap(), config);
        let results = &card.training.unwrap()["results"];
        assert_eq!((results["ap50-a"].as_float(), results.get("ap50-b")), (Some(0.5), None));
        // And the runtime takes both as a model.
        let model = gst_torch_models::builtin::open(path.to_str().unwrap()).unwrap();
        assert_eq!(model.info.labels.value, ["a", "b"]);
    }
}
