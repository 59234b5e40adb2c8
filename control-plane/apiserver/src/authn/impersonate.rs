//! Impersonation: the `Impersonate-*` headers, each authorised before it counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::attributes::{ApiError, Attributes, UserInfo};
use crate::authz::Authorizer;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Whom a request is made as; none when it is the requester himself. Removes the headers.
pub fn impersonate(
    headers: &mut HeaderMap,
    user: &Arc<UserInfo>,
    authorizer: &Authorizer,
) -> Result<Option<UserInfo>, ApiError> {
    let mut taken = Taken::default();
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in &names {
        for value in headers.get_all(name) {
            let value = value.to_str().unwrap_or_default().to_owned();
            taken.add(name.as_str(), value);
        }
        headers.remove(name);
    }
    if taken.user.is_empty() {
        // An empty name alone asks for nothing.
        if names.iter().all(|name| name == USER) {
            return Ok(None);
        }
        return Err(ApiError::bad_request(format!(
            "requested {} without impersonating a user",
            taken.described()
        )));
    }
    taken.check(user, authorizer)?;
    Ok(Some(taken.into_user()))
}

#[derive(Default)]
struct Taken {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Taken {
    fn add(&mut self, header: &str, value: String) {
        match header {
            USER if self.user.is_empty() => self.user = value,
            UID if self.uid.is_empty() => self.uid = value,
            USER | UID => {}
            GROUP => self.groups.push(value),
            other => {
                if let Some(key) = other.strip_prefix(EXTRA) {
                    let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
                    self.extra.entry(key).or_default().push(value);
                }
            }
        }
    }

    /// What was asked for, as upstream prints its references.
    fn described(&self) -> String {
        let mut all: Vec<String> =
            self.groups.iter().map(|group| format!("{{Group  {group}    }}")).collect();
        for (key, values) in &self.extra {
            all.extend(
                values.iter().map(|value| format!("{{UserExtra  {value}  authentication.k8s.io/v1  {key}}}")),
            );
        }
        if !self.uid.is_empty() {
            all.push(format!("{{UID  {}  authentication.k8s.io/v1  }}", self.uid));
        }
        format!("[{}]", all.join(" "))
    }

    fn service_account(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
    }

    fn check(&self, user: &Arc<UserInfo>, authorizer: &Authorizer) -> Result<(), ApiError> {
        let ask = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
            authorizer.check(&Attributes {
                user: user.clone(),
                verb: "impersonate".into(),
                group: group.into(),
                version: "v1".into(),
                resource: resource.into(),
                subresource: subresource.into(),
                namespace: namespace.into(),
                name: name.into(),
                is_resource: true,
                ..Attributes::default()
            })
        };
        match self.service_account() {
            Some((namespace, name)) => ask("", "serviceaccounts", "", namespace, name)?,
            None => ask("", "users", "", "", &self.user)?,
        }
        for group in &self.groups {
            ask("", "groups", "", "", group)?;
        }
        for (key, values) in &self.extra {
            for value in values {
                ask(AUTHENTICATION, "userextras", key, "", value)?;
            }
        }
        if !self.uid.is_empty() {
            ask(AUTHENTICATION, "uids", "", "", &self.uid)?;
        }
        Ok(())
    }

    fn into_user(mut self) -> UserInfo {
        if self.groups.is_empty()
            && let Some((namespace, _)) = self.service_account()
        {
            self.groups =
                vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
        }
        // Whoever is said to be unauthenticated is not authenticated as well.
        let (general, excludes): (_, &[&str]) = match self.user.as_str() {
            ANONYMOUS => (UNAUTHENTICATED, &[UNAUTHENTICATED]),
            _ => (AUTHENTICATED, &[AUTHENTICATED, UNAUTHENTICATED]),
        };
        if !self.groups.iter().any(|group| excludes.contains(&group.as_str())) {
            self.groups.push(general.to_owned());
        }
        UserInfo { name: self.user, uid: self.uid, groups: self.groups, extra: self.extra }
    }
}
