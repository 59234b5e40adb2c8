//! A throw-away etcd, and a front over a store, both on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd::{Front, FrontOptions};
use kit::Tasks;
use store::Embedded;

/// Where a program is; without it the test says that it is skipped, and in CI fails.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "`{name}` is missing; in CI nothing is skipped");
        eprintln!("SKIPPED: `{name}` is not installed");
    }
    found
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Whether etcd has a leader and answers; asks nothing of its store.
async fn is_healthy(port: u16) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else {
        return false;
    };
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.contains("\"health\":\"true\"")
}

/// A running etcd; dropping it ends it.
pub struct RealEtcd {
    child: Option<Child>,
    program: PathBuf,
    folder: PathBuf,
    ports: (u16, u16),
}

impl RealEtcd {
    /// Starts one with its data in `folder`, ready when this returns.
    pub async fn start(folder: &Path) -> Option<Self> {
        let program = program("etcd")?;
        // A port that was free may be taken a moment later.
        for _ in 0..5 {
            let ports = (free_port(), free_port());
            let mut etcd = Self { child: None, program: program.clone(), folder: folder.to_owned(), ports };
            if etcd.run().await {
                return Some(etcd);
            }
        }
        panic!("etcd does not start; see {}", folder.join("log").display());
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.0)
    }

    /// Starts the process on its ports; false when it ended at once.
    pub async fn run(&mut self) -> bool {
        let peer = format!("http://127.0.0.1:{}", self.ports.1);
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        let child = Command::new(&self.program)
            .args(["--name", "one", "--logger", "zap", "--log-level", "error"])
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("one={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            if is_healthy(self.ports.0).await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for RealEtcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A front over `store`; gives where it listens.
pub async fn serve(store: Arc<Embedded>, options: FrontOptions, tasks: &Tasks) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = FrontOptions { client_urls: vec![format!("http://{address}")], ..options };
    kit::serve::plain(listener, Front::new(store, options, tasks).service(), tasks);
    address
}

/// etcd's own tool, speaking to one endpoint.
pub struct Etcdctl {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Etcdctl {
    pub fn new(endpoint: &str) -> Option<Self> {
        Some(Self { program: program("etcdctl")?, arguments: vec![format!("--endpoints={endpoint}")] })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("ETCDCTL_API", "3").args(&self.arguments).args(arguments);
        command
    }

    async fn output(&self, arguments: &[&str], input: &str) -> Output {
        use std::io::Write;
        let mut command = self.command(arguments);
        let input = input.to_owned();
        tokio::task::spawn_blocking(move || {
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        })
        .await
        .unwrap()
    }

    /// What it prints; it must succeed.
    pub async fn run(&self, arguments: &[&str]) -> String {
        self.run_with(arguments, "").await
    }

    pub async fn run_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "etcdctl {arguments:?} failed: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says when it must fail.
    pub async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments, "").await;
        assert!(!output.status.success(), "etcdctl {arguments:?} must fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}
