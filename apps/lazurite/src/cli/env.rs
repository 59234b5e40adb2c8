//! `lazurite env`: a shell whose az, kubectl, terraform, kubelogin and programs of Azure's SDKs speak to Lazurite.
//!
//! az gets a configuration directory of its own: the cloud keeps the name `AzureCloud` (az refuses some
//! add-ons under any other), its endpoint is the front door, and the command line's application is signed
//! in. The user's own az set-up is not touched. The secret reaches az through a file, never through argv.
//!
//! `--proxy` is for programs that cannot be told where a cloud is: they keep Azure's own addresses, and `HTTPS_PROXY`
//! leads these here. Nothing of the system's name resolution is changed.
//!
//! kubelogin is this program under that name, unless the shell has a real one: then that one is used.
//!
//! Terraform, kubelogin and the SDKs' default credential ask az for tokens, so no secret is printed; `--credentials`
//! prints one for programs that sign in by themselves.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use kit::files::{Readers, write_atomic};

use crate::place::{Credentials, Home, ServiceFile, State};
use crate::service::hosting::gate::HOST_ADDRESS;

const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// How the shell is to speak to Lazurite.
#[derive(Debug, clap::Args)]
pub(crate) struct Env {
    /// Azure's own addresses, through Lazurite's proxy: for programs that cannot be told others. The shell's other
    /// programs then reach no other host by HTTPS.
    #[arg(long)]
    proxy: bool,
    /// Print the application's id and secret too, for programs that sign in by themselves.
    #[arg(long)]
    credentials: bool,
}

impl Env {
    pub(crate) fn run(&self) -> Result<()> {
        let state = State::locate();
        let home = Home::locate();
        let running = state.running();
        if state.last_service().is_some() && running.is_none() {
            bail!("Lazurite does not run; start it with `make up` or `lazurite up`");
        }
        let credentials = home.credentials()?;
        let bundle = home.join("ca-bundle.pem");
        write_bundle(&home, &bundle)?;
        write_programs(&home)?;
        let names = running.as_ref().map(names).unwrap_or_default();
        let proxy = match (self.proxy, running.and_then(|service| service.proxy)) {
            (false, _) => None,
            (true, Some(address)) => Some(format!("http://{address}")),
            (true, None) => {
                bail!("Lazurite does not run, or is older than its proxy; start it with `lazurite up`")
            }
        };
        let azure = home.join(if proxy.is_some() { "azure-proxy" } else { "azure" });
        let signed_in =
            Shell { azure: &azure, bundle: &bundle, proxy: proxy.as_deref() }.sign_in(&home, &credentials)?;
        let mut text = exports(&common(&home, &azure, &bundle, &credentials));
        text.push_str(&exports(&names));
        text.push_str(&match &proxy {
            Some(proxy) => through(proxy, &bundle),
            None => directly(&credentials),
        });
        text.push_str(&exports(&self.secrets(&credentials, signed_in)));
        super::output::write_out(text.as_bytes())
    }

    /// What signs programs in that do not ask az.
    fn secrets(&self, credentials: &Credentials, az: bool) -> Vec<(&'static str, String)> {
        let (id, secret) = (&credentials.client_id, &credentials.client_secret);
        match (self.credentials, az) {
            (true, _) => vec![
                ("AZURE_CLIENT_ID", id.clone()),
                ("AZURE_CLIENT_SECRET", secret.clone()),
                ("AZURE_TENANT_ID", credentials.tenant_id.clone()),
                ("ARM_CLIENT_ID", id.clone()),
                ("ARM_CLIENT_SECRET", secret.clone()),
            ],
            // The SDKs' default credential asks az at once, instead of looking for a machine's identity first.
            (false, true) => {
                vec![("AZURE_TOKEN_CREDENTIALS", "dev".to_owned()), ("ARM_USE_CLI", "true".to_owned())]
            }
            (false, false) => Vec::new(),
        }
    }
}

