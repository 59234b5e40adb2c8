//! Somebody with each built-in role, and what the role says: judged by a matcher of the test's own.

use http::Method;
use serde_json::{Value, json};
use testkit::Somebody;

use crate::read_back::{World, text};

/// Somebody with one role at the subscription.
pub struct Holder {
    pub role: String,
    pub who: Somebody,
    permissions: Vec<Value>,
}

/// `*` is anything. Between two slashes it may be nothing, and one of them.
fn fits(pattern: &str, action: &str) -> bool {
    let plain = glob(pattern.as_bytes(), action.as_bytes());
    plain || pattern.contains("/*/") && glob(pattern.replacen("/*/", "/", 1).as_bytes(), action.as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        Some((letter, rest)) => {
            text.first().is_some_and(|first| first.eq_ignore_ascii_case(letter)) && glob(rest, &text[1..])
        }
    }
}

impl Holder {
    fn lets(&self, yes: &str, no: &str, action: &str) -> bool {
        let any = |permission: &Value, name: &str| {
            permission[name].as_array().unwrap().iter().any(|pattern| fits(&text(pattern), action))
        };
        self.permissions.iter().any(|permission| any(permission, yes) && !any(permission, no))
    }

    /// Whether the role's actions let do it.
    pub fn may(&self, action: &str) -> bool {
        self.lets("actions", "notActions", action)
    }

    /// Whether the role's data actions let do it.
    pub fn may_data(&self, action: &str) -> bool {
        self.lets("dataActions", "notDataActions", action)
    }

    /// A token for an audience.
    pub async fn token(&self, world: &World, audience: &str) -> String {
        world.stack.sign_in_as(&self.who.app_id, &self.who.secret, audience).await.unwrap()
    }
}

/// One for each role that is always there.
pub async fn holders(world: &World) -> Vec<Holder> {
    let definitions = world.subscription("/providers/Microsoft.Authorization/roleDefinitions");
    let token = world.stack.sign_in().await.unwrap();
    let path = format!("{definitions}?api-version=2022-04-01&$filter=type%20eq%20'BuiltInRole'");
    let listed = world.stack.call(&token, Method::GET, &path, &Value::Null).await.unwrap().body;
    let mut holders = Vec::new();
    for (at, definition) in listed["value"].as_array().unwrap().iter().enumerate() {
        let properties = &definition["properties"];
        let role = text(&properties["roleName"]);
        let who = world.stack.somebody(&format!("holder {at}")).await.unwrap();
        let assignment = world.subscription(&format!(
            "/providers/Microsoft.Authorization/roleAssignments/5a3b0b5e-0f2c-4c8e-9a51-9d6a3c4c{at:04}"
        ));
        let body =
            json!({"properties": {"principalId": who.object_id, "roleDefinitionId": definition["id"]}});
        world.write(Method::PUT, &assignment, "2022-04-01", &body).await.unwrap();
        holders.push(Holder {
            role,
            who,
            permissions: properties["permissions"].as_array().unwrap().clone(),
        });
    }
    assert!(holders.len() >= 50, "only {} roles", holders.len());
    holders
}

#[test]
fn patterns() {
    for (pattern, action, expected) in [
        ("*", "A/b/read", true),
        ("*/read", "A/b/read", true),
        ("*/read", "A/b/write", false),
        ("A/b/*", "a/B/c/d/action", true),
        ("A/*/read", "A/b/c/read", true),
        ("A/b/*/action", "A/b/action", true),
        ("A/b", "A/b/c", false),
    ] {
        assert_eq!(fits(pattern, action), expected, "{pattern} {action}");
    }
}
