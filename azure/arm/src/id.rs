//! Resource ids: parsed once at the door, compared without case, printed in canonical case.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One `providers/<namespace>/<type>/<name>…` run of an id. An extension resource has several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// `Microsoft.Network`.
    pub namespace: String,
    /// `(type, name)` pairs, outermost first.
    pub types: Vec<(String, String)>,
}

/// Where a resource, a resource group, a subscription or the tenant's root is.
///
/// Equality, order and hash ignore case, as ARM does.
#[derive(Clone, Default)]
pub struct ResourceId {
    subscription: Option<String>,
    group: Option<String>,
    parts: Vec<Part>,
    key: String,
}

/// Why a text is not a resource id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a resource id: {why}")]
pub struct IdError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl ResourceId {
    /// The tenant's root, `/`.
    pub fn root() -> Self {
        Self::default()
    }

    /// `/subscriptions/{subscription}`.
    pub fn of_subscription(subscription: &str) -> Self {
        Self { subscription: Some(subscription.to_owned()), ..Self::default() }.keyed()
    }

    /// `/subscriptions/{subscription}/resourceGroups/{group}`.
    pub fn of_group(subscription: &str, group: &str) -> Self {
        Self { subscription: Some(subscription.to_owned()), group: Some(group.to_owned()), ..Self::default() }
            .keyed()
    }

    /// A resource in a group. `full_type` is `Microsoft.Network/virtualNetworks`; for a child type
    /// (`…/virtualNetworks/subnets`) `name` is `vnet/subnet`.
    pub fn of_resource(subscription: &str, group: &str, full_type: &str, name: &str) -> Self {
        Self::of_group(subscription, group).extension(full_type, name)
    }

    /// An extension resource on this one: `{self}/providers/{full_type…}/{name…}`.
    pub fn extension(&self, full_type: &str, name: &str) -> Self {
        let mut types = full_type.split('/');
        let namespace = types.next().unwrap_or_default().to_owned();
        let names = name.split('/').map(str::to_owned).chain(std::iter::repeat(String::new()));
        let part = Part { namespace, types: types.map(str::to_owned).zip(names).collect() };
        let mut id = self.clone();
        id.parts.push(part);
        id.keyed()
    }

    /// A child resource: `{self}/{kind}/{name}`.
    pub fn child(&self, kind: &str, name: &str) -> Self {
        let mut id = self.clone();
        if let Some(part) = id.parts.last_mut() {
            part.types.push((kind.to_owned(), name.to_owned()));
        }
        id.keyed()
    }

    /// Reads an id; duplicate and trailing slashes do not matter.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let wrong = |why| IdError { text: text.to_owned(), why };
        let mut segments = text.split('/').filter(|s| !s.is_empty()).peekable();
        let mut id = Self::default();
        if segments.next_if(|s| s.eq_ignore_ascii_case("subscriptions")).is_some() {
            id.subscription = Some(segments.next().ok_or_else(|| wrong("no subscription"))?.to_owned());
            if segments.next_if(|s| s.eq_ignore_ascii_case("resourceGroups")).is_some() {
                id.group = Some(segments.next().ok_or_else(|| wrong("no resource group"))?.to_owned());
            }
        }
        while let Some(segment) = segments.next() {
            if !segment.eq_ignore_ascii_case("providers") {
                return Err(wrong("`providers` expected"));
            }
            let namespace = segments.next().ok_or_else(|| wrong("no provider namespace"))?.to_owned();
            let mut types = Vec::new();
            while let Some(kind) =
                segments.next_if(|s| types.is_empty() || !s.eq_ignore_ascii_case("providers"))
            {
                let name = segments.next().ok_or_else(|| wrong("a type without a name"))?;
                types.push((kind.to_owned(), name.to_owned()));
            }
            if types.is_empty() {
                return Err(wrong("no resource type"));
            }
            id.parts.push(Part { namespace, types });
        }
        Ok(id.keyed())
    }

    fn keyed(mut self) -> Self {
        self.key = self.to_string().to_ascii_lowercase();
        self
    }

    /// The id in lower case: the same for equal ids. The root's key is empty.
    pub fn key(&self) -> &str {
        if self.key == "/" { "" } else { &self.key }
    }

    /// The subscription's id, if the id is in one.
    pub fn subscription(&self) -> Option<&str> {
        self.subscription.as_deref()
    }

    /// The resource group's name, if the id is in one.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The id of the resource group this is in (or is).
    pub fn group_id(&self) -> Option<ResourceId> {
        Some(Self::of_group(self.subscription.as_deref()?, self.group.as_deref()?))
    }

    /// The id of the subscription this is in (or is).
    pub fn subscription_id(&self) -> Option<ResourceId> {
        Some(Self::of_subscription(self.subscription.as_deref()?))
    }

    /// The provider namespace, empty for groups and subscriptions.
    pub fn namespace(&self) -> &str {
        self.parts.last().map_or("", |p| &p.namespace)
    }

    /// `(type, name)` pairs of the last provider run, outermost first.
    pub fn types(&self) -> &[(String, String)] {
        self.parts.last().map_or(&[], |p| &p.types)
    }

    /// Every provider run; more than one for an extension resource.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// `Microsoft.Network/virtualNetworks/subnets`; `Microsoft.Resources/resourceGroups` or `…/subscriptions`
    /// for those.
    pub fn resource_type(&self) -> String {
        match self.parts.last() {
            Some(part) => {
                let mut text = part.namespace.clone();
                for (kind, _) in &part.types {
                    text.push('/');
                    text.push_str(kind);
                }
                text
            }
            None if self.group.is_some() => "Microsoft.Resources/resourceGroups".to_owned(),
            None if self.subscription.is_some() => "Microsoft.Resources/subscriptions".to_owned(),
            None => "Microsoft.Resources/tenants".to_owned(),
        }
    }

    /// Whether the type is this one, ignoring case.
    pub fn is_type(&self, full_type: &str) -> bool {
        self.resource_type().eq_ignore_ascii_case(full_type)
    }

    /// The last name.
    pub fn name(&self) -> &str {
        match self.parts.last() {
            Some(part) => part.types.last().map_or("", |(_, name)| name),
            None => self.group.as_deref().or(self.subscription.as_deref()).unwrap_or(""),
        }
    }

    /// All names of the last provider run joined by `/`: `vnet/subnet`.
    pub fn full_name(&self) -> String {
        match self.parts.last() {
            Some(part) => part.types.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("/"),
            None => self.name().to_owned(),
        }
    }

    /// One step out: the parent resource of a child, else the scope the resource is in. The root has none.
    pub fn parent(&self) -> Option<ResourceId> {
        let mut id = self.clone();
        match id.parts.last_mut() {
            Some(part) if part.types.len() > 1 => {
                part.types.pop();
            }
            Some(_) => {
                id.parts.pop();
            }
            None if id.group.is_some() => id.group = None,
            None if id.subscription.is_some() => id.subscription = None,
            None => return None,
        }
        Some(id.keyed())
    }

    /// What the last provider run hangs on: a group, a subscription, or the resource an extension extends.
    pub fn scope(&self) -> ResourceId {
        let mut id = self.clone();
        id.parts.pop();
        id.keyed()
    }

    /// The outermost resource of the last provider run: the virtual network of a subnet.
    pub fn top(&self) -> ResourceId {
        let mut id = self.clone();
        if let Some(part) = id.parts.last_mut() {
            part.types.truncate(1);
        }
        id.keyed()
    }

    /// The same id with the last type and namespace written as `full_type` writes them.
    pub fn with_type_case(mut self, full_type: &str) -> Self {
        let mut words = full_type.split('/');
        if let Some(part) = self.parts.last_mut() {
            if let Some(namespace) = words.next() {
                part.namespace = namespace.to_owned();
            }
            for (slot, word) in part.types.iter_mut().zip(words) {
                slot.0 = word.to_owned();
            }
        }
        self.keyed()
    }

    /// The same id with the group written like this.
    pub fn with_group_case(mut self, group: &str) -> Self {
        if self.group.is_some() {
            self.group = Some(group.to_owned());
        }
        self.keyed()
    }

    /// Whether this is `scope` or lies inside it. Everything lies inside the root.
    pub fn is_within(&self, scope: &ResourceId) -> bool {
        key_within(self.key(), scope.key())
    }
}

