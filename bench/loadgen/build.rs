//! Makes the messages from the protos of hookd, and from the few of others; needs no `protoc`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = std::env::var("CARGO_MANIFEST_DIR")?;
    let ours = Path::new(&here).join("../../proto");
    let others = Path::new(&here).join("proto");
    println!("cargo:rerun-if-changed={}", ours.join("hookd").display());
    println!("cargo:rerun-if-changed={}", others.display());
    let files = [
        ours.join("hookd/v1/hook_service.proto"),
        ours.join("hookd/v1/run_service.proto"),
        others.join("etcd.proto"),
        others.join("status.proto"),
    ];
    let descriptors = protox::compile(files, [ours, others])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
