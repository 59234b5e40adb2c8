//! Rules of mutating admission policies. Expressions are compiled where they are run, not here.

use super::admission;
use super::place::Place;
use super::report::Report;

/// What a policy that changes objects may be about: there is nothing to change in what is deleted.
const OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
const APPLY: &str = "ApplyConfiguration";
const JSON_PATCH: &str = "JSONPatch";

/// A mutating policy.
pub(super) fn policy(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    report.optional_of(&spec.field("failurePolicy"), &["Fail", "Ignore"]);
    if spec.has("paramKind") {
        admission::param_kind(&spec.field("paramKind"), report);
    }
    let constraints = spec.field("matchConstraints");
    admission::constraints(&constraints, true, report);
    operations(&constraints, report);
    admission::match_conditions(&spec.field("matchConditions"), report);
    admission::variables(&spec.field("variables"), report);
    let mutations = spec.field("mutations");
    if mutations.is_empty() {
        report.required(&mutations, "mutations must contain at least one item");
    }
    for one in mutations.items() {
        mutation(&one, report);
    }
    let again = spec.field("reinvocationPolicy");
    if again.is_empty() {
        report.required(&again, "");
    } else {
        report.optional_of(&again, &["IfNeeded", "Never"]);
    }
}

/// A binding of a mutating policy.
pub(super) fn binding(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    admission::bound_policy(&spec, report);
    operations(&spec.field("matchResources"), report);
}

/// Upstream names no rule here.
fn operations(at: &Place, report: &mut Report) {
    let rules = at.field("resourceRules");
    let place = rules.field("operations");
    for rule in rules.items() {
        for operation in rule.field("operations").items() {
            if !OPERATIONS.contains(&operation.as_text()) {
                report.unsupported_as(&place, operation.as_text(), &OPERATIONS);
            }
        }
    }
}

fn mutation(at: &Place, report: &mut Report) {
    let kind = at.field("patchType");
    let (wanted, other) = match kind.as_text() {
        "" => return report.required(&kind, ""),
        APPLY => ("applyConfiguration", "jsonPatch"),
        JSON_PATCH => ("jsonPatch", "applyConfiguration"),
        _ => return report.unsupported(&kind, &[APPLY, JSON_PATCH]),
    };
    let (patch, stray) = (at.field(wanted), at.field(other));
    let kind = kind.as_text();
    if patch.is_set() {
        let expression = patch.field("expression");
        if expression.as_text().trim().is_empty() {
            report.required(&expression, "");
        }
    } else {
        report.required(&patch, &format!("must be specified when patchType is {kind}"));
    }
    if stray.is_set() {
        let detail = format!("must not be specified when patchType is {kind}");
        report.invalid_as(&stray, format!("{{{other}}}"), &detail);
    }
}
