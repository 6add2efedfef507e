//! Every launch line that a user can read runs, on a real clip: the files of `pipelines/`, and what README, `docs/` and
//! the elements' own documentation show. They run as a user runs them: gst-launch-1.0 loads the plugin from a folder.
//!
//! A line finds `clip.mp4` and `photo-000.jpg` and so on in its folder. What no test machine has is replaced: the screen
//! (`autovideosink`) by a fakesink, the camera (`v4l2src`) by a live test picture.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::common;

const CLIP_FRAMES: u32 = 40;
const PHOTOS: usize = 10;
/// What one line may take.
const SECONDS: &str = "180";

/// Clip, photos and plugin, made once: `None` where the clip is absent.
static MATERIAL: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let clip = common::clip()?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipelines");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("material")).expect("the target folder can be written");
    fs::create_dir_all(folder.join("plugin")).expect("the target folder can be written");
    // A hard link: it stays what it is when another test has cargo build the plugin again.
    fs::hard_link(common::plugin(), folder.join("plugin/libgsttorch.so")).expect("links can be made");

    let shorten = format!(
        "gst-launch-1.0 -q filesrc location={} ! decodebin ! identity eos-after={CLIP_FRAMES} ! videoconvert \
         ! x264enc speed-preset=ultrafast key-int-max=10 ! mp4mux ! filesink location=material/clip.mp4",
        clip.display()
    );
    assert_eq!(shell(&folder, &folder, &shorten), Ok(String::new()));
    if let Some(photos) = common::data("bccd/BCCD/JPEGImages") {
        let mut photos: Vec<_> =
            fs::read_dir(photos).expect("a folder").map(|photo| photo.expect("an entry").path()).collect();
        photos.sort();
        for (number, photo) in photos.iter().take(PHOTOS).enumerate() {
            let photo = photo.canonicalize().expect("a photo that exists");
            symlink(photo, folder.join(format!("material/photo-{number:03}.jpg"))).expect("links can be made");
        }
    }
    Some(folder)
});

#[test]
fn every_file_of_pipelines_runs_on_a_real_clip() {
    let mut files: Vec<_> = fs::read_dir(common::root().join("pipelines"))
        .expect("pipelines/ is there")
        .map(|file| file.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).expect("a text file");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("#!/bin/sh"), "{}", file.display());
        assert!(lines.next().is_some_and(|line| line.starts_with("# ")), "{} begins with a comment", file.display());
        assert_eq!(launch_lines(&text).len(), 1, "{} holds one launch line", file.display());
        run_in_a_folder_of_its_own(file.file_stem().and_then(|stem| stem.to_str()).expect("a name"), &text);
    }
}

#[test]
fn every_launch_line_of_the_documentation_runs_on_a_real_clip() {
    let root = common::root();
    let folder =
        |path: &str| fs::read_dir(root.join(path)).expect("a folder").map(|file| file.expect("an entry").path());
    let pages = folder("docs").filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let elements: Vec<_> = folder("plugins/src")
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("torch")))
        .map(|path| path.join("mod.rs"))
        .collect();
    for (place, path) in elements.iter().cloned().chain(pages).chain([root.join("README.md")]).enumerate() {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = launch_lines(&text);
        assert!(!lines.is_empty() || place >= elements.len(), "{} shows no launch line", path.display());
        for (number, line) in lines.iter().enumerate() {
            run_in_a_folder_of_its_own(&format!("documentation-{place}-{number}"), line);
        }
    }
}

