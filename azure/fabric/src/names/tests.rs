use hickory_proto::op::Query;

use super::*;
use crate::wanted::Zone;

fn wanted() -> Wanted {
    let record = |name: &str, data| NameRecord { name: name.into(), ttl_s: 60, data };
    let a = |last| NameData::A(Ipv4Addr::new(10, 0, 0, last));
    let soa = NameData::Soa {
        host: "azureprivatedns.net".into(),
        email: "azureprivatedns-host.microsoft.com".into(),
        serial: 1,
        refresh_s: 3600,
        retry_s: 300,
        expire_s: 2_419_200,
        minimum_ttl_s: 10,
    };
    let linked = NetworkId::of("/linked");
    Wanted {
        names: vec![
            ("*.azurecr.io".into(), Ipv4Addr::new(20, 0, 0, 10)),
            ("v.vault.azure.net".into(), Ipv4Addr::new(20, 0, 0, 10)),
        ],
        aliases: vec![("v.vault.azure.net".into(), "v.privatelink.vaultcore.azure.net".into())],
        zones: vec![
            Zone {
                name: "contoso.internal".into(),
                networks: vec![linked.clone()],
                falling_back: vec![],
                records: vec![
                    record("@", soa),
                    record("web", a(4)),
                    record("web", a(5)),
                    record("www", NameData::Cname("web.contoso.internal".into())),
                    record("loop", NameData::Cname("loop.contoso.internal".into())),
                    record("*.apps", a(9)),
                    record("one.deep.apps", a(8)),
                    record("txt", NameData::Txt(vec!["v=1".into(), "x".repeat(255)])),
                    record("@", NameData::Mx { preference: 10, exchange: "mail.contoso.internal".into() }),
                    record(
                        "_ldap._tcp",
                        NameData::Srv {
                            priority: 1,
                            weight: 2,
                            port: 389,
                            target: "web.contoso.internal".into(),
                        },
                    ),
                ],
            },
            Zone {
                name: "privatelink.vaultcore.azure.net".into(),
                networks: vec![linked.clone()],
                falling_back: vec![linked],
                records: vec![record("v", a(7))],
            },
        ],
        ..Wanted::default()
    }
}

/// `CODE answer; answer / authority` of a question asked in a network.
fn ask(network: &str, name: &str, kind: RecordType) -> String {
    let mut question = Message::query();
    question.add_query(Query::query(full(name).unwrap(), kind));
    let names = Names::of(&wanted(), &NetworkId::of(network));
    let answer = names.answer_bytes(&question.to_vec().unwrap(), false).unwrap();
    let reply = Message::from_vec(&answer).unwrap();
    let answers: Vec<String> =
        reply.answers.iter().map(|r| format!("{} {}", r.record_type(), r.data)).collect();
    let authority = if reply.authorities.is_empty() { "" } else { " / SOA" };
    format!("{:?} {}{authority}", reply.metadata.response_code, answers.join("; "))
}

#[test]
fn a_private_zone_answers_where_it_is_linked() {
    use RecordType as T;
    for (network, name, kind, expected) in [
        ("/linked", "web.contoso.internal", T::A, "NoError A 10.0.0.4; A 10.0.0.5"),
        ("/linked", "WEB.Contoso.Internal", T::A, "NoError A 10.0.0.4; A 10.0.0.5"),
        ("/other", "web.contoso.internal", T::A, "NXDomain "),
        (
            "/linked",
            "www.contoso.internal",
            T::A,
            "NoError CNAME web.contoso.internal.; A 10.0.0.4; A 10.0.0.5",
        ),
        ("/linked", "www.contoso.internal", T::CNAME, "NoError CNAME web.contoso.internal."),
        ("/linked", "web.contoso.internal", T::AAAA, "NoError  / SOA"),
        ("/linked", "no.contoso.internal", T::A, "NXDomain  / SOA"),
        ("/linked", "x.y.apps.contoso.internal", T::A, "NoError A 10.0.0.9"),
        ("/linked", "deep.apps.contoso.internal", T::A, "NoError  / SOA"),
        ("/linked", "two.deep.apps.contoso.internal", T::A, "NXDomain  / SOA"),
        ("/linked", "contoso.internal", T::MX, "NoError MX 10 mail.contoso.internal."),
        ("/linked", "_ldap._tcp.contoso.internal", T::SRV, "NoError SRV 1 2 389 web.contoso.internal."),
        ("/linked", "a.azurecr.io", T::A, "NoError A 20.0.0.10"),
        ("/linked", "example.org", T::A, "NXDomain "),
        (
            "/linked",
            "v.vault.azure.net",
            T::A,
            "NoError CNAME v.privatelink.vaultcore.azure.net.; A 10.0.0.7",
        ),
        ("/other", "v.vault.azure.net", T::A, "NoError A 20.0.0.10"),
    ] {
        assert_eq!(ask(network, name, kind), expected, "{name} {kind} in {network}");
    }
}

#[test]
fn aliases_end_and_what_is_too_long_says_so() {
    assert!(
        ask("/linked", "loop.contoso.internal", RecordType::A).matches("CNAME").count() <= ALIASES_MAX + 1
    );
    let mut wanted = wanted();
    let long = NameRecord { name: "long".into(), ttl_s: 1, data: NameData::Txt(vec!["x".repeat(250); 4]) };
    wanted.zones[0].records.push(long);
    let names = Names::of(&wanted, &NetworkId::of("/linked"));
    let mut question = Message::query();
    question.add_query(Query::query(full("long.contoso.internal").unwrap(), RecordType::TXT));
    let bytes = question.to_vec().unwrap();
    let cut = Message::from_vec(&names.answer_bytes(&bytes, true).unwrap()).unwrap();
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let whole = Message::from_vec(&names.answer_bytes(&bytes, false).unwrap()).unwrap();
    assert_eq!(whole.answers.len(), 1);
    for end in 0..bytes.len() {
        let _ = names.answer_bytes(&bytes[..end], true);
    }
    assert_eq!(names.answer_bytes(&[0; 5], true), None);
}
