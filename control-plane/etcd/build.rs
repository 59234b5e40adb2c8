//! Makes Rust of `proto/etcd.proto`.

fn main() -> std::io::Result<()> {
    let mut config = tonic_prost_build::Config::new();
    // Values are shared, not copied.
    config.bytes(["."]);
    tonic_prost_build::configure().compile_with_config(config, &["proto/etcd.proto"], &["proto"])
}
