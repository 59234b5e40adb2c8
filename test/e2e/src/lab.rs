//! One Lazurite and the commands that drive it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

/// What nodes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fabric {
    /// Real machines of namespaces.
    Linux,
    /// Nodes in the API only.
    Simulated,
}

impl Fabric {
    fn word(self) -> &'static str {
        match self {
            Fabric::Linux => "linux",
            Fabric::Simulated => "simulated",
        }
    }
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether it succeeded.
    pub success: bool,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Output {
    /// Standard output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {}", self.stdout))
    }
}

/// Says why a test does nothing. In CI (`CI=true`) that is a failure: everything is there.
pub fn skip(reason: &str) -> Result<()> {
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        bail!("SKIPPED in CI, where nothing may be skipped: {reason}");
    }
    eprintln!("SKIPPED: {reason}");
    Ok(())
}

/// A Lazurite of its own.
pub struct Lab {
    dir: TempDir,
    fabric: Fabric,
    front: u16,
    api: u16,
    environment: BTreeMap<String, String>,
    path: OsString,
    program: PathBuf,
}

impl Lab {
    /// Starts a service with an empty state and signs in. `None` with a printed reason where a program is
    /// missing that users must bring.
    pub fn start(fabric: Fabric) -> Result<Option<Self>> {
        let Some(mut lab) = Self::new(fabric, &["az", "kubectl"])? else { return Ok(None) };
        lab.begin()?;
        Ok(Some(lab))
    }

    /// The same for who has no az: the PATH is one directory, with the program under test and links to `programs`.
    pub fn start_with_only(fabric: Fabric, programs: &[&str]) -> Result<Option<Self>> {
        let Some(mut lab) = Self::new(fabric, programs)? else { return Ok(None) };
        let dir = lab.file("bin");
        std::fs::create_dir(&dir)?;
        for program in programs {
            std::os::unix::fs::symlink(tool(program)?, dir.join(program))?;
        }
        // Not where it was built, since it also finds the repository's tools above itself.
        let own = dir.join("lazurite");
        std::fs::hard_link(&lab.program, &own).or_else(|_| std::fs::copy(&lab.program, &own).map(|_| ()))?;
        lab.program = own;
        lab.path = dir.into_os_string();
        lab.begin()?;
        Ok(Some(lab))
    }

    /// A laboratory without a service and without clients: the test starts the one and is the other.
    pub fn without_clients(fabric: Fabric) -> Result<Option<Self>> {
        Self::new(fabric, &[])
    }

    fn new(fabric: Fabric, programs: &[&str]) -> Result<Option<Self>> {
        for tool in programs {
            if which(tool).is_none() {
                skip(&format!("{tool} is neither in .tools/bin nor on the PATH; run `make tools`"))?;
                return Ok(None);
            }
        }
        if fabric == Fabric::Linux && !nix::unistd::geteuid().is_root() {
            skip("real machines need root")?;
            return Ok(None);
        }
        let dir = tempfile::Builder::new().prefix("lazurite-e2e-").tempdir()?;
        std::fs::create_dir_all(dir.path().join("user/.ssh"))?;
        let environment = BTreeMap::new();
        let (front, api) = (free_port()?, free_port()?);
        Ok(Some(Self { dir, fabric, front, api, environment, path: search_path(), program: lazurite() }))
    }

    fn begin(&mut self) -> Result<()> {
        self.up()?;
        self.sign_in()
    }

    /// The service's state directory.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The program under test.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A path in the laboratory for a test's own files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `lazurite up`.
    pub fn up(&self) -> Result<Output> {
        let (front, api) = (format!("127.0.0.1:{}", self.front), format!("127.0.0.1:{}", self.api));
        self.lazurite(&["up", "--fabric", self.fabric.word(), "--listen", &front, "--api-listen", &api])
    }

    /// What `lazurite env` exports with these options.
    pub fn exports(&self, options: &[&str]) -> Result<BTreeMap<String, String>> {
        let printed = self.lazurite(&[&["env"][..], options].concat())?.stdout;
        let lines = printed.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let plain = |value: &str| value.trim_matches('\'').replace(r"'\''", "'");
        Ok(lines.map(|(name, value)| (name.to_owned(), plain(value))).collect())
    }

