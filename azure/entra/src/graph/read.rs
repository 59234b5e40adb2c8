//! Reading the directory.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Asked, Fault, Reply, list, shapes};
use crate::entra::Entra;
use crate::store::State;

impl Entra {
    /// One object of a kind, by object id or by the kind's other key.
    pub(super) fn one(&self, kind: &str, key: &str) -> Result<Value, Fault> {
        let missing = || Fault::not_found(key);
        let names: &[&str] = if kind == "users" { &["id", "userPrincipalName"] } else { &["id"] };
        let found = self.all(kind).ok_or_else(|| unknown_segment(kind))?;
        let fits =
            |o: &Value| names.iter().any(|n| o[*n].as_str().is_some_and(|v| v.eq_ignore_ascii_case(key)));
        found.into_iter().find(fits).ok_or_else(missing)
    }

    /// An object by its id, of whatever kind.
    pub(super) fn object(&self, id: &str) -> Option<Value> {
        let (tenant, domain, id) = (self.tenant_id(), self.domain(), id.to_ascii_lowercase());
        let state = self.store.state.read();
        if let Some(p) = state.principals.get(&id) {
            return Some(shapes::principal(p, state.application_of(&p.app_id), &tenant));
        }
        let user = state.users.get(&id).map(shapes::user);
        user.or_else(|| state.groups.get(&id).map(shapes::group))
            .or_else(|| state.applications.get(&id).map(|a| shapes::application(a, &domain)))
    }

    pub(super) fn objects(&self, ids: &[String]) -> Vec<Value> {
        ids.iter().filter_map(|id| self.object(id)).collect()
    }

    pub(super) fn graph_read(&self, asked: &Asked<'_>, words: &[&str]) -> Reply {
        match words {
            ["organization"] | ["organization", _] => list(vec![json!({
                "id": self.tenant_id(), "displayName": "Lazurite", "tenantType": "AAD",
                "verifiedDomains": [{"name": self.domain(), "isDefault": true, "isInitial": true, "type": "Managed", "capabilities": "Email"}]})]),
            ["domains"] => list(vec![
                json!({"id": self.domain(), "isDefault": true, "isInitial": true, "isVerified": true, "authenticationType": "Managed"}),
            ]),
            ["directoryobjects", id] => asked.shown("", self.object(id).ok_or_else(|| Fault::not_found(id))?),
            [kind] => {
                let found = self.all(kind).ok_or_else(|| unknown_segment(&asked.path[0]))?;
                asked.listed(kind, self.expanded(asked, kind, found)?)
            }
            [kind, "$count"] => {
                asked.counted(kind, self.all(kind).ok_or_else(|| unknown_segment(&asked.path[0]))?)
            }
            [kind, _] => self.shown_one(asked, kind, &asked.path[1]),
            ["applications", _, "federatedidentitycredentials", _] => {
                let key = asked.path[3].as_str();
                let id = self.id_of("applications", &asked.path[1])?;
                let trusts =
                    self.linked("applications", &id, "federatedidentitycredentials").unwrap_or_default();
                let found = trusts.into_iter().find(|t| t["id"] == key || t["name"] == key);
                asked.shown("", found.ok_or_else(|| Fault::not_found(key))?)
            }
            [kind, _, part, rest @ ..] => self.part(asked, kind, part, rest),
            [] => Err(unknown_segment("")),
        }
    }

    fn shown_one(&self, asked: &Asked<'_>, kind: &str, key: &str) -> Reply {
        let found = self.one(kind, key)?;
        let found = self.expanded(asked, kind, vec![found])?.pop().unwrap_or_default();
        asked.shown(kind, found)
    }

    /// Adds what `$expand` names.
    fn expanded(&self, asked: &Asked<'_>, kind: &str, mut objects: Vec<Value>) -> Result<Vec<Value>, Fault> {
        let Some(text) = asked.query("$expand") else { return Ok(objects) };
        let name = text.split('(').next().unwrap_or(text).trim();
        for object in &mut objects {
            let id = object["id"].as_str().unwrap_or("").to_owned();
            let values = self.linked(kind, &id, &name.to_ascii_lowercase()).ok_or_else(|| Fault {
                status: StatusCode::BAD_REQUEST,
                code: "BadRequest",
                message: format!(
                    "Parsing OData Select and Expand failed: Could not find a property named '{name}' on type 'microsoft.graph.{}'.",
                    shapes::kind_name(kind).unwrap_or("directoryObject")
                ),
            })?;
            object[name] = Value::Array(values);
        }
        Ok(objects)
    }

