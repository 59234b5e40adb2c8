//! The roles that are always there: ids, names and actions of the public cloud's, as its reference of built-in roles
//! gives them. Of its several hundred, those that clusters and what is around them are set up with.

mod around;
mod containers;

use std::sync::OnceLock;

use serde_json::json;

use super::roles::{Permission, Role};

/// GUID of Owner.
pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
/// GUID of User Access Administrator.
pub const USER_ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";

/// `(guid, page, name, description, actions, notActions, dataActions, notDataActions)`; lists are blank-separated, and
/// `MC:` stands for `Microsoft.ContainerService/managedClusters/`. The page is that of the reference "Azure built-in roles"
/// (`articles/role-based-access-control/built-in-roles/<page>.md`) that the row was compared with.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const COMMON_READ: &str = "Microsoft.Authorization/*/read Microsoft.Insights/alertRules/* Microsoft.Resources/deployments/* Microsoft.Resources/subscriptions/resourceGroups/read";

fn rows() -> impl Iterator<Item = &'static Row> {
    around::ROWS.iter().chain(containers::ROWS)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .flat_map(|word| if word == "@" { COMMON_READ.split_whitespace().collect() } else { vec![word] })
        .map(|word| match word.strip_prefix("MC:") {
            Some(rest) => format!("Microsoft.ContainerService/managedClusters/{rest}"),
            None => word.to_owned(),
        })
        .collect()
}

/// The roles that are always there.
pub fn built_in() -> &'static [Role] {
    static ROLES: OnceLock<Vec<Role>> = OnceLock::new();
    ROLES.get_or_init(|| {
        rows()
            .map(|(guid, _, name, description, actions, not_actions, data, not_data)| Role {
                guid: (*guid).to_owned(),
                name: (*name).to_owned(),
                description: (*description).to_owned(),
                kind: "BuiltInRole".to_owned(),
                history: json!({"createdOn": "2015-02-02T21:55:09.8806423Z",
                    "updatedOn": "2021-11-11T20:13:07.1018123Z", "createdBy": null, "updatedBy": null}),
                assignable_scopes: vec!["/".to_owned()],
                permissions: vec![Permission {
                    actions: words(actions),
                    not_actions: words(not_actions),
                    data_actions: words(data),
                    not_data_actions: words(not_data),
                }],
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::rows;

    /// Pages of the reference of built-in roles.
    const PAGES: &str = "privileged general containers networking compute identity security storage monitor management-and-governance";

    #[test]
    fn every_role_says_where_it_stands_in_the_reference() {
        for (guid, page, name, ..) in rows() {
            assert!(PAGES.split(' ').any(|known| known == *page), "{name} {guid}: {page}");
        }
    }
}
