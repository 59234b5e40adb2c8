//! Scenes of source addresses: which ports there are, when they are used up, how long a connection is remembered.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::fabric::plan::Checkpoint;
use ::fabric::{Direction, Endpoint, Fabric, Idle, LinuxFabric, Place, PortRange, Translation, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::network::{TIMED_OUT, apply, counter, deny, dropped, machine, network, order, subnet};
use crate::scenes::{Outcome, all_running, open, run, same, text};

/// A service on the internet that tells who asks for each byte it gets.
pub async fn mirror(fabric: &LinuxFabric, at: SocketAddrV4) -> Outcome {
    let listener = fabric.listen(Place::Internet, at).await.map_err(text)?;
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            tokio::spawn(async move {
                while stream.read_u8().await.is_ok() {
                    let _ = stream.write_all(peer.to_string().as_bytes()).await;
                }
            });
        }
    });
    Ok(())
}

pub fn ports() -> Outcome {
    run("p", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let services = [443, 444].map(|port| SocketAddrV4::new(Ipv4Addr::new(20, 1, 0, 4), port));
        for service in services {
            mirror(&fabric, service).await?;
        }
        let mut a = machine("/v", "s", "10.0.0.4");
        a.outbound = vec![Ipv4Addr::new(20, 2, 0, 7)];
        let ports = |last| Some(PortRange { first: 2048, last });
        a.translation.ports = ports(2051);
        let b = machine("/v", "t", "10.0.1.4");
        let mut wish = Wanted {
            networks: vec![network(
                "/v",
                "10.0.0.0/16",
                vec![subnet("s", "10.0.0.0/24"), subnet("t", "10.0.1.0/24")],
            )],
            machines: vec![a.clone(), b.clone()],
            ..Wanted::default()
        };
        wish.networks[0].subnets[1].nat = (8..12).map(|last| Ipv4Addr::new(20, 2, 0, last)).collect();
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        let mut used = std::collections::BTreeSet::new();
        for name in 0..4 {
            let seen = order(&fabric, &a, &format!("hold {name} {}", services[0])).await?;
            used.insert(seen);
        }
        let expected: Vec<String> = (2048..=2051).map(|port| format!("20.2.0.7:{port}")).collect();
        same(&used.into_iter().collect::<Vec<_>>().join(" "), &expected.join(" "))?;
        same(&order(&fabric, &a, &format!("hold 4 {}", services[0])).await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "snat-ports-exhausted", &Checkpoint::Network).await?;
        // A port serves as many destinations as there are.
        let seen = order(&fabric, &a, &format!("hold 5 {}", services[1])).await?;
        same(seen.split(':').next().unwrap_or_default(), "20.2.0.7")?;
        // More ports: the same connection passes, and those that were there go on.
        wish.machines[0].translation.ports = ports(2055);
        apply(&fabric, &mut wish).await?;
        let seen = order(&fabric, &a, &format!("hold 6 {}", services[0])).await?;
        same(seen.split(':').next().unwrap_or_default(), "20.2.0.7")?;
        let seen = order(&fabric, &a, "say 0").await?;
        same(&expected.contains(&seen).to_string(), "true")?;
        // None at all.
        wish.machines[0].translation.ports = Some(PortRange { first: 1, last: 0 });
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, &format!("ask {}", services[0])).await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "snat-ports-exhausted", &Checkpoint::Network).await?;
        // All addresses of a NAT gateway are used.
        let mut addresses = std::collections::BTreeSet::new();
        for name in 0..8 {
            let seen = order(&fabric, &b, &format!("hold {name} {}", services[0])).await?;
            addresses.insert(seen.split(':').next().unwrap_or_default().to_owned());
        }
        let addresses = addresses.into_iter().collect::<Vec<_>>().join(" ");
        same(&addresses, "20.2.0.10 20.2.0.11 20.2.0.8 20.2.0.9")?;
        same(&counter(&fabric, "/v", "nat-gateway").await?.packets.to_string(), "8")
    })
}

pub fn idle() -> Outcome {
    run("q", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let service = SocketAddrV4::new(Ipv4Addr::new(20, 1, 0, 4), 443);
        mirror(&fabric, service).await?;
        let mut a = machine("/v", "s", "10.0.0.4");
        a.outbound = vec![Ipv4Addr::new(20, 2, 0, 7)];
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![a.clone()],
            ..Wanted::default()
        };
        let timed = |reset| Translation { ports: None, idle: Idle { after_s: 1, reset } };
        let timed_out = "error: Resource temporarily unavailable (os error 11)";
        for (number, (translation, expected)) in [
            (Translation::default(), "20.2.0.7"),
            (timed(true), "error: Connection reset by peer (os error 104)"),
            (timed(false), timed_out),
        ]
        .into_iter()
        .enumerate()
        {
            wish.machines[0].translation = translation;
            apply(&fabric, &mut wish).await?;
            all_running(&fabric, &wish).await?;
            let held = order(&fabric, &a, &format!("hold {number} {service}")).await?;
            same(held.split(':').next().unwrap_or_default(), "20.2.0.7")?;
            // Nothing is said for longer than the connection is remembered: the time itself is what is tested.
            tokio::time::sleep(Duration::from_millis(2100)).await;
            let said = order(&fabric, &a, &format!("say {number}")).await?;
            same(said.split(':').next().filter(|_| number == 0).unwrap_or(&said), expected)?;
            if number > 0 && counter(&fabric, "/v", "idle-timeout").await?.packets == 0 {
                return Err("nothing counted".into());
            }
        }
        Ok(())
    })
}

pub fn endpoint() -> Outcome {
    run("t", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let service = SocketAddrV4::new(Ipv4Addr::new(20, 1, 0, 4), 443);
        mirror(&fabric, service).await?;
        let a = machine("/v", "s", "10.0.0.4");
        let subnets = vec![subnet("s", "10.0.0.0/24"), subnet("t", "10.0.1.0/24")];
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", subnets)],
            machines: vec![a.clone()],
            ..Wanted::default()
        };
        wish.networks[0].subnets[1].rules = vec![deny("not-to-vaults", Direction::Inbound, 443)];
        wish.networks[0].endpoints = vec![Endpoint {
            name: "vault".into(),
            address: Ipv4Addr::new(10, 0, 1, 9),
            target: *service.ip(),
            guarded: false,
            routed: false,
        }];
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        // Without the policy groups do not see what goes to endpoints.
        let seen = order(&fabric, &a, "hold 1 10.0.1.9:443").await?;
        same(seen.split('.').next().unwrap_or_default(), "100")?;
        wish.networks[0].endpoints[0].guarded = true;
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "hold 2 10.0.1.9:443").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "not-to-vaults", &Checkpoint::Subnets(vec!["t".into()])).await?;
        same(&order(&fabric, &a, "say 1").await?, &seen)
    })
}