    /// `/groups/{id}/members`, with a type to keep to or `$count` behind it.
    fn part(&self, asked: &Asked<'_>, kind: &str, part: &str, rest: &[&str]) -> Reply {
        let object = self.one(kind, &asked.path[1])?;
        let id = object["id"].as_str().unwrap_or("").to_owned();
        let absent = || Fault::not_implemented(&format!("'GET {kind}/{part}'"));
        let mut found = self.linked(kind, &id, part).ok_or_else(absent)?;
        let mut rest = rest;
        if let [cast, after @ ..] = rest
            && let Some(wanted) = cast.strip_prefix("microsoft.graph.")
        {
            let wanted = format!("#microsoft.graph.{wanted}");
            found.retain(|o| o["@odata.type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(&wanted)));
            rest = after;
        }
        match rest {
            [] => asked.listed("", found),
            ["$count"] => asked.counted("", found),
            ["$ref"] => {
                let base = &asked.incoming.base;
                let link = |o: &Value| json!({"@odata.id": format!("{base}/v1.0/directoryObjects/{}", o["id"].as_str().unwrap_or(""))});
                list(found.iter().map(link).collect())
            }
            _ => Err(absent()),
        }
    }

    /// What an object is linked to under a name; none for a name that its kind does not have.
    fn linked(&self, kind: &str, id: &str, part: &str) -> Option<Vec<Value>> {
        let state = self.store.state.read();
        let ids = match (kind, part) {
            ("groups", "members") => state.groups.get(id).map(|g| g.members.clone()).unwrap_or_default(),
            ("groups", "transitivemembers") => state.members_of(id),
            ("users" | "groups" | "serviceprincipals", "memberof") => direct(&state, id),
            ("users" | "groups" | "serviceprincipals", "transitivememberof") => state.groups_of(id),
            ("applications" | "groups" | "serviceprincipals", "owners") => {
                state.owners_of(id).cloned().unwrap_or_default()
            }
            ("users" | "serviceprincipals", "ownedobjects") => owned(&state, id),
            ("users" | "serviceprincipals", "createdobjects") => Vec::new(),
            ("applications", "federatedidentitycredentials") => {
                let app = state.applications.get(id);
                return Some(
                    app.map(|a| a.federated.iter().map(shapes::federated).collect()).unwrap_or_default(),
                );
            }
            ("serviceprincipals" | "users" | "groups", "approleassignments") => {
                let mine = state.roles.values().filter(|r| r.principal == id);
                return Some(mine.map(|r| shapes::assignment(r, &state)).collect());
            }
            ("serviceprincipals", "approleassignedto") => {
                let mine = state.roles.values().filter(|r| r.resource == id);
                return Some(mine.map(|r| shapes::assignment(r, &state)).collect());
            }
            ("serviceprincipals", "oauth2permissiongrants") => {
                return Some(state.grants.values().filter(|g| g.client == id).map(shapes::grant).collect());
            }
            ("users", "oauth2permissiongrants") => {
                let mine = state.grants.values().filter(|g| g.principal.as_deref() == Some(id));
                return Some(mine.map(shapes::grant).collect());
            }
            _ => return None,
        };
        drop(state);
        Some(self.objects(&ids))
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
                let ids = texts("ids");
                if ids.is_empty() {
                    return Err(Fault::bad("A value is required for property 'ids'."));
                }
                let types: Vec<String> = texts("types")
                    .iter()
                    .map(|t| format!("#microsoft.graph.{t}").to_ascii_lowercase())
                    .collect();
                let any = types.is_empty() || types.iter().any(|t| t == "#microsoft.graph.directoryobject");
                let mut found = self.objects(&ids);
                found.retain(|o| {
                    any || o["@odata.type"].as_str().is_some_and(|t| types.contains(&t.to_ascii_lowercase()))
                });
                list(found)
            }
            [
                "directoryobjects" | "users" | "groups" | "serviceprincipals",
                _,
                "checkmembergroups" | "checkmemberobjects",
            ] => {
                let mine = self.memberships(words[0], &asked.path[1])?;
                let asked_for = [texts("groupIds"), texts("ids")].concat();
                list(
                    asked_for
                        .into_iter()
                        .filter(|g| mine.contains(&g.to_ascii_lowercase()))
                        .map(Value::from)
                        .collect(),
                )
            }
            [
                "directoryobjects" | "users" | "groups" | "serviceprincipals",
                _,
                "getmembergroups" | "getmemberobjects",
            ] => {
                if !body.get("securityEnabledOnly").is_some_and(Value::is_boolean) {
                    return Err(Fault::bad("A value is required for property 'securityEnabledOnly'."));
                }
                list(self.memberships(words[0], &asked.path[1])?.into_iter().map(Value::from).collect())
            }
            _ => Err(Fault::not_implemented(&format!("'POST /{}'", asked.path.join("/")))),
        }
    }

    fn memberships(&self, kind: &str, key: &str) -> Result<Vec<String>, Fault> {
        let object = match kind {
            "directoryobjects" => self.object(key).ok_or_else(|| Fault::not_found(key))?,
            _ => self.one(kind, key)?,
        };
        Ok(self.groups_of(object["id"].as_str().unwrap_or(key)))
    }
}

pub(super) fn unknown_segment(segment: &str) -> Fault {
    Fault {
        status: StatusCode::BAD_REQUEST,
        code: "BadRequest",
        message: format!("Resource not found for the segment '{segment}'."),
    }
}

fn direct(state: &State, id: &str) -> Vec<String> {
    state.groups.values().filter(|g| g.members.iter().any(|m| m == id)).map(|g| g.id.clone()).collect()
}

fn owned(state: &State, id: &str) -> Vec<String> {
    let mine = |owners: &[String]| owners.iter().any(|o| o == id);
    let apps = state.applications.values().filter(|a| mine(&a.owners)).map(|a| a.id.clone());
    let principals = state.principals.values().filter(|p| mine(&p.owners)).map(|p| p.id.clone());
    let groups = state.groups.values().filter(|g| mine(&g.owners)).map(|g| g.id.clone());
    apps.chain(principals).chain(groups).collect()
}
