//! Who has which address: a file per address, in a directory with a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::config::{NetworkConfig, PortMapping};
use crate::error::CniError;

const LAST: &str = "last";

/// Who has an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Owner {
    pub container: String,
    pub interface: String,
    pub ports: Vec<PortMapping>,
}

/// A network's addresses, locked while this value lives.
pub(crate) struct Pool {
    directory: PathBuf,
    subnet: Ipv4Net,
    _lock: Flock<File>,
}

fn failed(deed: &str, path: &Path) -> impl FnOnce(io::Error) -> CniError {
    let deed = format!("{deed} `{}`", path.display());
    move |source| CniError::State { deed, source }
}

impl Pool {
    pub fn open(state: &Path, config: &NetworkConfig) -> Result<Self, CniError> {
        let directory = state.join(&config.name);
        fs::create_dir_all(&directory).map_err(failed("create", &directory))?;
        let path = directory.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = Flock::lock(file.map_err(failed("open", &path))?, FlockArg::LockExclusive)
            .map_err(|(_, errno)| failed("lock", &path)(errno.into()))?;
        Ok(Self { directory, subnet: config.subnet.trunc(), _lock: lock })
    }

    fn file(&self, address: Ipv4Addr) -> PathBuf {
        self.directory.join(address.to_string())
    }

    fn sync(&self) -> Result<(), CniError> {
        File::open(&self.directory).and_then(|d| d.sync_all()).map_err(failed("sync", &self.directory))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CniError> {
        let temporary = self.directory.join(".new");
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        });
        written.map_err(failed("write", path))?;
        self.sync()
    }

    /// Every address that is taken.
    pub fn owners(&self) -> Result<Vec<(Ipv4Addr, Owner)>, CniError> {
        let mut owners = Vec::new();
        let entries = fs::read_dir(&self.directory).map_err(failed("read", &self.directory))?;
        for entry in entries.flatten() {
            let Some(address) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let bytes = fs::read(entry.path()).map_err(failed("read", &entry.path()))?;
            let owner = serde_json::from_slice(&bytes)
                .map_err(|source| failed("read", &entry.path())(source.into()))?;
            owners.push((address, owner));
        }
        owners.sort_by_key(|(address, _)| *address);
        Ok(owners)
    }

    /// The address of a container's interface.
    pub fn find(&self, container: &str, interface: &str) -> Result<Option<Ipv4Addr>, CniError> {
        let owners = self.owners()?;
        let mine =
            |(_, owner): &&(Ipv4Addr, Owner)| owner.container == container && owner.interface == interface;
        Ok(owners.iter().find(mine).map(|(address, _)| *address))
    }

    /// Gives an address, the next free one after the last given; a repeated ADD gets the one it has.
    pub fn take(&mut self, owner: &Owner) -> Result<Ipv4Addr, CniError> {
        let owners = self.owners()?;
        let bytes = serde_json::to_vec(owner)
            .map_err(|e| failed("encode an owner for", &self.directory)(e.into()))?;
        if let Some(address) = self.find(&owner.container, &owner.interface)? {
            self.write(&self.file(address), &bytes)?;
            return Ok(address);
        }
        let (first, last) = (u32::from(self.subnet.network()) + 2, u32::from(self.subnet.broadcast()) - 1);
        let previous: Option<Ipv4Addr> =
            fs::read_to_string(self.directory.join(LAST)).ok().and_then(|text| text.trim().parse().ok());
        let start = previous.map(u32::from).filter(|p| (first..last).contains(p)).map_or(first, |p| p + 1);
        let free = |number: &u32| !owners.iter().any(|(taken, _)| u32::from(*taken) == *number);
        let address = (start..=last)
            .chain(first..start)
            .find(free)
            .map(Ipv4Addr::from)
            .ok_or(CniError::Full(self.subnet))?;
        self.write(&self.file(address), &bytes)?;
        self.write(&self.directory.join(LAST), address.to_string().as_bytes())?;
        Ok(address)
    }

    /// Frees an interface's address, durably; whether it had host ports.
    pub fn free(&mut self, owner: &Owner) -> Result<bool, CniError> {
        let mut had_ports = false;
        for (address, taken) in self.owners()? {
            if taken.container == owner.container && taken.interface == owner.interface {
                let path = self.file(address);
                fs::remove_file(&path).map_err(failed("remove", &path))?;
                self.sync()?;
                had_ports |= !taken.ports.is_empty();
            }
        }
        Ok(had_ports)
    }
}
