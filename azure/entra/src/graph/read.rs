//! Reading the directory.

use http::StatusCode;
use serde_json::{Value, json};

use super::filter::Filter;
use super::{Asked, Fault, Reply, list, shapes};
use crate::entra::Entra;
use crate::store::State;

impl Entra {
    /// Every object of a kind, as shown.
    fn all(&self, kind: &str) -> Option<Vec<Value>> {
        let (tenant, domain) = (self.tenant_id(), self.domain());
        let state = self.store.state.read();
        Some(match kind {
            "applications" => state.applications.values().map(|a| shapes::application(a, &domain)).collect(),
            "serviceprincipals" => state
                .principals
                .values()
                .map(|p| self.principal_json(p, state.application_of(&p.app_id), &tenant))
                .collect(),
            "users" => state.users.values().map(shapes::user).collect(),
            "groups" => state.groups.values().map(shapes::group).collect(),
            _ => return None,
        })
    }

    /// One object of a kind, by object id or by the kind's other key.
    pub(super) fn one(&self, kind: &str, key: &str) -> Result<Value, Fault> {
        let missing = || Fault::not_found(key);
        let (kind_name, inner) = keyed(kind);
        let key = inner.unwrap_or(key);
        let names: &[&str] = match kind_name {
            "users" => &["id", "userPrincipalName"],
            "applications" | "serviceprincipals" if inner.is_some() => &["appId"],
            _ => &["id"],
        };
        let found = self.all(kind_name).ok_or_else(|| Fault::not_implemented(kind_name))?;
        let fits =
            |o: &Value| names.iter().any(|n| o[*n].as_str().is_some_and(|v| v.eq_ignore_ascii_case(key)));
        found.into_iter().find(fits).ok_or_else(missing)
    }

    fn object(&self, id: &str) -> Option<Value> {
        ["serviceprincipals", "users", "groups", "applications"]
            .iter()
            .find_map(|kind| self.one(kind, id).ok())
    }

    pub(super) fn graph_read(&self, asked: &Asked<'_>, words: &[&str]) -> Reply {
        match words {
            ["me"] => self.me(asked),
            ["organization"] => list(vec![json!({
                "id": self.tenant_id(), "displayName": "Lazurite", "tenantType": "AAD",
                "verifiedDomains": [{"name": self.domain(), "isDefault": true, "isInitial": true, "type": "Managed", "capabilities": "Email"}]})]),
            ["domains"] => list(vec![
                json!({"id": self.domain(), "isDefault": true, "isInitial": true, "isVerified": true, "authenticationType": "Managed"}),
            ]),
            ["directoryobjects", id] => {
                self.object(id).map(|o| (StatusCode::OK, Some(o))).ok_or_else(|| Fault::not_found(id))
            }
            [kind] if !kind.contains('(') => {
                let filter = Filter::parse(asked.query("$filter"))?;
                let mut found = self.all(kind).ok_or_else(|| Fault::not_implemented(&format!("'{kind}'")))?;
                found.retain(|o| filter.fits(o));
                if let Some(top) = asked.query("$top").and_then(|t| t.parse().ok()) {
                    found.truncate(top);
                }
                list(found)
            }
            // Keys are taken from the path as sent: they may hold capitals.
            [kind] => self.one(kind, "").map(|o| (StatusCode::OK, Some(o))),
            [kind, _] => self.one(kind, asked.path[1]).map(|o| (StatusCode::OK, Some(o))),
            [kind, _, part] => self.part(kind, asked.path[1], part),
            _ => Err(Fault::not_implemented(&format!("'GET /{}'", asked.path.join("/")))),
        }
    }

    fn me(&self, asked: &Asked<'_>) -> Reply {
        if asked.caller.is_app {
            return Err(Fault::bad("/me request is only valid with delegated authentication flow."));
        }
        self.one("users", &asked.caller.oid).map(|o| (StatusCode::OK, Some(o)))
    }

