//! Processes that are surely the ones meant: pid, start time and boot together.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process, not to be confused with a later one of the same pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
    pub start_time: u64,
    /// Which boot of the host that was.
    pub boot_id: String,
}

/// The identity of this boot of the host.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// State letter and start time of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may contain anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

impl Process {
    /// The process that has this pid now.
    pub fn of(pid: i32) -> io::Result<Self> {
        let (_, start_time) = stat(pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, start_time, boot_id: boot_id()? })
    }

    /// Whether it still runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|boot| boot == self.boot_id)
            && stat(self.pid)
                .is_some_and(|(state, start)| start == self.start_time && !matches!(state, 'Z' | 'X'))
    }

    /// Sends a signal through a pidfd, so that it never hits another process. `Ok(false)`: it was gone.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(fd) = self.open()? else { return Ok(false) };
        // SAFETY: a plain system call on a pidfd that we own; the null siginfo means "as kill(2) would".
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                fd.as_raw_fd(),
                signal as i32,
                std::ptr::null::<u8>(),
                0,
            )
        };
        match sent {
            0 => Ok(true),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
                error => Err(error),
            },
        }
    }

    /// Returns when it has ended; at once when it is gone.
    pub async fn ended(&self) -> io::Result<()> {
        let Some(fd) = self.open()? else { return Ok(()) };
        // SAFETY: the value is the descriptor itself, so it is open exactly as long as it is registered.
        let fd =
            unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::other)?;
        fd.readable().await.map(drop)
    }

    fn open(&self) -> io::Result<Option<OwnedFd>> {
        // SAFETY: a plain system call; the result is checked before it becomes a descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        if fd < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
        }
        // SAFETY: the kernel just gave us this descriptor and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
        // Only now is the pid pinned: if the start time is still right, the descriptor is the process meant.
        Ok(self.is_alive().then_some(fd))
    }
}

/// The two sides of [`fork`].
pub(crate) enum Forked {
    /// In the parent: the child's pid.
    Parent(i32),
    /// In the child.
    Child,
}

/// Forks a process that has one thread.
pub(crate) fn fork() -> io::Result<Forked> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads cannot fork"));
    }
    // SAFETY: this process has one thread (checked above), so the child inherits no lock held by another.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Forked::Parent(child.as_raw())),
        nix::unistd::ForkResult::Child => Ok(Forked::Child),
    }
}

/// Takes capabilities (by number) out of the bounding set: nothing started from here can have them.
pub(crate) fn drop_from_bounding_set(capabilities: &[i32]) -> io::Result<()> {
    for capability in capabilities {
        // SAFETY: a plain system call with integer arguments.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *capability, 0, 0, 0) };
        if dropped != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Whether this process may do what making namespaces needs.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// What a first process does in its pid namespace: reaps every child and hands on SIGTERM, SIGINT and SIGHUP,
/// until the child `main` ends. Its status is the result: the exit code, or 128 + signal.
///
/// Call it on the only thread, before any other is started.
pub fn reap_until_ends(main: i32) -> io::Result<i32> {
    use nix::sys::signal::{SigSet, SigmaskHow, kill, sigprocmask};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::Pid;
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    loop {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid.as_raw() == main => return Ok(code),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw() == main => {
                    return Ok(128 + signal as i32);
                }
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match set.wait()? {
            Signal::SIGCHLD => {}
            signal => drop(kill(Pid::from_raw(main), signal)),
        }
    }
}

/// Unblocks all signals: [`reap_until_ends`] blocks some, and a child inherits that.
pub fn unblock_signals() -> io::Result<()> {
    use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_seen_to_end_and_its_pid_is_not_trusted() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id() as i32).unwrap();
        assert!(process.is_alive());
        let imposter = Process { start_time: process.start_time + 1, ..process.clone() };
        assert!(!imposter.signal(Signal::SIGKILL).unwrap());
        assert!(process.signal(Signal::SIGKILL).unwrap());
        process.ended().await.unwrap();
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
