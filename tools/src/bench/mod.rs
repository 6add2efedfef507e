//! `gst-torch bench`: speed as a ratio, measured side by side in one run.

mod codec;
mod detect;
mod generate;
mod memory;
mod peers;
mod pipeline;
mod restore;

use std::time::Instant;

use anyhow::Context;
use clap::Subcommand;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// torchdetect against a bare libtorch loop, and 1 to 8 streams that share a model.
    Detect(detect::Args),
    /// torchenc and torchdec against bare libtorch loops and x264.
    Codec(codec::Args),
    /// torchrestore against a bare libtorch loop and FFmpeg's filters.
    Restore(restore::Args),
    /// torchsrc against a bare libtorch loop.
    Generate(generate::Args),
    /// Resident memory over many frames.
    Memory(memory::Args),
}

pub fn run(args: Args) -> anyhow::Result<()> {
    gst::init()?;
    gsttorch::plugin_register_static()?;
    match args.task {
        Task::Detect(args) => detect::run(args),
        Task::Codec(args) => codec::run(args),
        Task::Restore(args) => restore::run(args),
        Task::Generate(args) => generate::run(args),
        Task::Memory(args) => memory::run(args),
    }
}

/// What a measurement took.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    /// Seconds that cores worked for the process: on a machine with other work this says more than the clock.
    cpu: f64,
}

/// Prints a row for each name: the best of its samples of `frames` frames, beside the better of the first two, which are the
/// bare loops. Returns the rate of that, in frames a second.
fn print_beside_bare(names: &[&str], samples: &[Vec<Sample>], frames: usize) -> f64 {
    let least = |samples: &[Sample], of: fn(&Sample) -> f64| samples.iter().map(of).fold(f64::INFINITY, f64::min);
    let rate = |samples: &[Sample]| frames as f64 / least(samples, |s| s.seconds);
    let work = |samples: &[Sample]| least(samples, |s| s.cpu) * 1e3 / frames as f64;
    let bare = samples.iter().take(2).map(|samples| rate(samples)).fold(0.0, f64::max);
    println!("{:<48} {:>9} {:>8} {:>8}", "", "frames/s", "of bare", "core ms");
    for (name, samples) in names.iter().zip(samples) {
        println!("{name:<48} {:9.1} {:8.3} {:8.2}", rate(samples), rate(samples) / bare, work(samples));
    }
    bare
}

struct Clock {
    start: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> anyhow::Result<Clock> {
        Ok(Clock { cpu: cpu_time()?, start: Instant::now() })
    }

    fn stop(self) -> anyhow::Result<Sample> {
        Ok(Sample { seconds: self.start.elapsed().as_secs_f64(), cpu: cpu_time()? - self.cpu })
    }
}

/// Seconds that all threads of this process, the ended ones too, have had of the cores.
fn cpu_time() -> anyhow::Result<f64> {
    /// Linux counts in hundredths of a second here, whatever the kernel's own clock.
    const TICK: f64 = 0.01;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field, the name, may hold spaces; user and system time are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/self/stat without a name")?;
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() * TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_threads_that_have_ended_counts() {
        let before = cpu_time().unwrap();
        let reached = std::thread::spawn(move || {
            loop {
                let now = cpu_time().unwrap();
                if now > before + 0.05 {
                    return now;
                }
            }
        });
        let reached = reached.join().unwrap();
        assert!(cpu_time().unwrap() >= reached);
    }
}
