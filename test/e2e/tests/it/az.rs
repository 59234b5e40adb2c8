//! The real az, offline: what it prints has the shape that is written down. What needs neither clusters nor the data planes of the
//! whole program is played in `test/az-lab`.

use std::path::Path;

use anyhow::Result;
use e2e::{Fabric, Lab, image};

fn play(lab: &Lab, name: &str) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("az").join(name);
    transcripts::play(|| lab.command(Path::new("/bin/bash")), &file)
}

#[test]
fn a_cluster_is_looked_into_as_the_lesson_on_its_architecture_does() -> Result<()> {
    let Some(mut lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    play(&lab, "cluster.az")?;
    lab.through_proxy()?;
    play(&lab, "proxy.az")?;
    lab.finish()
}

#[test]
fn pools_machines_and_what_else_a_cluster_is_told() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    play(&lab, "pools.az")?;
    lab.finish()
}

#[test]
fn upkeep_has_its_times_and_pools_are_kept_as_snapshots() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    play(&lab, "upkeep.az")?;
    lab.finish()
}

#[test]
fn namespaces_are_managed_and_trusted_access_is_judged() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    play(&lab, "namespaces.az")?;
    lab.finish()
}

#[test]
fn scripts_run_in_real_machines_and_ranges_let_nodes_in() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Linux)? else { return Ok(()) };
    play(&lab, "machines.az")?;
    lab.finish()
}

#[test]
fn a_registry_is_attached_to_real_nodes_and_detached() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Linux)? else { return Ok(()) };
    let archive = lab.file("busybox.tar");
    image::write_busybox(&archive, &e2e::lazurite())?;
    lab.lazurite(&["image", "load", &archive.display().to_string()])?;
    play(&lab, "attached.az")?;
    lab.finish()
}

#[test]
fn the_directory_and_the_images_of_a_registry_are_driven() -> Result<()> {
    let Some(mut lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    play(&lab, "directory.az")?;
    let archive = lab.file("image.tar");
    image::write_small(&archive, "docker.io/library/hello:1")?;
    lab.lazurite(&["image", "load", &archive.display().to_string()])?;
    // A registry's images are found by its name, so through the proxy.
    lab.through_proxy()?;
    play(&lab, "images.az")?;
    lab.finish()
}