/// [`ResourceId::is_within`] on keys.
pub(crate) fn key_within(key: &str, scope: &str) -> bool {
    key.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subscription) = &self.subscription {
            write!(f, "/subscriptions/{subscription}")?;
        }
        if let Some(group) = &self.group {
            write!(f, "/resourceGroups/{group}")?;
        }
        for part in &self.parts {
            write!(f, "/providers/{}", part.namespace)?;
            for (kind, name) in &part.types {
                write!(f, "/{kind}/{name}")?;
            }
        }
        if self.subscription.is_none() && self.parts.is_empty() {
            f.write_str("/")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ResourceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for ResourceId {}
impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::ResourceId;

    #[test]
    fn ids_are_read_printed_and_taken_apart() {
        let table = [
            ("/", "Microsoft.Resources/tenants", "", "-"),
            ("/subscriptions/S", "Microsoft.Resources/subscriptions", "S", "/"),
            (
                "/subscriptions/S/resourceGroups/g",
                "Microsoft.Resources/resourceGroups",
                "g",
                "/subscriptions/S",
            ),
            (
                "/subscriptions/S/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s",
                "Microsoft.Network/virtualNetworks/subnets",
                "s",
                "/subscriptions/S/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v",
            ),
            (
                "/subscriptions/S/providers/Microsoft.Authorization/roleAssignments/a",
                "Microsoft.Authorization/roleAssignments",
                "a",
                "/subscriptions/S",
            ),
            (
                "/subscriptions/S/resourceGroups/g/providers/A.B/t/n/providers/Microsoft.Authorization/locks/l",
                "Microsoft.Authorization/locks",
                "l",
                "/subscriptions/S/resourceGroups/g/providers/A.B/t/n",
            ),
        ];
        for (text, kind, name, parent) in table {
            let id = ResourceId::parse(text).unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(id.resource_type(), kind);
            assert_eq!(id.name(), name);
            assert_eq!(id.parent().map_or("-".to_owned(), |p| p.to_string()), parent);
        }
    }

    #[test]
    fn case_and_slashes_do_not_matter() {
        let one = ResourceId::parse("/subscriptions/S//resourcegroups/G/providers/a.b//T/n/").unwrap();
        let two = ResourceId::parse("/SUBSCRIPTIONS/s/resourceGroups/g/providers/A.B/t/N").unwrap();
        assert_eq!(one, two);
        assert!(one.is_within(&ResourceId::of_group("s", "g")));
        assert!(one.is_within(&ResourceId::root()));
        assert!(!ResourceId::of_group("s", "g2").is_within(&ResourceId::of_group("s", "g")));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "/subscriptions",
            "/subscriptions/s/providers/x",
            "/subscriptions/s/providers/x/t",
            "/nonsense/x",
        ] {
            assert!(ResourceId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_are_built() {
        let subnet = ResourceId::of_resource("s", "g", "Microsoft.Network/virtualNetworks/subnets", "v/x");
        assert_eq!(
            subnet.to_string(),
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/x"
        );
        assert_eq!(subnet.top().child("subnets", "x"), subnet);
        assert_eq!(subnet.full_name(), "v/x");
    }
}
