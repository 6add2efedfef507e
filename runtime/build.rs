//! Builds the C++ shim against the headers of the libtorch that torch-sys links.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src/shim/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = match env::var_os("LIBTORCH") {
        Some(path) => PathBuf::from(path),
        None => panic!(
            "LIBTORCH is not set: run `make setup`, which fetches libtorch and writes .cargo/config.toml for cargo"
        ),
    };
    let include = libtorch.join("include");
    if !include.join("torch/csrc/jit/api/module.h").exists() {
        panic!("LIBTORCH={} has no include/torch: `make setup` fills a folder that has", libtorch.display());
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file("src/shim/shim.cpp")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-deprecated-declarations")
        .flag("-fvisibility=hidden")
        .warnings(false)
        .compile("gsttorchshim");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libtorch.join("lib").display());
}
