//! Named network namespaces, as `ip netns` keeps them: bind mounts under `/run/netns`.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// Where namespaces have their names.
pub const DIRECTORY: &str = "/run/netns";

/// A network namespace with a name or a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns {
    path: PathBuf,
}

impl Netns {
    /// The namespace of this name; it need not exist yet.
    pub fn named(name: &str) -> Self {
        Self { path: Path::new(DIRECTORY).join(name) }
    }

    /// The namespace behind a path, for example `/proc/1/ns/net`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it exists (a leftover file that is no namespace does not count).
    pub fn exists(&self) -> bool {
        File::open(&self.path).is_ok_and(|file| is_namespace(&file))
    }

    /// Makes it; one that exists is fine. Its loopback is up.
    pub fn create(&self) -> io::Result<()> {
        if self.exists() {
            return Ok(());
        }
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        File::create(&self.path)?;
        let path = self.path.clone();
        let made = on_own_thread(move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let none: Option<&str> = None;
            mount(Some("/proc/thread-self/ns/net"), &path, none, MsFlags::MS_BIND, none)?;
            Ok(())
        })
        .and_then(|made| made);
        if made.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        made?;
        self.run(|| crate::Command::new(["ip", "link", "set", "lo", "up"]).run())?
            .map_err(io::Error::other)?;
        Ok(())
    }

    /// Removes its name; the kernel drops it when the last process in it is gone. Absent is fine.
    pub fn delete(&self) -> io::Result<()> {
        while self.exists() {
            umount2(&self.path, MntFlags::MNT_DETACH)?;
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Names of namespaces that begin with `prefix`.
    pub fn list(prefix: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(DIRECTORY) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        names
    }

    /// Runs `work` inside, on a thread of its own that ends with it. Commands started by `work` are inside too.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let file = File::open(&self.path)?;
        on_own_thread(move || {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })
        .and_then(|result| result)
    }

    /// [`run`](Self::run) for asynchronous callers.
    pub async fn run_async<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let netns = self.clone();
        tokio::task::spawn_blocking(move || netns.run(work)).await.map_err(io::Error::other)?
    }

    /// Listens inside.
    pub async fn listen_tcp(&self, address: SocketAddrV4) -> io::Result<tokio::net::TcpListener> {
        let listener = self.run_async(move || TcpListener::bind(address)).await??;
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener)
    }

    /// Opens a UDP socket inside.
    pub async fn bind_udp(&self, address: SocketAddrV4) -> io::Result<tokio::net::UdpSocket> {
        let socket = self.run_async(move || UdpSocket::bind(address)).await??;
        socket.set_nonblocking(true)?;
        tokio::net::UdpSocket::from_std(socket)
    }

    /// Connects from inside, from `source` when given. Only the socket is made there; the rest is the caller's.
    pub async fn connect_tcp(
        &self,
        source: Option<SocketAddrV4>,
        to: SocketAddrV4,
    ) -> io::Result<tokio::net::TcpStream> {
        let socket = self.run_async(tokio::net::TcpSocket::new_v4).await??;
        if let Some(source) = source {
            socket.set_reuseaddr(true)?;
            socket.bind(source.into())?;
        }
        socket.connect(to.into()).await
    }

    /// Writes kernel settings of this namespace: paths below `/proc/sys/net`.
    pub fn sysctl(&self, settings: &[(String, String)]) -> io::Result<()> {
        self.run(|| settings.iter().try_for_each(|(key, value)| write_setting(key, value)))?
    }

    /// The same for one setting of a kernel module that may not be loaded; then it does nothing.
    pub fn sysctl_if_there(&self, key: &str, value: &str) -> io::Result<()> {
        self.run(|| match write_setting(key, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            written => written,
        })?
    }
}

fn write_setting(key: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new("/proc/sys/net").join(key), value)
        .map_err(|e| io::Error::new(e.kind(), format!("net/{key} = {value}: {e}")))
}

fn is_namespace(file: &File) -> bool {
    nix::sys::statfs::fstatfs(file).is_ok_and(|s| s.filesystem_type() == nix::sys::statfs::NSFS_MAGIC)
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("a thread in a namespace panicked"))
    })
}
