//! `meson.build` puts plugin and command line where GStreamer of the prefix finds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;

#[test]
fn meson_installs_into_a_prefix_from_which_gst_inspect_lists_the_elements() {
    // The build shares this binary's target folder: nothing is compiled twice, and nothing in the other profile.
    let binary = std::env::current_exe().expect("a test binary has a path");
    let release = binary.ancestors().nth(2).expect("cargo's release folder");
    if !release.ends_with("release") {
        eprintln!("skipped: meson builds the release profile, as make test does");
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let (build, prefix) = (folder.path().join("build"), folder.path().join("prefix"));
    let target = release.parent().expect("cargo's target folder");

    run(Command::new("meson")
        .arg("setup")
        .args([&build, &common::root()])
        .arg("--prefix")
        .arg(&prefix)
        .env("CARGO_TARGET_DIR", target));
    run(Command::new("ninja").arg("-C").arg(&build).arg("install"));

    let plugin = find(&prefix, "libgsttorch.so");
    assert!(plugin.parent().is_some_and(|folder| folder.ends_with("gstreamer-1.0")), "{}", plugin.display());
    let listed = run(Command::new("gst-inspect-1.0")
        .arg("torch")
        .env("GST_PLUGIN_PATH", plugin.parent().expect("a folder"))
        .env("GST_REGISTRY", folder.path().join("registry.bin"))
        .env_remove("LD_LIBRARY_PATH"));
    for element in ["torchdetect", "torchtrack", "torchoverlay", "torchmeta"] {
        assert!(listed.contains(element), "{element} is absent:\n{listed}");
    }
    assert!(listed.contains(prefix.to_str().expect("a path in Unicode")), "another plugin was found:\n{listed}");

    let version = run(Command::new(prefix.join("bin/gst-torch")).arg("--version").env_remove("LD_LIBRARY_PATH"));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

fn find(folder: &Path, name: &str) -> PathBuf {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.ends_with(name) {
                return path;
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    panic!("{name} is not below {}", folder.display())
}

/// Runs a command that must succeed, and gives back what it printed.
fn run(command: &mut Command) -> String {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ended.status.success(), "{command:?}: {}\n{}{}", ended.status, text(&ended.stdout), text(&ended.stderr));
    text(&ended.stdout)
}
