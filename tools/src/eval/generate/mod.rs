//! `gst-torch eval generate`: what a generator makes beside real pictures that it was not trained on.

mod made;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use gst_torch_models::builtin;
use gst_torch_models::generate::Config;
use gst_torch_models::metrics::features::{Features, diversity, nearest};
use gst_torch_models::metrics::frechet::frechet;
use gst_torch_runtime::{DeviceSpec, PrecisionSpec};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tch::{Kind, Tensor};

use crate::train::footage::{self, Source};
use crate::train::generate::args::Flip;
use crate::train::generate::pictures::Pictures;
use crate::train::generate::sheet;
use made::Maker;

#[derive(clap::Args)]
#[command(after_long_help = format!("{HELP}\n\n{}", footage::HELP))]
pub struct Args {
    /// A built-in name or a card
    model: String,
    /// Real pictures that the model was not trained on: videos and pictures, with options (see below); may be repeated
    #[arg(long, required = true, value_name = "PATH[,OPTION...]")]
    real: Vec<Source>,
    /// What it was trained on, written likewise: shows whether it only replays
    #[arg(long, value_name = "PATH[,OPTION...]")]
    train: Vec<Source>,
    /// Pictures of each kind
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(8..))]
    count: u32,
    /// The detector whose features are compared: a built-in name or a card
    #[arg(long, default_value = "person")]
    features: String,
    /// Latents are scaled by this; of a sequence model, the temperature
    #[arg(long, default_value_t = 1.0)]
    truncation: f64,
    /// Show real pictures turned over, as training did
    #[arg(long, value_enum, default_value_t = Flip::None)]
    flip: Flip,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write what was made, with the training picture nearest to each below it, as a PNG
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    #[arg(long, default_value = "auto")]
    precision: PrecisionSpec,
}

const HELP: &str = "\
Distance: Frechet distance of feature vectors to those of as many real pictures; the row 'training' says what it is for
pictures that are real. It falls with more pictures, so compare figures of one --count and one --features only.
Diversity: mean distance between two feature vectors.
Nearest: how far the nearest training picture is, median; and how often it is nearer than it is to all but one in
a hundred of the real pictures, which a model that replays its training pictures does nearly always. Of a model that can
encode, real pictures are compared as it reconstructs them.";

/// Bytes of frames that are kept.
const MEMORY: usize = 8 << 30;
/// Training pictures that are searched, against pictures that are made: random cuts of them are never the same.
const SEARCHED: usize = 4;
/// What counts as near: nearer than this part of all real pictures.
const NEAR: f64 = 0.01;
/// Pictures in a row of the sheet, and rows.
const COLUMNS: usize = 10;
const ROWS: usize = 4;

