//! Packets of which only is asked whether they pass.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

const LIMIT: Duration = Duration::from_millis(600);
/// A datagram may be lost on a busy host.
const DATAGRAMS: usize = 3;

/// `tcp:ADDRESS udp:ADDRESS …`, all at the same time: a `1` for each that passes.
pub fn all(rest: &str) -> Result<String> {
    let threads: Vec<_> = rest
        .split(' ')
        .map(|one| {
            let one = one.to_owned();
            std::thread::spawn(move || match one.split_once(':') {
                Some(("tcp", to)) => Ok(tcp(to.parse().map_err(Error::other)?)),
                Some(("udp", to)) => udp(to),
                _ => Err(Error::other(one)),
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| match thread.join() {
            Ok(passed) => passed.map(|passed| if passed { '1' } else { '0' }),
            Err(_) => Err(Error::other("a thread panicked")),
        })
        .collect()
}

fn tcp(to: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&to, LIMIT) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

fn udp(to: &str) -> Result<bool> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(LIMIT / DATAGRAMS as u32))?;
    for _ in 0..DATAGRAMS {
        socket.send(b"x")?;
        if socket.recv(&mut [0; 8]).is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Answers every datagram on these ports.
pub fn answer(ports: &str) -> Result<String> {
    for port in ports.split(' ') {
        let socket = UdpSocket::bind(format!("0.0.0.0:{port}"))?;
        std::thread::spawn(move || {
            let mut said = [0; 64];
            while let Ok((length, peer)) = socket.recv_from(&mut said) {
                let _ = socket.send_to(&said[..length], peer);
            }
        });
    }
    Ok("ok".into())
}

/// `PROTOCOL FROM TO`: one packet of that number.
pub fn raw(rest: &str) -> Result<String> {
    let words: Vec<&str> = rest.split(' ').collect();
    let [protocol, from, to] = words[..] else { return Err(Error::other("protocol, from and to")) };
    let address = |text: &str| text.parse::<Ipv4Addr>().map_err(Error::other);
    let (protocol, from, to) = (protocol.parse::<u8>().map_err(Error::other)?, address(from)?, address(to)?);
    // An echo request with its checksum; for the others it is as good as anything.
    let payload = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut packet = vec![0x45, 0, 0, 36, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    // The kernel writes length and checksum of the header.
    let fd = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw)?;
    let to = SockaddrIn::from(std::net::SocketAddrV4::new(to, 0));
    sendto(std::os::fd::AsRawFd::as_raw_fd(&fd), &packet, &to, MsgFlags::empty())?;
    Ok("ok".into())
}
