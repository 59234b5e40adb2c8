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

/// Returns when `directory/name` exists (with its content, when it was moved there or closed after writing).
pub async fn file_appears(directory: &Path, name: &str) -> io::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(directory, AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO)?;
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