#[test]
fn the_demo_says_what_it_found_and_writes_video_lines_and_sheet() {
    let binary = std::env::current_exe().expect("a test binary has a path");
    let demo = binary.ancestors().nth(2).expect("cargo's profile folder").join("examples/demo");
    if !demo.exists() {
        eprintln!("skipped: {} is absent: cargo test --workspace builds it", demo.display());
        return;
    }
    let Some(material) = MATERIAL.as_ref() else { return };
    let folder = material.join("demo");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let script = format!("{} ../material/clip.mp4 --out found", demo.display());
    let printed = shell(material, &folder, &script).unwrap_or_else(|message| panic!("{message}"));

    assert!(printed.contains(&format!("frames     {CLIP_FRAMES} in ")), "{printed}");
    assert!(printed.contains("boxes      person "), "{printed}");
    assert!(printed.contains("runs on    cpu, ") || printed.contains("runs on    cuda"), "{printed}");
    let lines = fs::read_to_string(folder.join("found/out.jsonl")).expect("JSON lines");
    assert_eq!(lines.lines().count(), CLIP_FRAMES as usize);
    assert!(fs::read(folder.join("found/out.png")).is_ok_and(|file| file.starts_with(b"\x89PNG")));
    assert!(fs::metadata(folder.join("found/out.mp4")).is_ok_and(|file| file.len() > 0));

    let refused = shell(material, &folder, &format!("{} nothing.mp4", demo.display())).unwrap_err();
    assert!(refused.contains("nothing.mp4 is not a file"), "{refused}");
}

/// The launch lines of a text in Markdown, of Rust's comments or of a shell script, continued lines joined.
fn launch_lines(text: &str) -> Vec<String> {
    let mut lines = text.lines().map(|line| {
        let line = line.trim_start();
        let line = ["//!", "///", "* "].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line).trim();
        line.strip_prefix("$ ").unwrap_or(line)
    });
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if !line.starts_with("gst-launch-1.0 ") {
            continue;
        }
        let mut whole = line.to_string();
        while let Some(open) = whole.strip_suffix('\\') {
            whole = format!("{}{}", open, lines.next().expect("a continued line goes on"));
        }
        found.push(whole);
    }
    found
}

/// Runs `script` beside the clip and the photos; it must succeed and fill every file that it names as its output.
fn run_in_a_folder_of_its_own(name: &str, script: &str) {
    let Some(material) = MATERIAL.as_ref() else { return };
    let folder = material.join(name);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    for file in fs::read_dir(material.join("material")).expect("a folder") {
        let file = file.expect("an entry");
        symlink(file.path(), folder.join(file.file_name())).expect("links can be made");
    }
    if script.contains("photo-") && !folder.join("photo-000.jpg").exists() {
        return; // common::data has said that they are absent
    }

    let script = script
        .replace("autovideosink", "fakesink sync=false")
        .replace("v4l2src", "videotestsrc is-live=true num-buffers=30 ! video/x-raw,width=640,height=480");
    match shell(material, &folder, &script) {
        Err(message) => panic!("{name}: {message}\n{script}"),
        Ok(printed) => {
            for output in outputs(&script) {
                let written = match output.as_str() {
                    "-" | "/dev/stdout" => printed.contains("\"objects\""),
                    file => fs::metadata(folder.join(file)).is_ok_and(|file| file.len() > 0),
                };
                assert!(written, "{name}: nothing in {output}\n{script}");
            }
        }
    }
}

/// What the sinks of a launch line write to; of a numbered series the first file.
fn outputs(script: &str) -> Vec<String> {
    let mut sink = false;
    let mut found = Vec::new();
    for word in script.split_whitespace() {
        match word.split_once('=') {
            None => sink = ["filesink", "multifilesink", "torchmeta"].contains(&word),
            Some(("location", file)) if sink => found.push(file.trim_matches('"').replace("%03d", "000")),
            Some(_) => {}
        }
    }
    found
}

/// Runs a script in `folder`, with the plugin and the registry of `material`; gives back what it printed, or why it failed.
fn shell(material: &Path, folder: &Path, script: &str) -> Result<String, String> {
    // timeout(1) ends the whole process group, the shell's children too.
    let ended = Command::new("timeout")
        .args([SECONDS, "sh", "-ec", script])
        .current_dir(folder)
        .env("GST_PLUGIN_PATH", material.join("plugin"))
        .env("GST_REGISTRY", material.join("registry.bin"))
        .env("G_DEBUG", "fatal_warnings")
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match ended.status.code() {
        Some(0) => Ok(text(&ended.stdout)),
        Some(124) => Err(format!("did not end within {SECONDS} s")),
        _ => Err(format!("{}: {}", ended.status, text(&ended.stderr))),
    }
}
