//! Connections that stay: opened with one order, spoken on with another.

use std::collections::BTreeMap;
use std::io::{Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{LazyLock, Mutex};

static HELD: LazyLock<Mutex<BTreeMap<String, TcpStream>>> = LazyLock::new(Mutex::default);

/// `NAME ADDRESS`: opens a connection and says the first line on it.
pub fn hold(rest: &str) -> Result<String> {
    let (name, to) = rest.split_once(' ').unwrap_or((rest, ""));
    let to: SocketAddr = to.parse().map_err(Error::other)?;
    let stream = TcpStream::connect_timeout(&to, super::LIMIT)?;
    stream.set_read_timeout(Some(super::LIMIT))?;
    HELD.lock().unwrap().insert(name.to_owned(), stream);
    say(name)
}

/// `NAME`: says a line on that connection; what comes back.
pub fn say(name: &str) -> Result<String> {
    let held = HELD.lock().unwrap();
    let mut stream = held.get(name).ok_or_else(|| Error::other("no such connection"))?;
    stream.write_all(b"x")?;
    let mut answer = [0; 200];
    match stream.read(&mut answer)? {
        0 => Err(Error::other("closed")),
        length => Ok(String::from_utf8_lossy(&answer[..length]).into_owned()),
    }
}