pub fn run(args: Args) -> Result<()> {
    // Before anything takes its time.
    ensure!(args.sheet.is_none() || args.count as usize >= COLUMNS, "--sheet wants --count of {COLUMNS} or more");
    gst::init()?;
    let file = builtin::open(&args.model)?.expect_task(gst_torch_models::generate::TASK)?;
    let config = Config::of(&file.info).with_context(|| format!("{} is no generator of ours", args.model))?;
    let config = config.map_err(|e| anyhow!("{}: {e}", args.model))?;
    let maker = Maker::open(&args.model, file, &config, args.device, args.precision)?;
    let [colours, height, width] = maker.picture();
    let read = |sources: &[Source]| Pictures::read(sources, [width, height], colours, &[], MEMORY);
    let real = read(&args.real).context("--real")?;
    ensure!(!real.is_empty(), "--real has no pictures");
    let train = read(&args.train).context("--train")?;
    let count = args.count as usize;
    let rng = |what: u64| StdRng::seed_from_u64(args.seed.wrapping_mul(0x9e37_79b9) ^ what);
    let features = Features::open(&args.features, tch::Device::Cpu).map_err(|e| anyhow!("--features: {e}"))?;
    println!("{}: {} pictures of {width}x{height}, features of '{}'\n", args.model, count, args.features);

    if let Some((psnr, perplexity)) = maker.reconstruction(&real)? {
        let codes = perplexity.map(|p| format!(", perplexity {p:.1}")).unwrap_or_default();
        println!("reconstruction of unseen pictures: {psnr:.2} dB{codes}\n");
    }
    let Some(began) = maker.makes().then(Instant::now) else { return Ok(()) };
    let made = maker.make(count, args.truncation, args.seed)?;
    let speed = count as f64 / began.elapsed().as_secs_f64();

    let unseen = real.batch(&mut rng(1), count, args.flip)?.0;
    let unseen_features = features.of(&unseen)?;
    let made_features = features.of(&made)?;
    println!("{:12} {:>10} {:>10}", "", "distance", "diversity");
    let row = |name: &str, distance: Option<f64>, diversity: f64| {
        let distance = distance.map_or("-".into(), |d| format!("{d:.3}"));
        println!("{name:12} {distance:>10} {diversity:>10.3}");
    };
    row("made", Some(frechet(&made_features, &unseen_features)?), diversity(&made_features)?);
    row("real", None, diversity(&unseen_features)?);
    let mut neighbours = None;
    if !train.is_empty() {
        let seen = train.batch(&mut rng(2), SEARCHED * count, args.flip)?.0;
        let seen_features = features.of(&seen)?;
        let same = seen_features.f_narrow(0, 0, count as i64)?;
        row("training", Some(frechet(&same, &unseen_features)?), diversity(&same)?);
        // What a model makes is as soft as it is: against sharp pictures it would never look like a replay.
        let searched = features.of(&maker.as_made(&seen)?)?;
        let (of_made, which) = nearest(&made_features, &searched)?;
        let (of_real, _) = nearest(&features.of(&maker.as_made(&unseen)?)?, &searched)?;
        let (near, share) = replayed(&of_made, &of_real);
        println!(
            "\nnearest training picture: {:.3} from made ones, {:.3} from real ones; {:.1} % of made ones are nearer than {near:.3}, \
             {:.0} % of real ones are",
            quantile(&of_made, 0.5),
            quantile(&of_real, 0.5),
            100.0 * share,
            100.0 * NEAR
        );
        neighbours = Some(seen.f_index_select(0, &Tensor::f_from_slice(&which)?)?);
    }
    println!("\nmade at {speed:.0} pictures/s ({})", maker.describe());
    if let Some(path) = &args.sheet {
        sheet::write(path, &beside(&made, neighbours.as_ref())?, COLUMNS)?;
        println!("written    {}", path.display());
    }
    Ok(())
}

/// How near is near, and what share of made pictures are nearer than that.
fn replayed(made: &[f64], real: &[f64]) -> (f64, f64) {
    let near = quantile(real, NEAR);
    (near, made.iter().filter(|&&d| d < near).count() as f64 / made.len().max(1) as f64)
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Rows of pictures, each above its neighbours.
fn beside(made: &Tensor, neighbours: Option<&Tensor>) -> Result<Tensor> {
    let mut rows = Vec::new();
    let step = (made.size()[0] as usize / (ROWS * COLUMNS)).max(1);
    for row in 0..ROWS.min(made.size()[0] as usize / COLUMNS) {
        let places: Vec<i64> = (0..COLUMNS).map(|column| ((row * COLUMNS + column) * step) as i64).collect();
        let places = Tensor::f_from_slice(&places)?;
        rows.push(made.f_index_select(0, &places)?);
        if let Some(neighbours) = neighbours {
            rows.push(neighbours.f_index_select(0, &places)?.f_to_kind(Kind::Float)?);
        }
    }
    Ok(Tensor::f_cat(&rows, 0)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_any_work() {
        let words = "generate no-such-model --real none.png --sheet sheet.png --count";
        let said = |count: &str| {
            run(Cli::try_parse_from(words.split(' ').chain([count])).unwrap().args).unwrap_err().to_string()
        };
        assert_eq!(said("8"), "--sheet wants --count of 10 or more");
        assert!(said("10").contains("no-such-model"), "{}", said("10"));
    }

    #[test]
    fn what_is_nearer_than_real_pictures_are_is_a_replay() {
        let real: Vec<f64> = (0..100).map(|i| 1.0 + f64::from(i) / 100.0).collect();
        assert_eq!(replayed(&[0.0, 0.5, 1.5, 3.0], &real), (1.01, 0.5));
        assert_eq!(quantile(&real, 0.5), 1.5);
        assert_eq!(quantile(&real, 1.0), 1.99);
    }
}
