//! Record sets: A, AAAA, CNAME, MX, PTR, SOA, SRV, TXT; a type each, since ids carry the kind.
//!
//! Machines of networks linked with registration have A records that are computed, stored nowhere.

use arm::{
    ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, Resources, TypeDescriptor, Written,
};
use async_trait::async_trait;
use fabric::{NameData, NameRecord};
use serde_json::{Value, json};

use super::{API_VERSIONS, registered};
use crate::json::{default, flag, list, number, remove, set, text};

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `A`.
    pub name: &'static str,
    full_type: &'static str,
    /// `aRecords`.
    member: &'static str,
}

macro_rules! kinds {
    ($($name:literal $member:literal),* $(,)?) => {
        /// Every kind of record that a private zone can hold.
        pub const KINDS: &[Kind] = &[$(Kind {
            name: $name,
            full_type: concat!("Microsoft.Network/privateDnsZones/", $name),
            member: $member,
        }),*];
    };
}
kinds!(
    "A" "aRecords", "AAAA" "aaaaRecords", "CNAME" "cnameRecord", "MX" "mxRecords", "PTR" "ptrRecords",
    "SOA" "soaRecord", "SRV" "srvRecords", "TXT" "txtRecords",
);

/// Time to live when a client says none, seconds.
const TTL_S: u32 = 3600;
/// Time to live of what is entered by itself, seconds.
const REGISTERED_TTL_S: u32 = 10;
/// Records of one set.
const RECORDS_MAX: usize = 20;

/// `Microsoft.Network/privateDnsZones/<kind>`.
pub struct Records(pub Kind);

fn bad(message: String) -> ArmError {
    ArmError::bad_request("BadRequest", message)
}

/// What a record set says, as the fabric answers it.
pub fn data(set: &Resource) -> Vec<NameRecord> {
    let properties = &set.properties;
    let ttl_s = number(properties, "/ttl").and_then(|n| u32::try_from(n).ok()).unwrap_or(TTL_S);
    let mut found: Vec<NameData> = Vec::new();
    let each = |member: &str| list(properties, &format!("/{member}")).iter();
    let small = |value: &Value, pointer: &str| number(value, pointer).and_then(|n| u16::try_from(n).ok());
    found.extend(each("aRecords").filter_map(|r| Some(NameData::A(text(r, "/ipv4Address")?.parse().ok()?))));
    found.extend(
        each("aaaaRecords").filter_map(|r| Some(NameData::Aaaa(text(r, "/ipv6Address")?.parse().ok()?))),
    );
    found.extend(text(properties, "/cnameRecord/cname").map(|name| NameData::Cname(name.to_owned())));
    found.extend(each("ptrRecords").filter_map(|r| Some(NameData::Ptr(text(r, "/ptrdname")?.to_owned()))));
    found.extend(each("mxRecords").filter_map(|r| {
        let exchange = text(r, "/exchange")?.to_owned();
        Some(NameData::Mx { preference: small(r, "/preference")?, exchange })
    }));
    found.extend(each("srvRecords").filter_map(|r| {
        Some(NameData::Srv {
            priority: small(r, "/priority")?,
            weight: small(r, "/weight")?,
            port: small(r, "/port")?,
            target: text(r, "/target")?.to_owned(),
        })
    }));
    found.extend(each("txtRecords").map(|r| {
        let parts = list(r, "/value").iter().filter_map(Value::as_str).map(str::to_owned);
        NameData::Txt(parts.collect())
    }));
    found.extend(properties.get("soaRecord").and_then(|soa| {
        let signed = |pointer: &str| number(soa, pointer).and_then(|n| i32::try_from(n).ok());
        let unsigned = |pointer: &str| number(soa, pointer).and_then(|n| u32::try_from(n).ok());
        Some(NameData::Soa {
            host: text(soa, "/host")?.to_owned(),
            email: text(soa, "/email")?.to_owned(),
            serial: unsigned("/serialNumber")?,
            refresh_s: signed("/refreshTime")?,
            retry_s: signed("/retryTime")?,
            expire_s: signed("/expireTime")?,
            minimum_ttl_s: unsigned("/minimumTtl")?,
        })
    }));
    found.into_iter().map(|data| NameRecord { name: set.name.clone(), ttl_s, data }).collect()
}

