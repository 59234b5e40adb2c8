//! `lazurite env`: a shell whose az, kubectl and terraform speak to Lazurite.
//!
//! az gets a configuration directory of its own: the cloud keeps the name `AzureCloud` (az refuses some
//! add-ons under any other), its endpoint is the front door, and the command line's application is signed
//! in. The user's own az set-up is not touched. The secret reaches az through a file, never through argv.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use kit::files::{Readers, write_atomic};

use crate::place::{Credentials, Home, State};

const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

pub(crate) fn run() -> Result<()> {
    let state = State::locate();
    let home = Home::locate();
    if state.last_service().is_some() && state.running().is_none() {
        bail!("Lazurite does not run; start it with `make up` or `lazurite up`");
    }
    let credentials = home.credentials()?;
    let bundle = home.join("ca-bundle.pem");
    write_bundle(&home, &bundle)?;
    let azure = home.join("azure");
    sign_in(&home, &azure, &bundle, &credentials)?;

    let host = credentials.endpoint.trim_start_matches("https://");
    let mut lines = vec![
        ("AZURE_CONFIG_DIR", azure.display().to_string()),
        ("REQUESTS_CA_BUNDLE", bundle.display().to_string()),
        ("SSL_CERT_FILE", bundle.display().to_string()),
        ("NODE_EXTRA_CA_CERTS", home.join("ca.crt").display().to_string()),
        ("KUBECONFIG", home.join("kubeconfig").display().to_string()),
        ("AZURE_AUTHORITY_HOST", format!("{}/", credentials.endpoint)),
        ("AZURE_CORE_INSTANCE_DISCOVERY", "false".to_owned()),
        ("AZURE_CORE_COLLECT_TELEMETRY", "false".to_owned()),
        ("ARM_METADATA_HOSTNAME", host.to_owned()),
        ("ARM_SUBSCRIPTION_ID", credentials.subscription_id.clone()),
        ("ARM_TENANT_ID", credentials.tenant_id.clone()),
    ];
    if let Some(path) = own_path() {
        lines.push(("PATH", path));
    }
    let exports: String =
        lines.into_iter().map(|(name, value)| format!("export {name}={}\n", quoted(&value))).collect();
    super::output::write_out(exports.as_bytes())
}

/// How to get az, for who has none.
pub(super) const HOW_TO_GET_AZ: &str = "To get it: pip install azure-cli, or `make tools`. Without it, `lazurite group` and `lazurite aks` do the same.";

/// Whether a shell with [`run`]'s PATH finds az.
pub(super) fn has_az() -> bool {
    let path = own_path().map(Into::into).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join("az").is_file())
}

/// The PATH with this program's directory, and the repository's tools beside it, in front.
fn own_path() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let mut dirs = vec![program.parent()?.to_owned()];
    dirs.extend(program.ancestors().map(|dir| dir.join(".tools/bin")).find(|dir| dir.is_dir()));
    let old = std::env::var_os("PATH").unwrap_or_default();
    let had: Vec<_> = std::env::split_paths(&old).collect();
    dirs.retain(|dir| !had.contains(dir));
    let joined = std::env::join_paths(dirs.into_iter().chain(had)).ok()?;
    joined.into_string().ok()
}

/// The system's roots and ours: other programs of that shell keep working.
fn write_bundle(home: &Home, bundle: &Path) -> Result<()> {
    let mut text = kit::files::read_string(&home.join("ca.crt"))?;
    for path in SYSTEM_ROOTS {
        if let Ok(roots) = std::fs::read_to_string(path) {
            text.push('\n');
            text.push_str(&roots);
            break;
        }
    }
    write_atomic(bundle, text.as_bytes(), Readers::Everyone)?;
    Ok(())
}

fn sign_in(home: &Home, azure: &Path, bundle: &Path, credentials: &Credentials) -> Result<()> {
    let marker = azure.join("lazurite-signed-in");
    let stamp = format!("{}\n{}\n", credentials.endpoint, credentials.client_id);
    if kit::files::read_string(&marker).is_ok_and(|text| text == stamp) {
        return Ok(());
    }
    // A directory signed in to another installation holds its tokens and discovery answers.
    let _ = std::fs::remove_dir_all(azure);
    kit::files::make_dir(azure)?;
    let config = "[core]\ninstance_discovery = false\ncollect_telemetry = no\nlogin_experience_v2 = off\n\
                  [extension]\nuse_dynamic_install = no\n[logging]\nenable_log_file = no\n";
    write_atomic(&azure.join("config"), config.as_bytes(), Readers::Owner)?;
    if !az(
        azure,
        bundle,
        &["cloud", "update", "-n", "AzureCloud", "--endpoint-resource-manager", &credentials.endpoint],
    )? {
        return Ok(());
    }
    let secret = home.join("client-secret");
    write_atomic(&secret, credentials.client_secret.as_bytes(), Readers::Owner)?;
    let password = format!("@{}", secret.display());
    let signed_in = az(
        azure,
        bundle,
        &[
            "login",
            "--service-principal",
            "-u",
            &credentials.client_id,
            "-p",
            &password,
            "--tenant",
            &credentials.tenant_id,
        ],
    );
    kit::files::remove(&secret)?;
    signed_in?;
    write_atomic(&marker, stamp.as_bytes(), Readers::Owner)?;
    Ok(())
}

/// Runs az; `false` when there is none on the PATH.
fn az(config: &Path, bundle: &Path, arguments: &[&str]) -> Result<bool> {
    let path = own_path().or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
    let ran = Command::new("az")
        .args(arguments)
        .arg("--only-show-errors")
        .env("PATH", path)
        .env("AZURE_CONFIG_DIR", config)
        .env("REQUESTS_CA_BUNDLE", bundle)
        .stdin(Stdio::null())
        .output();
    match ran {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("az is not on the PATH. {HOW_TO_GET_AZ}");
            Ok(false)
        }
        Err(error) => Err(error).context("failed to run az"),
        Ok(output) if output.status.success() => Ok(true),
        Ok(output) => {
            bail!("az {} failed: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim())
        }
    }
}

/// A word a POSIX shell reads as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_quote_in_a_path_does_not_end_the_word() {
        assert_eq!(super::quoted("/home/o'neil"), r"'/home/o'\''neil'");
    }
}
