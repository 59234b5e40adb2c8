//! What runs in a test's machine: says that it is up, then obeys lines sent to port 7000.

mod held;
mod lookups;
mod servers;
mod tries;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(2);

/// The whole life of the machine.
pub fn boot() -> ExitCode {
    let orders = std::fs::read_to_string("/var/lib/waagent/custom-data").unwrap_or_default();
    println!("booting with `{orders}`");
    if let Some(code) = orders.strip_prefix("exit ") {
        println!("giving up");
        return ExitCode::from(code.trim().parse().unwrap_or(1));
    }
    let mut stop = nix::sys::signal::SigSet::empty();
    stop.add(nix::sys::signal::Signal::SIGTERM);
    stop.thread_block().expect("signals can be blocked");
    std::thread::spawn(move || {
        let _ = stop.wait();
        std::process::exit(0);
    });
    let listener = TcpListener::bind("0.0.0.0:7000").expect("port is free");
    std::fs::write("/run/lazurite/booted", "now").expect("booted is writable");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream));
    }
    ExitCode::SUCCESS
}

fn serve(mut stream: TcpStream) {
    let mut line = String::new();
    let _ = BufReader::new(&stream).read_line(&mut line);
    let reply = obey(line.trim()).unwrap_or_else(|error| format!("error: {error}"));
    let _ = stream.write_all(reply.as_bytes());
}

fn obey(line: &str) -> std::io::Result<String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "" => Ok(std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned()),
        "exists" => Ok(std::path::Path::new(rest).exists().to_string()),
        "read" => std::fs::read_to_string(rest),
        "write" => std::fs::write(rest, "written").map(|()| "ok".into()),
        "die" => std::process::exit(rest.parse().unwrap_or(1)),
        "address" => {
            // An address of its own, for a balancer's frontend.
            let line = format!("addr replace {rest}/32 dev lo");
            linux::ip::batch_here(&[line], linux::ip::Repeat::Strict).map_err(std::io::Error::other)?;
            Ok("ok".into())
        }
        "forward" => {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            Ok("ok".into())
        }
        "echo" => {
            servers::echo(rest)?;
            Ok("ok".into())
        }
        "health" => {
            let mut words = rest.split(' ');
            let mut word = || words.next().unwrap_or_default();
            servers::health(word(), word(), word())
        }
        "try" => tries::all(rest),
        "answer" => tries::answer(rest),
        "raw" => tries::raw(rest),
        "hold" => held::hold(rest),
        "say" => held::say(rest),
        "many" => {
            let (count, to) = rest.split_once(' ').unwrap_or(("1", rest));
            many(count.parse().map_err(std::io::Error::other)?, to)
        }
        "http-serve" => {
            let (port, status) = rest.split_once(' ').unwrap_or((rest, "200"));
            let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let _ = stream.read(&mut [0; 512]);
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
            Ok("ok".into())
        }
        "from" => {
            let (from, to) = rest.split_once(' ').unwrap_or((rest, ""));
            let line = format!("addr replace {from}/32 dev lo");
            linux::ip::batch_here(&[line], linux::ip::Repeat::Strict).map_err(std::io::Error::other)?;
            ask_from(from, to)
        }
        "ask" => ask(rest.parse().map_err(std::io::Error::other)?, ""),
        "http" => {
            let (to, path) = rest.split_once(' ').unwrap_or((rest, "/"));
            let head =
                format!("GET {path} HTTP/1.1\r\nHost: x\r\nMetadata: true\r\nConnection: close\r\n\r\n");
            ask(to.parse().map_err(std::io::Error::other)?, &head)
        }
        "name" => name(rest),
        "lookup" => lookups::lookup(rest),
        "names" => lookups::answer(rest),
        _ => Ok("what?".into()),
    }
}

/// Asks as often as told and says how often each answer came.
fn many(count: usize, to: &str) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().map_err(std::io::Error::other)?;
    let mut answers: std::collections::BTreeMap<String, usize> = Default::default();
    for _ in 0..count {
        *answers.entry(ask(to, "")?).or_default() += 1;
    }
    Ok(answers.iter().map(|(answer, count)| format!("{answer}={count}")).collect::<Vec<_>>().join(" "))
}

fn ask(to: SocketAddr, question: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(if question.is_empty() { b"\n" } else { question.as_bytes() })?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// Asks under another source address.
fn ask_from(from: &str, to: &str) -> std::io::Result<String> {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
    };
    use std::os::fd::AsRawFd;
    let address = |text: &str| text.parse::<std::net::SocketAddrV4>().map_err(std::io::Error::other);
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    let limit = nix::sys::time::TimeVal::new(2, 0);
    setsockopt(&fd, sockopt::SendTimeout, &limit)?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(address(&format!("{from}:0"))?))?;
    connect(fd.as_raw_fd(), &SockaddrIn::from(address(to)?))?;
    Ok("connected".into())
}

fn name(name: &str) -> std::io::Result<String> {
    let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.send_to(&query, "168.63.129.16:53")?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    match answer[7] {
        0 => Ok(format!("code {}", answer[3] & 15)),
        _ => {
            let a = &answer[length - 4..length];
            Ok(format!("{}.{}.{}.{}", a[0], a[1], a[2], a[3]))
        }
    }
}