type Lines = Vec<(&'static str, String)>;

fn exports(lines: &Lines) -> String {
    lines.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
}

/// What holds for both ways.
fn common(home: &Home, azure: &Path, bundle: &Path, credentials: &Credentials) -> Lines {
    let mut lines = vec![
        ("AZURE_CONFIG_DIR", azure.display().to_string()),
        ("REQUESTS_CA_BUNDLE", bundle.display().to_string()),
        ("SSL_CERT_FILE", bundle.display().to_string()),
        ("NODE_EXTRA_CA_CERTS", home.join("ca.crt").display().to_string()),
        ("KUBECONFIG", home.join("kubeconfig").display().to_string()),
        ("AZURE_CORE_COLLECT_TELEMETRY", "false".to_owned()),
        ("ARM_SUBSCRIPTION_ID", credentials.subscription_id.clone()),
        ("ARM_TENANT_ID", credentials.tenant_id.clone()),
        ("AAD_LOGIN_METHOD", "azurecli".to_owned()),
        ("LAZURITE_CLIENT_ADDRESS", HOST_ADDRESS.to_string()),
    ];
    lines.extend(own_path().map(|path| ("PATH", with_last(path, &home.join(PROGRAMS)))));
    lines
}

/// Programs that this one is under other names, in the user's directory.
const PROGRAMS: &str = "bin";

/// Puts kubelogin there. It is last on the shell's PATH: a real one comes first.
fn write_programs(home: &Home) -> Result<()> {
    let (dir, program) =
        (home.join(PROGRAMS), std::env::current_exe().context("failed to find this program")?);
    kit::files::make_dir(&dir)?;
    let link = dir.join(super::kubelogin::NAME);
    if std::fs::read_link(&link).is_ok_and(|old| old == program) {
        return Ok(());
    }
    // Another name first: whoever runs kubelogin at this moment finds the old one or the new one.
    let made = dir.join(format!("{}.{}", super::kubelogin::NAME, std::process::id()));
    let linked = std::os::unix::fs::symlink(&program, &made).and_then(|()| std::fs::rename(&made, &link));
    linked.with_context(|| format!("failed to write `{}`", link.display()))
}

fn with_last(path: String, dir: &Path) -> String {
    let had: Vec<_> = std::env::split_paths(&path).collect();
    if had.iter().any(|one| one == dir) {
        return path;
    }
    let all = std::env::join_paths(had.into_iter().chain([dir.to_owned()])).ok();
    all.and_then(|all| all.into_string().ok()).unwrap_or(path)
}

/// For tools that are told where a name is or whom to ask: `nslookup -port=$LAZURITE_DNS_PORT NAME $LAZURITE_DNS_SERVER`,
/// `curl --connect-to ::$LAZURITE_API_SERVERS https://NAME`.
fn names(service: &ServiceFile) -> Lines {
    let mut lines = vec![("LAZURITE_API_SERVERS", service.api.to_string())];
    if let Some(dns) = service.dns {
        lines.push(("LAZURITE_DNS_SERVER", dns.ip().to_string()));
        lines.push(("LAZURITE_DNS_PORT", dns.port().to_string()));
    }
    lines
}

/// The front door by its own address.
fn directly(credentials: &Credentials) -> String {
    let host = credentials.endpoint.trim_start_matches("https://");
    exports(&vec![
        ("AZURE_AUTHORITY_HOST", format!("{}/", credentials.endpoint)),
        ("AZURE_CORE_INSTANCE_DISCOVERY", "false".to_owned()),
        ("ARM_METADATA_HOSTNAME", host.to_owned()),
        ("LAZURITE_ENDPOINT", credentials.endpoint.clone()),
    ])
}

/// Azure's addresses, led here. A shell that had the other way before forgets it.
fn through(proxy: &str, bundle: &Path) -> String {
    let lines =
        [("HTTPS_PROXY", proxy), ("https_proxy", proxy), ("NO_PROXY", NO_PROXY), ("no_proxy", NO_PROXY)];
    let mut lines: Lines = lines.map(|(name, value)| (name, value.to_owned())).to_vec();
    lines.push(("CURL_CA_BUNDLE", bundle.display().to_string()));
    lines.push(("LAZURITE_ENDPOINT", "https://management.azure.com".to_owned()));
    format!(
        "unset AZURE_AUTHORITY_HOST AZURE_CORE_INSTANCE_DISCOVERY ARM_METADATA_HOSTNAME\n{}",
        exports(&lines)
    )
}

/// This machine needs no proxy: clusters' API servers are on it.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";

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

/// How az is run.
struct Shell<'a> {
    azure: &'a Path,
    bundle: &'a Path,
    proxy: Option<&'a str>,
}

