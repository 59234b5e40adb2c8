//! Role assignments.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Clause, clauses, not_found, property, shown};
use crate::access::{ROLE_ASSIGNMENT, roles::Role};
use crate::front::route::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, Resource, ResourceId};

/// How many role assignments a cloud of one subscription holds, as the public one allows per subscription.
const ASSIGNMENTS_MAX: usize = 4_000;

impl Front {
    pub(super) fn list_assignments(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        full_type: &str,
    ) -> Result<Answer, ArmError> {
        let clauses = clauses(asked)?;
        let text = asked.ctx.query("$filter").unwrap_or("");
        for clause in &clauses {
            let known = match clause.op.as_str() {
                "atscope" | "assignedto" => true,
                "eq" => ["principalId", "denyAssignmentName"]
                    .iter()
                    .any(|field| field.eq_ignore_ascii_case(&clause.field)),
                _ => false,
            };
            if !known {
                return Err(ArmError::bad_request(
                    "UnsupportedQuery",
                    format!(
                        "The filter '{text}' is not supported. Supported filters are either 'atScope()' or 'principalId eq '{{value}}' or assignedTo('{{value}}')'."
                    ),
                ));
            }
        }
        let at_scope = clauses.iter().any(|c| c.op == "atscope");
        // What is assigned to a principal is assigned to its groups, too.
        let who: Vec<Vec<String>> = clauses.iter().map(|c| self.meant(c)).collect();
        let list = self.access.assignments(scope, !at_scope, full_type);
        let kept = list.iter().filter(|r| clauses.iter().zip(&who).all(|(c, who)| fits(c, who, r)));
        Ok(Answer::list(kept.map(|r| shown(r)).collect()))
    }

    fn meant(&self, clause: &Clause) -> Vec<String> {
        let named = if clause.op == "assignedto" { &clause.field } else { &clause.value };
        let mut found = vec![named.clone()];
        if clause.op == "assignedto" {
            found.extend(self.config.directory.groups_of(named));
        }
        found
    }

    pub(super) async fn put_assignment(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        let body = asked.incoming.object()?;
        if uuid::Uuid::parse_str(id.name()).is_err() {
            return Err(ArmError::bad_request(
                "InvalidRoleAssignmentId",
                format!(
                    "The role assignment ID '{}' is not valid. The role assignment ID must be a GUID.",
                    id.name()
                ),
            ));
        }
        let role = self.assignable(scope, property(&body, "roleDefinitionId"))?;
        let principal = property(&body, "principalId").to_owned();
        if uuid::Uuid::parse_str(&principal).is_err() {
            return Err(ArmError::bad_request(
                "InvalidPrincipalId",
                format!("A principal ID must be a GUID: '{principal}'."),
            ));
        }
        let given = |name: &str| body["properties"].get(name).is_some_and(|c| !c.is_null() && c != "");
        if let Some(name) = ["condition", "conditionVersion"].into_iter().find(|name| given(name)) {
            // An assignment without its condition would allow more than was meant.
            return Err(ArmError::not_implemented("A condition on a role assignment").target(name));
        }
        self.check_scope_exists(scope)?;
        self.access.check_locks("write", &id)?;
        let kind = self.principal_kind(&principal, property(&body, "principalType")).await?;
        if let Some(same) = self.earlier(scope, &id, &role, &principal)? {
            return self.describe(asked, &body, same).await;
        }
        let all = self.resources.list_type(&ResourceId::root(), ROLE_ASSIGNMENT).len();
        if all >= ASSIGNMENTS_MAX {
            return Err(ArmError::bad_request(
                "RoleAssignmentLimitExceeded",
                "No more role assignments can be created.",
            ));
        }
        let mut made = self.assignment(asked, id, &role.guid, &principal, &kind);
        made.properties["description"] = body.pointer("/properties/description").cloned().unwrap_or_default();
        let stored = self.resources.save(made).await?;
        Ok(Answer::new(StatusCode::CREATED, shown(&stored)))
    }

    /// The role, if it is there and may be assigned here.
    fn assignable(&self, scope: &ResourceId, definition: &str) -> Result<Role, ArmError> {
        let guid = definition.rsplit('/').next().unwrap_or("");
        let missing = || {
            not_found(
                "RoleDefinitionDoesNotExist",
                format!("The specified role definition with ID '{guid}' does not exist."),
            )
        };
        let role = self.access.role(definition).ok_or_else(missing)?;
        let chain = self.access.chain(scope);
        let fits = |text: &String| text == "/" || ResourceId::parse(text).is_ok_and(|at| chain.contains(&at));
        // A role is not there where it cannot be assigned.
        if role.assignable_scopes.iter().any(fits) { Ok(role) } else { Err(missing()) }
    }