    fn part(&self, kind: &str, key: &str, part: &str) -> Reply {
        let object = self.one(kind, key)?;
        let id = object["id"].as_str().unwrap_or("").to_owned();
        let state = self.store.state.read();
        match (kind, part) {
            ("groups", "members" | "transitivemembers") => {
                let members = state.groups.get(&id).map(|g| g.members.clone()).unwrap_or_default();
                drop(state);
                list(members.iter().filter_map(|m| self.object(m)).collect())
            }
            (_, "memberof" | "transitivememberof") => {
                let groups = direct(&state, &id, part == "transitivememberof");
                drop(state);
                list(groups.iter().filter_map(|g| self.one("groups", g).ok()).collect())
            }
            ("applications", "owners") => {
                let owners = state.applications.get(&id).map(|a| a.owners.clone()).unwrap_or_default();
                drop(state);
                list(owners.iter().filter_map(|o| self.object(o)).collect())
            }
            (
                _,
                "owners"
                | "ownedobjects"
                | "approleassignments"
                | "approleassignedto"
                | "oauth2permissiongrants",
            ) => list(Vec::new()),
            ("applications", "federatedidentitycredentials") => list(
                state
                    .applications
                    .get(&id)
                    .map(|a| a.federated.iter().map(shapes::federated).collect())
                    .unwrap_or_default(),
            ),
            _ => Err(Fault::not_implemented(&format!("'GET {kind}/{part}'"))),
        }
    }

    /// POSTs that only ask.
    pub(super) fn graph_ask(&self, asked: &Asked<'_>, words: &[&str]) -> Reply {
        let body = asked.body()?;
        let texts = |name: &str| -> Vec<String> {
            body[name]
                .as_array()
                .map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
                .unwrap_or_default()
        };
        match words {
            ["directoryobjects", "getbyids"] => {
                let types: Vec<String> = texts("types")
                    .iter()
                    .map(|t| format!("#microsoft.graph.{t}").to_ascii_lowercase())
                    .collect();
                let found = texts("ids").into_iter().filter_map(|id| self.object(&id)).filter(|o| {
                    types.is_empty()
                        || o["@odata.type"].as_str().is_some_and(|t| types.contains(&t.to_ascii_lowercase()))
                });
                list(found.collect())
            }
            ["directoryobjects" | "users" | "serviceprincipals", _, "checkmembergroups"] => {
                let mine = self.memberships(asked.path[1])?;
                list(texts("groupIds").into_iter().filter(|g| mine.contains(g)).map(Value::from).collect())
            }
            [
                "directoryobjects" | "users" | "serviceprincipals",
                _,
                "getmembergroups" | "getmemberobjects",
            ] => list(self.memberships(asked.path[1])?.into_iter().map(Value::from).collect()),
            ["me", "getmembergroups" | "getmemberobjects"] => {
                list(self.memberships(&asked.caller.oid)?.into_iter().map(Value::from).collect())
            }
            _ => Err(Fault::not_implemented(&format!("'POST /{}'", asked.path.join("/")))),
        }
    }

    fn memberships(&self, key: &str) -> Result<Vec<String>, Fault> {
        let object = self.object(key).ok_or_else(|| Fault::not_found(key))?;
        Ok(self.store.state.read().groups_of(object["id"].as_str().unwrap_or(key)))
    }
}

fn direct(state: &State, id: &str, all: bool) -> Vec<String> {
    if all {
        return state.groups_of(id);
    }
    state.groups.values().filter(|g| g.members.iter().any(|m| m == id)).map(|g| g.id.clone()).collect()
}

/// `applications(appId='x')` as kind and key.
fn keyed(kind: &str) -> (&str, Option<&str>) {
    match kind.split_once('(') {
        Some((name, rest)) => (name, rest.split('\'').nth(1)),
        None => (kind, None),
    }
}