impl Shell<'_> {
    /// Signs az in; false where there is none.
    fn sign_in(&self, home: &Home, credentials: &Credentials) -> Result<bool> {
        let azure = self.azure;
        let marker = azure.join("lazurite-signed-in");
        let stamp =
            format!("{}\n{}\n{}\n", credentials.endpoint, credentials.client_id, self.proxy.unwrap_or("-"));
        if kit::files::read_string(&marker).is_ok_and(|text| text == stamp) {
            return Ok(true);
        }
        // A directory signed in to another installation holds its tokens and discovery answers.
        let _ = std::fs::remove_dir_all(azure);
        kit::files::make_dir(azure)?;
        let discovery = if self.proxy.is_none() { "instance_discovery = false\n" } else { "" };
        let config = format!(
            "[core]\n{discovery}collect_telemetry = no\nlogin_experience_v2 = off\n\
             [extension]\nuse_dynamic_install = no\n[logging]\nenable_log_file = no\n"
        );
        write_atomic(&azure.join("config"), config.as_bytes(), Readers::Owner)?;
        let there = match self.proxy {
            // az's own idea of the cloud is right there.
            Some(_) => self.az(&["version"])?,
            None => self.az(&[
                "cloud",
                "update",
                "-n",
                "AzureCloud",
                "--endpoint-resource-manager",
                &credentials.endpoint,
            ])?,
        };
        if !there {
            return Ok(false);
        }
        let secret = home.join("client-secret");
        write_atomic(&secret, credentials.client_secret.as_bytes(), Readers::Owner)?;
        let password = format!("@{}", secret.display());
        let (id, tenant) = (&credentials.client_id, &credentials.tenant_id);
        let signed_in =
            self.az(&["login", "--service-principal", "-u", id, "-p", &password, "--tenant", tenant]);
        kit::files::remove(&secret)?;
        signed_in?;
        write_atomic(&marker, stamp.as_bytes(), Readers::Owner)?;
        Ok(true)
    }

    /// Runs az; `false` when there is none on the PATH.
    fn az(&self, arguments: &[&str]) -> Result<bool> {
        let path = own_path().or_else(|| std::env::var("PATH").ok()).unwrap_or_default();
        let mut command = Command::new("az");
        command
            .args(arguments)
            .arg("--only-show-errors")
            .env("PATH", path)
            .env("AZURE_CONFIG_DIR", self.azure)
            .env("REQUESTS_CA_BUNDLE", self.bundle)
            .stdin(Stdio::null());
        for name in ["HTTPS_PROXY", "https_proxy"] {
            match self.proxy {
                Some(proxy) => command.env(name, proxy),
                None => command.env_remove(name),
            };
        }
        match command.output() {
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
}

/// A word a POSIX shell reads as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_goes_through_the_proxy_forgets_the_other_way() {
        let text = through("http://127.0.0.1:8445", Path::new("/h/ca-bundle.pem"));
        for line in [
            "unset AZURE_AUTHORITY_HOST AZURE_CORE_INSTANCE_DISCOVERY ARM_METADATA_HOSTNAME",
            "export HTTPS_PROXY='http://127.0.0.1:8445'",
            "export NO_PROXY='localhost,127.0.0.1,::1'",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in {text}");
        }
    }

    #[test]
    fn a_quote_in_a_path_does_not_end_the_word() {
        assert_eq!(super::quoted("/home/o'neil"), r"'/home/o'\''neil'");
    }
}
