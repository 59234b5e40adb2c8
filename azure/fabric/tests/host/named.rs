//! Scenes of names: what private zones answer and where, and whom machines ask.

use std::net::Ipv4Addr;

use ::fabric::{LinuxFabric, Machine, NameData, NameRecord, NetworkId, Power, Wanted, Zone};

use crate::network::{apply, machine, network, order, subnet};
use crate::scenes::{Outcome, all_running, open, run, same};

const ZONE: &str = "contoso.internal";
const REVERSE: &str = "0.0.10.in-addr.arpa";

/// One record of each kind, and what is answered.
fn kinds() -> Vec<(&'static str, NameRecord, &'static str)> {
    let record = |name: &str, data| NameRecord { name: name.into(), ttl_s: 30, data };
    let db = || "db.contoso.internal".to_owned();
    vec![
        ("A", record("db", NameData::A(Ipv4Addr::new(10, 0, 0, 77))), "A 10.0.0.77"),
        ("AAAA", record("six", NameData::Aaaa("fd00::7".parse().unwrap())), "AAAA fd00::7"),
        ("CNAME", record("www", NameData::Cname(db())), "CNAME db.contoso.internal."),
        ("MX", record("post", NameData::Mx { preference: 10, exchange: db() }), "MX 10 db.contoso.internal."),
        (
            "SRV",
            record("_sql._tcp", NameData::Srv { priority: 1, weight: 2, port: 1433, target: db() }),
            "SRV 1 2 1433 db.contoso.internal.",
        ),
        ("TXT", record("text", NameData::Txt(vec!["v=1".into()])), "TXT v=1"),
    ]
}

async fn check(fabric: &LinuxFabric, from: &Machine, linked: bool) -> Outcome {
    let reverse = ("PTR", format!("77.{REVERSE}"), "PTR db.contoso.internal.");
    let asked = kinds().into_iter().map(|(kind, r, answer)| (kind, format!("{}.{ZONE}", r.name), answer));
    for (kind, name, answer) in asked.chain([reverse]) {
        let expected = match linked {
            true => format!("NoError {answer}"),
            false => "NXDomain ".to_owned(),
        };
        same(&order(fabric, from, &format!("lookup {kind} {name}")).await?, &expected)
            .map_err(|error| format!("{kind} {name}: {error}"))?;
    }
    Ok(())
}

pub fn records() -> Outcome {
    run("w", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b) = (machine("/a", "s", "10.0.0.4"), machine("/b", "s", "10.1.0.4"));
        let zone = |name: &str, records| Zone {
            name: name.into(),
            networks: vec![NetworkId::of("/a")],
            records,
            falling_back: Vec::new(),
        };
        let pointer = NameData::Ptr("db.contoso.internal".into());
        let mut wish = Wanted {
            networks: vec![
                network("/a", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")]),
                network("/b", "10.1.0.0/16", vec![subnet("s", "10.1.0.0/24")]),
            ],
            machines: vec![a.clone(), b.clone()],
            zones: vec![
                zone(ZONE, kinds().into_iter().map(|(_, record, _)| record).collect()),
                zone(REVERSE, vec![NameRecord { name: "77".into(), ttl_s: 30, data: pointer }]),
            ],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        check(&fabric, &a, true).await?;
        check(&fabric, &b, false).await?;
        // Links move: who was answered is not any more.
        wish.zones.iter_mut().for_each(|zone| zone.networks = vec![NetworkId::of("/b")]);
        apply(&fabric, &mut wish).await?;
        check(&fabric, &a, false).await?;
        check(&fabric, &b, true).await
    })
}

pub fn servers() -> Outcome {
    run("x", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, own) = (machine("/v", "s", "10.0.0.4"), machine("/v", "s", "10.0.0.5"));
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![a.clone(), own.clone()],
            names: vec![("management.azure.com".into(), Ipv4Addr::new(20, 0, 0, 10))],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &own, "names 10.9.9.9").await?, "ok")?;
        let platform = "NoError A 20.0.0.10";
        same(&order(&fabric, &a, "lookup A management.azure.com").await?, platform)?;
        wish.networks[0].dns_servers = vec![own.address];
        apply(&fabric, &mut wish).await?;
        // As on Azure a machine that runs learns of it when it starts again.
        same(&order(&fabric, &a, "lookup A management.azure.com").await?, platform)?;
        restart(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "lookup A management.azure.com").await?, "NoError A 10.9.9.9")?;
        // What the platform says is there for who asks it, as a forwarding server does.
        same(&order(&fabric, &a, "lookup A management.azure.com 168.63.129.16").await?, platform)?;
        wish.networks[0].dns_servers.clear();
        apply(&fabric, &mut wish).await?;
        restart(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "lookup A management.azure.com").await?, platform)
    })
}

/// Turns the first machine off and on.
async fn restart(fabric: &LinuxFabric, wish: &mut Wanted) -> Outcome {
    for power in [Power::Off, Power::On] {
        wish.machines[0].power = power;
        apply(fabric, wish).await?;
    }
    all_running(fabric, wish).await
}
