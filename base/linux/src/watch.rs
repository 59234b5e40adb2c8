//! Waiting for a file to appear, without polling.

use std::io;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

/// Returns when `directory/name` exists (with its content, when it was moved there or closed after writing).
pub async fn file_appears(directory: &Path, name: &str) -> io::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(directory, AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO)?;
    let fd = AsyncFd::register(inotify)?;
    while !directory.join(name).exists() {
        let mut ready = fd.readable().await?;
        match fd.get_ref().read_events() {
            Ok(_) => {}
            Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
