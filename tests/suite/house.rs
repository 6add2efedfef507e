//! What holds for the project as a whole: which crate knows which, what the documents say, what the set-up says.

use std::process::Command;

use crate::common;

mod elements;

#[test]
fn runtime_and_models_pull_in_no_gstreamer_crate() {
    for package in ["gst-torch-runtime", "gst-torch-models"] {
        let tree = cargo(&["tree", "--package", package, "--edges", "normal,build", "--prefix", "none"]);
        assert!(tree.contains("tch v"), "{tree}");
        let gstreamer: Vec<_> =
            tree.lines().filter(|line| line.starts_with("gstreamer") || line.starts_with("glib")).collect();
        assert!(gstreamer.is_empty(), "{package} pulls in {gstreamer:?}");
    }
}

/// One build serves machines with and without CUDA, and finds its libtorch by itself.
#[test]
fn the_plugin_needs_libtorch_of_its_run_path_and_no_cuda() {
    let plugin = common::plugin();
    let ended = Command::new("ldd").arg(&plugin).env_remove("LD_LIBRARY_PATH").output().expect("ldd runs");
    let needs = String::from_utf8_lossy(&ended.stdout);
    assert!(needs.contains("libtorch_cpu.so => /"), "{needs}");
    assert!(!needs.contains("not found"), "{needs}");
    assert!(!needs.contains("libtorch_cuda") && !needs.contains("libcuda.so"), "{needs}");
}

#[test]
fn readme_lists_every_element() {
    common::init();
    let readme = std::fs::read_to_string(common::root().join("README.md")).expect("README.md is there");
    for factory in elements::factories() {
        let row = format!("| `{factory}` |");
        assert!(readme.lines().any(|line| line.starts_with(&row)), "README.md has no row {row}");
    }
}

#[test]
fn setup_says_what_is_missing_and_how_to_mend_it() {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let cache = scratch.path().to_str().expect("a path in Unicode");
    let bare = scratch.path().join("bin");
    std::fs::create_dir(&bare).expect("a folder");
    let old = bare.join("cargo");
    std::fs::write(&old, "#!/bin/sh\necho 'cargo 1.63.0 (Debian)'\n").expect("a file");
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("an executable");

    // A Rust that is too old, and nowhere to fetch a newer one from.
    let path = format!("{}:/usr/bin:/bin", bare.display());
    let unreachable = ("RUSTUP_UPDATE_ROOT", "http://127.0.0.1:9/rustup");
    let said = refused("rust.sh", &[cache], &[("PATH", &path), unreachable]);
    assert!(said.contains("rustup cannot be fetched") && said.contains("https://rustup.rs"), "{said}");

    // A libtorch that the user names, and that is not there.
    let said = refused("cargo-config.sh", &[], &[("LIBTORCH", "/nowhere/libtorch"), ("CARGO_TARGET_DIR", cache)]);
    assert!(said.contains("LIBTORCH=/nowhere/libtorch has no lib/") && said.contains("make setup"), "{said}");

    // A torch that PyPI does not have: no half-made folder stays.
    let folder = format!("{cache}/libtorch");
    let said = refused("libtorch.sh", &["0.0.1", "cpu", &folder], &[("PIP_NO_INDEX", "1")]);
    assert!(said.contains("pip could not download --no-deps torch==0.0.1"), "{said}");
    let left: Vec<_> =
        std::fs::read_dir(cache).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["bin"]);
}

/// Runs a script of `tools/setup` that must fail; gives back what it said.
fn refused(script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let ended = Command::new(common::root().join("tools/setup").join(script))
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("a script that can be run");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success(), "{script} succeeded: {said}");
    said
}

fn cargo(arguments: &[&str]) -> String {
    let ended = Command::new(env!("CARGO"))
        .args(["--offline"])
        .args(arguments)
        .current_dir(common::root())
        .output()
        .expect("cargo runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8_lossy(&ended.stdout).into_owned()
}