/// The record sets that a zone enters by itself, without those that somebody wrote.
fn automatic(resources: &Resources, zone: &ResourceId) -> Vec<Resource> {
    let mut made: Vec<Resource> = Vec::new();
    for instance in registered(resources, zone) {
        let id = zone.child("A", &instance.computer_name.to_ascii_lowercase());
        if resources.exists(&id) || made.iter().any(|other| other.id == id) {
            continue;
        }
        let mut set = Resource::new(id);
        set.properties = json!({
            "ttl": REGISTERED_TTL_S, "isAutoRegistered": true, "aRecords": [{ "ipv4Address": instance.address }],
        });
        set.etag = format!("{}", uuid::Uuid::from_u128(u128::from(u32::from(instance.address))));
        made.push(set);
    }
    made
}

/// Every record set of a zone.
pub fn sets(resources: &Resources, zone: &ResourceId) -> Vec<Resource> {
    let known = |set: &Resource| KINDS.iter().any(|kind| set.kind_type.eq_ignore_ascii_case(kind.full_type));
    let mut found: Vec<Resource> =
        resources.list(zone).iter().filter(|set| known(set)).map(|set| (**set).clone()).collect();
    found.extend(automatic(resources, zone));
    found
}

/// How many record sets a zone has.
pub fn count(resources: &Resources, zone: &ResourceId) -> usize {
    sets(resources, zone).len()
}

fn shown(set: &Resource) -> Value {
    let mut shown = set.to_json();
    let zone = set.id.top();
    let fqdn = match set.name.as_str() {
        "@" => format!("{}.", zone.name()),
        below => format!("{below}.{}.", zone.name()),
    };
    set_members(&mut shown, &fqdn);
    // Clients add to the list that they read, also to an empty one.
    let kind = KINDS.iter().find(|kind| set.kind_type.eq_ignore_ascii_case(kind.full_type));
    if let Some(kind) = kind.filter(|kind| kind.member.ends_with('s')) {
        default(&mut shown, &["properties", kind.member], json!([]));
    }
    default(&mut shown, &["properties", "metadata"], json!({}));
    shown
}

fn set_members(shown: &mut Value, fqdn: &str) {
    set(shown, &["properties", "fqdn"], fqdn);
    let auto = flag(shown, "/properties/isAutoRegistered");
    set(shown, &["properties", "isAutoRegistered"], auto);
}

/// Every record set of a zone as it is shown; `$recordsetnamesuffix` of the query filters.
pub fn all(ctx: &Ctx, zone: &ResourceId) -> Vec<Value> {
    let suffix = ctx.query("$recordsetnamesuffix").unwrap_or_default().to_ascii_lowercase();
    sets(&ctx.resources, zone)
        .iter()
        .filter(|set| set.name.to_ascii_lowercase().ends_with(&suffix))
        .map(|set| {
            let mut value = shown(set);
            value["etag"] = json!(format!("\"{}\"", set.etag));
            value
        })
        .collect()
}