    /// `lazurite env --proxy`: from now on everything goes through the proxy, by Azure's own names.
    pub fn through_proxy(&mut self) -> Result<()> {
        let exports = self.exports(&["--proxy"])?;
        for name in ["AZURE_AUTHORITY_HOST", "AZURE_CORE_INSTANCE_DISCOVERY", "ARM_METADATA_HOSTNAME"] {
            self.environment.remove(name);
        }
        self.environment.extend(exports);
        Ok(())
    }

    /// `lazurite env`, its exports taken over.
    fn sign_in(&mut self) -> Result<()> {
        let printed = self.exports(&[])?;
        self.environment.extend(printed.clone());
        // Programs that Lazurite is under other names; last, as in a user's shell.
        let programs = self.file("home/bin");
        self.path = std::env::join_paths(std::env::split_paths(&self.path).chain([programs]))?;
        if !self.environment.contains_key("AZURE_CONFIG_DIR") {
            bail!("`lazurite env` printed no AZURE_CONFIG_DIR: {printed:?}");
        }
        Ok(())
    }

    /// Kills the service at once, as a power cut would.
    pub fn kill(&self) -> Result<()> {
        let pid = self.pid()?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)?;
        crate::wait_for("the end of the killed service", Duration::from_secs(10), || {
            Ok((!Path::new(&format!("/proc/{pid}/fd/0")).exists()).then_some(()))
        })
    }

    /// The service's process.
    pub fn pid(&self) -> Result<i32> {
        let file = std::fs::read(self.state().join("service.json")).context("the service does not run")?;
        let service: Value = serde_json::from_slice(&file)?;
        service["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).context("service.json names no pid")
    }

    /// Runs Lazurite's own command line; a failure is an error.
    pub fn lazurite(&self, arguments: &[&str]) -> Result<Output> {
        self.run(&self.program, arguments, None)
    }

    /// Runs Lazurite's own command line, however it ends.
    pub fn try_lazurite(&self, line: &str) -> Result<Output> {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.output(&self.program, &words, None)
    }

    /// Runs az; a failure is an error.
    pub fn az(&self, line: &str) -> Result<Output> {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run(&tool("az")?, &words, None)
    }

    /// Runs az and returns its JSON.
    pub fn az_json(&self, line: &str) -> Result<Value> {
        self.az(&format!("{line} -o json"))?.json()
    }

    /// Runs az, which has to refuse; returns what it printed to standard error.
    pub fn az_refused(&self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = self.output(&tool("az")?, &words, None)?;
        if output.success {
            bail!("`az {line}` succeeded, but had to be refused: {}", output.stdout);
        }
        Ok(output.stderr)
    }

    /// Runs kubectl; a failure is an error. Returns standard output.
    pub fn kubectl(&self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(self.run(&tool("kubectl")?, &words, None)?.stdout)
    }

    /// Runs kubectl with words that hold spaces.
    pub fn kubectl_words(&self, words: &[&str]) -> Result<String> {
        Ok(self.run(&tool("kubectl")?, words, None)?.stdout)
    }

    /// Runs kubectl and returns its JSON.
    pub fn kubectl_json(&self, line: &str) -> Result<Value> {
        let text = self.kubectl(&format!("{line} -o json"))?;
        serde_json::from_str(&text).with_context(|| format!("`kubectl {line}` printed no JSON"))
    }

    /// Runs kubectl with a document on standard input.
    pub fn kubectl_with(&self, line: &str, document: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(self.run(&tool("kubectl")?, &words, Some(document))?.stdout)
    }

    /// Runs kubectl, which has to fail; returns what it printed to standard error.
    pub fn kubectl_refused(&self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = self.output(&tool("kubectl")?, &words, None)?;
        if output.success {
            bail!("`kubectl {line}` succeeded, but had to be refused: {}", output.stdout);
        }
        Ok(output.stderr)
    }

    /// Starts kubectl in the background (port-forward, watch); killed when dropped.
    pub fn kubectl_spawn(&self, line: &str) -> Result<Background> {
        let child = self
            .command(&tool("kubectl")?)
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start kubectl")?;
        Ok(Background(child))
    }

    /// Starts az in the background; killed when dropped.
    pub fn az_spawn(&self, line: &str) -> Result<Background> {
        let child = self
            .command(&tool("az")?)
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start az")?;
        Ok(Background(child))
    }

    /// A command with the laboratory's environment.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .envs(&self.environment)
            .env("LAZURITE_STATE", self.state())
            .env("LAZURITE_HOME", self.file("home"))
            .env("HOME", self.file("user"))
            .env("PATH", &self.path);
        command
    }

    fn run(&self, program: &Path, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let output = self.output(program, arguments, input)?;
        if !output.success {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            bail!("`{name} {}` failed:\n{}{}", arguments.join(" "), output.stdout, output.stderr);
        }
        Ok(output)
    }

    fn output(&self, program: &Path, arguments: &[&str], input: Option<&str>) -> Result<Output> {
        let begun = Instant::now();
        // Files instead of pipes: a service that `up` leaves behind would keep a pipe open.
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut child = self
            .command(program)
            .args(arguments)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .spawn()
            .with_context(|| format!("failed to start `{}`", program.display()))?;
        if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
            pipe.write_all(text.as_bytes())?;
        }
        let status = child.wait()?;
        Ok(Output {
            success: status.success(),
            code: status.code(),
            stdout: content(&mut stdout)?,
            stderr: content(&mut stderr)?,
            took: begun.elapsed(),
        })
    }

    /// Creates a group and a cluster in it and fetches its credentials. Returns how long `aks create` took.
    pub fn cluster(&self, group: &str, name: &str, nodes: u32) -> Result<Duration> {
        self.az(&format!("group create -n {group} -l eastus"))?;
        let took = self
            .az(&format!("aks create -g {group} -n {name} --node-count {nodes} --generate-ssh-keys"))?
            .took;
        self.az(&format!("aks get-credentials -g {group} -n {name} --overwrite-existing"))?;
        Ok(took)
    }

    /// `lazurite down --purge`; afterwards nothing of the laboratory may be on the host.
    pub fn finish(self) -> Result<()> {
        let state = self.state();
        self.lazurite(&["down", "--purge"])?;
        let left = crate::host::left_behind(&state);
        if left.is_empty() { Ok(()) } else { bail!("left on the host: {}", left.join(", ")) }
    }
}