    async fn principal_kind(&self, principal: &str, given: &str) -> Result<String, ArmError> {
        const KINDS: [&str; 5] = ["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"];
        if !given.is_empty() && !KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(given)) {
            return Err(ArmError::bad_request(
                "InvalidPrincipalType",
                format!("The principal type '{given}' is not one of '{}'.", KINDS.join(", ")),
            ));
        }
        match self.config.directory.principal(principal).await {
            Some(info) if given.is_empty() || info.kind.eq_ignore_ascii_case(given) => Ok(info.kind),
            Some(info) => Err(ArmError::bad_request(
                "UnmatchedPrincipalType",
                format!(
                    "The PrincipalId '{}' has type '{}' , which is different from specified PrinciaplType '{given}'.",
                    principal.replace('-', ""),
                    info.kind
                ),
            )),
            // Who says what it is does not wait until every copy of the directory knows it.
            None if !given.is_empty() && !given.eq_ignore_ascii_case("User") => Ok(given.to_owned()),
            None => Err(ArmError::bad_request(
                "PrincipalNotFound",
                format!(
                    "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
                    principal.replace('-', ""),
                    self.config.tenant_id
                ),
            )),
        }
    }

    /// The assignment that this one would be written over, if it says the same; an error if it says something else, or
    /// if another one says the same.
    fn earlier(
        &self,
        scope: &ResourceId,
        id: &ResourceId,
        role: &Role,
        principal: &str,
    ) -> Result<Option<Resource>, ArmError> {
        let says = |r: &Resource| {
            let text = |name: &str| r.properties.get(name).and_then(Value::as_str).unwrap_or("");
            text("principalId").eq_ignore_ascii_case(principal)
                && text("roleDefinitionId")
                    .rsplit('/')
                    .next()
                    .is_some_and(|g| g.eq_ignore_ascii_case(&role.guid))
        };
        let all = self.resources.list_type(&ResourceId::root(), ROLE_ASSIGNMENT);
        if let Some(named) = all.iter().find(|r| r.name.eq_ignore_ascii_case(id.name())) {
            if named.id == *id && says(named) {
                return Ok(Some((**named).clone()));
            }
            return Err(ArmError::bad_request(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ));
        }
        match all.iter().find(|r| r.id.scope() == *scope && says(r)) {
            Some(twin) => Err(ArmError::conflict(
                "RoleAssignmentExists",
                format!(
                    "The role assignment already exists. The ID of the existing role assignment is {}.",
                    twin.name.replace('-', "")
                ),
            )),
            None => Ok(None),
        }
    }

    /// A second PUT can change the description only.
    async fn describe(
        &self,
        asked: &Asked<'_>,
        body: &Value,
        mut stored: Resource,
    ) -> Result<Answer, ArmError> {
        let description = body.pointer("/properties/description").cloned().unwrap_or_default();
        if stored.properties["description"] != description {
            stored.properties["description"] = description;
            stored.properties["updatedOn"] = json!(self.config.clock.now().to_string());
            stored.properties["updatedBy"] = json!(asked.caller().object_id);
            stored = self.resources.save(stored).await?;
        }
        Ok(Answer::ok(shown(&stored)))
    }

    /// A new assignment.
    pub(super) fn assignment(
        &self,
        asked: &Asked<'_>,
        id: ResourceId,
        role: &str,
        principal: &str,
        kind: &str,
    ) -> Resource {
        let scope = id.scope();
        let now = self.config.clock.now().to_string();
        let subscription = scope.subscription_id().map(|s| s.to_string()).unwrap_or_default();
        let mut made = Resource::new(id);
        made.properties = json!({
            "roleDefinitionId": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"),
            "principalId": principal, "principalType": kind, "scope": scope.to_string(),
            "description": null, "condition": null, "conditionVersion": null,
            "createdOn": now, "updatedOn": now, "createdBy": asked.caller().object_id,
            "updatedBy": asked.caller().object_id, "delegatedManagedIdentityResourceId": null,
        });
        made
    }
}

fn fits(clause: &Clause, who: &[String], assignment: &Resource) -> bool {
    if clause.op == "atscope" {
        return true;
    }
    if clause.field.eq_ignore_ascii_case("denyAssignmentName") {
        let name = assignment.properties.get("denyAssignmentName").and_then(Value::as_str);
        return clause.is(name.unwrap_or(""));
    }
    let named = |text: &str| who.iter().any(|w| w.eq_ignore_ascii_case(text));
    match assignment.properties.get("principalId").and_then(Value::as_str) {
        Some(principal) => named(principal),
        // A deny assignment names several.
        None => {
            assignment.properties.get("principals").and_then(Value::as_array).is_some_and(|list| {
                list.iter().filter_map(|p| p.get("id").and_then(Value::as_str)).any(named)
            })
        }
    }
}
