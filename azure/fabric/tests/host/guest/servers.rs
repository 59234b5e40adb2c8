//! Servers that a test asks for.

use std::io::{Error, Read, Result, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio_rustls::rustls::{ServerConnection, StreamOwned};

static STATUS: AtomicU16 = AtomicU16::new(200);

/// On `port`: whatever is said, the answer is who was asked, under which address, by whom.
pub fn echo(port: &str) -> Result<()> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let name = name.trim().to_owned();
            std::thread::spawn(move || {
                let mut said = [0; 64];
                while stream.read(&mut said).is_ok_and(|length| length > 0) {
                    let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return };
                    let _ = stream.write_all(format!("{name} at {local} from {}", peer.ip()).as_bytes());
                }
            });
        }
    });
    Ok(())
}

/// `http|https PORT STATUS` serves; without a port the status of all of them is changed.
pub fn health(protocol: &str, port: &str, status: &str) -> Result<String> {
    if protocol == "is" {
        STATUS.store(port.parse().map_err(Error::other)?, Ordering::Relaxed);
        return Ok("ok".into());
    }
    STATUS.store(status.parse().map_err(Error::other)?, Ordering::Relaxed);
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    let tls = match protocol {
        "https" => Some(certificates()?),
        _ => None,
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = tls.clone();
            std::thread::spawn(move || match tls {
                None => answer(stream),
                Some(config) => match ServerConnection::new(config) {
                    Ok(connection) => answer(StreamOwned::new(connection, stream)),
                    Err(_) => Ok(()),
                },
            });
        }
    });
    Ok("ok".into())
}

fn answer(mut stream: impl Read + Write) -> Result<()> {
    let asked = stream.read(&mut [0; 512])?;
    let status = STATUS.load(Ordering::Relaxed);
    if asked > 0 {
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
    }
    stream.flush()
}

/// A certificate that nobody vouches for.
fn certificates() -> Result<Arc<tokio_rustls::rustls::ServerConfig>> {
    let authority = kit::pki::Authority::new("nobody", Duration::from_secs(3600)).map_err(Error::other)?;
    let leaf = kit::pki::Leaf {
        common_name: "health".into(),
        organizations: Vec::new(),
        dns_names: vec!["health".into()],
        addresses: Vec::new(),
        usage: kit::pki::Usage::Server,
        valid: Duration::from_secs(3600),
    };
    let issued = authority.issue(&leaf).map_err(Error::other)?;
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&issued.certificate_pem, &issued.key_pem).map_err(Error::other)?;
    kit::tls::server(certificates).map_err(Error::other)
}