impl Drop for Lab {
    /// A failed test still gives the host back; its log is shown, since the directory goes.
    fn drop(&mut self) {
        if !self.state().exists() {
            return;
        }
        if std::thread::panicking()
            && let Ok(log) = std::fs::read_to_string(self.state().join("lazurite.log"))
        {
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "--- the end of the service's log\n{}",
                lines[lines.len().saturating_sub(60)..].join("\n")
            );
        }
        let _ = self.lazurite(&["down", "--purge"]);
    }
}

fn content(file: &mut File) -> Result<String> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A command that runs beside the test.
pub struct Background(pub Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file among the installed tools, where it is there.
pub fn installed(name: &str) -> Option<PathBuf> {
    let dir =
        std::env::var_os("LAZURITE_TEST_TOOLS").map_or_else(|| repository().join(".tools"), PathBuf::from);
    Some(dir.join(name)).filter(|path| path.exists())
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}

/// The program under test: `LAZURITE_BIN`, else the one built with the tests' own profile.
pub fn lazurite() -> PathBuf {
    if let Some(path) = std::env::var_os("LAZURITE_BIN") {
        return PathBuf::from(path);
    }
    let beside =
        std::env::current_exe().ok().and_then(|path| Some(path.ancestors().nth(2)?.join("lazurite")));
    beside.unwrap_or_else(|| PathBuf::from("lazurite"))
}

fn search_path() -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(repository().join(".tools/bin")).chain(std::env::split_paths(&old));
    std::env::join_paths(dirs).unwrap_or(old)
}

fn which(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path()).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Where a program that users bring is.
pub fn tool(name: &str) -> Result<PathBuf> {
    which(name).with_context(|| format!("{name} is not installed"))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
