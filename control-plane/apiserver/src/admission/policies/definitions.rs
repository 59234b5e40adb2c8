//! Policies and webhooks as they are written: expressions that do not compile are refused at once.

use api_model::{Cause, FieldPath};
use serde_json::Value;

use super::bound::Expressions;
use super::policy::Compiled;
use super::{GROUP, POLICIES, mutating, variables};
use crate::admission::expressions::{Expression, Has, Wanted, environment};
use crate::attributes::{AdmissionRequest, ApiError, Operation, items, text};

/// Judges expressions of a configuration that is created, or that are not as they were.
pub(in crate::admission) fn check(request: &AdmissionRequest<'_>) -> Result<(), ApiError> {
    let writes =
        matches!(request.operation, Operation::Create | Operation::Update) && request.subresource.is_empty();
    let Some(object) = request.object.as_deref().filter(|_| writes && request.resource.group == GROUP) else {
        return Ok(());
    };
    let same = request.old.is_some_and(|old| old.get("spec") == object.get("spec"));
    let causes = match request.resource.plural.as_str() {
        POLICIES | mutating::POLICIES if same => Vec::new(),
        POLICIES => policy(&object["spec"]),
        mutating::POLICIES => mutating_policy(&object["spec"]),
        "validatingwebhookconfigurations" | "mutatingwebhookconfigurations" => webhooks(object, request.old),
        _ => Vec::new(),
    };
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(GROUP, &request.resource.kind, text(object, "/metadata/name"), &causes))
}

fn wrong(causes: &mut Vec<Cause>, path: &FieldPath, expression: &Expression) {
    match &expression.program {
        _ if expression.text.trim().is_empty() => {
            causes.push(Cause::required(path, "expression is not specified"))
        }
        Err(why) => causes.push(Cause::invalid_str(path, &expression.text, why)),
        Ok(_) => {}
    }
}

fn conditions(list: &[Value], known: &cel::Environment, path: &FieldPath, causes: &mut Vec<Cause>) {
    for (index, condition) in list.iter().enumerate() {
        let expression = Expression::compile(known, text(condition, "/expression"), Wanted::Bool);
        wrong(causes, &path.index(index).child("expression"), &expression);
    }
}

/// Variables and conditions, which policies of both kinds have.
fn common(spec: &Value, compiled: &[(String, Expression)], has_params: bool) -> Vec<Cause> {
    let mut causes = Vec::new();
    let at = FieldPath::new("spec");
    for (index, (_, expression)) in compiled.iter().enumerate() {
        wrong(&mut causes, &at.child("variables").index(index).child("expression"), expression);
    }
    let types = variables::types(compiled);
    let has = Has { params: has_params, authorizer: true, variables: &types, ..Has::default() };
    conditions(items(spec, "/matchConditions"), &environment(has), &at.child("matchConditions"), &mut causes);
    causes
}

fn mutating_policy(spec: &Value) -> Vec<Cause> {
    let compiled = mutating::Compiled::of(spec);
    let mut causes = common(spec, &compiled.variables, compiled.has_params);
    for (index, mutation) in compiled.mutations.iter().enumerate() {
        let at = FieldPath::new("spec").child("mutations").index(index);
        let at = at.child(mutation.patch.field()).child("expression");
        wrong(&mut causes, &at, &mutation.expression);
    }
    causes
}

fn policy(spec: &Value) -> Vec<Cause> {
    let compiled = Compiled::of(spec);
    let mut causes = common(spec, &compiled.variables, compiled.has_params);
    let at = FieldPath::new("spec");
    for (index, validation) in compiled.validations.iter().enumerate() {
        let at = at.child("validations").index(index);
        wrong(&mut causes, &at.child("expression"), &validation.expression);
        if let Some(message) = &validation.message_expression {
            wrong(&mut causes, &at.child("messageExpression"), message);
        }
    }
    for (index, annotation) in compiled.annotations.iter().enumerate() {
        wrong(
            &mut causes,
            &at.child("auditAnnotations").index(index).child("valueExpression"),
            &annotation.value,
        );
    }
    causes
}

fn webhooks(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let known = environment(Has { authorizer: true, ..Has::default() });
    let mut causes = Vec::new();
    let before = old.map(|old| items(old, "/webhooks")).unwrap_or_default();
    for (index, webhook) in items(object, "/webhooks").iter().enumerate() {
        let stated = items(webhook, "/matchConditions");
        let same = before
            .iter()
            .any(|old| old["name"] == webhook["name"] && items(old, "/matchConditions") == stated);
        if !same {
            let at = FieldPath::new("webhooks").index(index).child("matchConditions");
            conditions(stated, &known, &at, &mut causes);
        }
    }
    causes
}