fn check(ctx: &Ctx, kind: Kind, set: &Resource) -> Result<(), ArmError> {
    let zone = set.id.top();
    let properties = &set.properties;
    let ttl = number(properties, "/ttl").unwrap_or(0);
    if !(0..=i64::from(i32::MAX)).contains(&ttl) {
        return Err(bad(format!("The TTL '{ttl}' of record set '{}' is invalid.", set.name)));
    }
    let written = list(properties, &format!("/{}", kind.member)).len();
    if written > RECORDS_MAX {
        return Err(bad(format!(
            "The record set '{}' has {written} records; at most {RECORDS_MAX} are allowed.",
            set.name
        )));
    }
    let understood = data(set).len();
    let single = matches!(kind.name, "CNAME" | "SOA");
    let expected = if single { usize::from(properties.get(kind.member).is_some()) } else { written };
    if understood != expected {
        return Err(bad(format!(
            "The record set '{}' of type '{}' has invalid records.",
            set.name, kind.name
        )));
    }
    if let Some(other) = KINDS.iter().find(|other| **other != kind && !set_is_empty(properties, other)) {
        return Err(bad(format!("A record set of type '{}' cannot have '{}'.", kind.name, other.member)));
    }
    if kind.name == "SOA" && set.name != "@" || kind.name == "CNAME" && set.name == "@" {
        return Err(bad(format!(
            "A record set of type '{}' cannot have the name '{}'.",
            kind.name, set.name
        )));
    }
    let neighbours = KINDS
        .iter()
        .filter(|other| **other != kind)
        .filter(|other| ctx.resources.exists(&zone.child(other.name, &set.name)));
    for other in neighbours {
        if kind.name == "CNAME" || other.name == "CNAME" {
            return Err(ArmError::conflict(
                "Conflict",
                format!(
                    "The record could not be created because a {} record with the same name already exists in \
                     this zone.",
                    other.name
                ),
            ));
        }
    }
    Ok(())
}

fn set_is_empty(properties: &Value, kind: &Kind) -> bool {
    match properties.get(kind.member) {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

#[async_trait]
impl ResourceType for Records {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            etag: Some("etag"),
            name_pattern: Some(r"@|\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"),
            ..TypeDescriptor::new(self.0.full_type, API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let mut records = request.resource();
        for computed in ["fqdn", "isAutoRegistered"] {
            remove(&mut records.properties, &[computed]);
        }
        // What is empty is shown and not kept, so that who sends back what he was shown changes nothing.
        let empty = |value: &Value| match value {
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            other => other.is_null(),
        };
        for member in [self.0.member, "metadata"] {
            if records.properties.get(member).is_some_and(empty) {
                remove(&mut records.properties, &[member]);
            }
        }
        if number(&records.properties, "/ttl").is_none() {
            set(&mut records.properties, &["ttl"], TTL_S);
        }
        if self.0.name == "SOA"
            && let Some(Value::Object(old)) = request.existing.and_then(|e| e.properties.get("soaRecord"))
        {
            for (member, value) in old {
                // Clients cannot name another server, and what they leave out stays: az leaves out the least time to live.
                let given = records.properties.pointer(&format!("/soaRecord/{member}"));
                if member == "host" || given.is_none_or(Value::is_null) {
                    set(&mut records.properties, &["soaRecord", member.as_str()], value.clone());
                }
            }
        }
        check(ctx, self.0, &records)?;
        Ok(Written::Done(records))
    }

    async fn delete(&self, _: &Ctx, existing: &Resource) -> Result<Deleted, ArmError> {
        if self.0.name == "SOA" {
            return Err(bad("The SOA record set at the apex of a zone cannot be deleted.".to_owned()));
        }
        if flag(&existing.properties, "/isAutoRegistered") {
            return Err(bad(format!(
                "The record set '{}' is auto-registered and goes with its machine.",
                existing.name
            )));
        }
        Ok(Deleted::Done)
    }

    async fn get(&self, ctx: &Ctx, id: &ResourceId) -> Result<Option<Resource>, ArmError> {
        if let Some(stored) = ctx.resources.get(id) {
            return Ok(Some((*stored).clone()));
        }
        if self.0.name != "A" {
            return Ok(None);
        }
        Ok(automatic(&ctx.resources, &id.top()).into_iter().find(|set| set.id == *id))
    }

    async fn list(&self, ctx: &Ctx, scope: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        let mut found = sets(&ctx.resources, scope);
        found.retain(|set| set.kind_type.eq_ignore_ascii_case(self.0.full_type));
        Ok(found)
    }

    fn present(&self, _: &Ctx, resource: &Resource) -> Value {
        shown(resource)
    }
}
