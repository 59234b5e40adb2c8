//! The Azure SDKs for Python and JavaScript, unmodified, drive a Lazurite.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::{Fabric, Lab, installed, skip};

/// What of the scripts is driven.
const PARTS: [&str; 4] = ["network", "identity", "vault", "cluster"];

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(name)
}

#[test]
fn the_sdks_for_python_and_javascript_make_read_change_list_and_delete() -> Result<()> {
    let (Some(python), Some(modules), Some(javascript)) = (
        installed("az/bin/python"),
        installed("azure-sdk"),
        installed("javascript/node_modules/@azure/identity"),
    ) else {
        return skip("the Azure SDKs are not in .tools; run `make tools`");
    };
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    let packages = javascript.ancestors().nth(3).context("no folder of packages")?.to_owned();
    let run = |lab: &Lab, program: &Path, arguments: &[&Path], proxy: bool| -> Result<()> {
        let mut command = lab.command(program);
        command.args(arguments).envs(lab.exports(&["--credentials"])?).env("PYTHONPATH", &modules);
        if proxy {
            command.envs(lab.exports(&["--proxy"])?).env_remove("AZURE_AUTHORITY_HOST");
        }
        let output = command.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        ensure!(
            output.status.success() && stdout.ends_with("done\n"),
            "{}: {stdout}{stderr}",
            program.display()
        );
        Ok(())
    };
    let (python_script, script) = (script("drive.py"), script("drive.mjs"));
    let parts = PARTS.map(Path::new);
    run(&lab, &python, &[&[python_script.as_path()][..], &parts[..]].concat(), false)?;
    run(&lab, Path::new("node"), &[&[script.as_path(), packages.as_path()][..], &parts[..]].concat(), false)?;
    // The same programs, told nothing but the proxy.
    run(&lab, &python, &[python_script.as_path(), Path::new("identity")], true)?;
    lab.finish()
}
