//! Waiting for a file to appear, without polling.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

struct Watched(Inotify);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Returns when `directory/name` exists, whatever it is. Whole content: only when it is moved there.
pub async fn file_appears(directory: &Path, name: &str) -> io::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let what = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
    inotify.add_watch(directory, what)?;
    // SAFETY: the wrapper owns the descriptor and always returns the same one.
    let fd = unsafe { AsyncFd::register_with_interest(Watched(inotify), Interest::READABLE) }
        .map_err(io::Error::other)?;
    while !directory.join(name).exists() {
        let mut ready = fd.readable().await?;
        match fd.get_ref().0.read_events() {
            Ok(_) => {}
            Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The changes of a directory: files written, moved there or removed.
pub struct Directory(AsyncFd<Watched>);

impl Directory {
    /// Watches from now on.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let what = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE;
        inotify.add_watch(directory, what)?;
        // SAFETY: the wrapper owns the descriptor and always returns the same one.
        let fd = unsafe { AsyncFd::register_with_interest(Watched(inotify), Interest::READABLE) };
        Ok(Self(fd.map_err(io::Error::other)?))
    }

    /// Returns after the next change; changes between two calls are not lost.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match self.0.get_ref().0.read_events() {
                Ok(_) => return Ok(()),
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
