//! The build script of every crate that ends in something that is loaded or run: plugin, command line, test binaries.
//!
//! They find libtorch where they were linked to it, without `LD_LIBRARY_PATH`. A plugin that does not find its libtorch
//! is blacklisted by GStreamer until the registry file is deleted. It is a run path, so `LD_LIBRARY_PATH` still wins.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // Without LIBTORCH the runtime's own build script says what to do.
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
