//! What a template comes to, without deploying it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::evaluate::{Missing, Scope};
use super::plan::{self, wrong};
use super::run;
use crate::{ArmError, ResourceId};

/// A resource that a template would deploy, or refers to.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Its id.
    pub id: ResourceId,
    /// The api-version it is written with.
    pub version: String,
    /// Keys of the resources that must be there first.
    pub needs: Vec<String>,
    /// What would be sent; nothing when it is made of what other resources answer.
    pub body: Option<Value>,
}

/// What a template comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Its resources, in the order of the template.
    pub resources: Vec<Planned>,
    /// Its outputs; nothing for one that is made of what resources answer.
    pub outputs: BTreeMap<String, Option<Value>>,
}

/// Plans a template at a scope, with the `parameters` of a request, and evaluates what can be without asking any resource.
///
/// # Errors
/// `InvalidTemplate` as a deployment would answer it.
pub fn preview(
    template: &Value,
    parameters: &Value,
    target: &ResourceId,
    now: Timestamp,
) -> Result<Preview, ArmError> {
    let scope = Scope { target: target.clone(), now, ..Scope::default() };
    let plan = plan::plan(template, parameters, scope)?;
    let mut resources = Vec::new();
    for item in &plan.items {
        resources.push(Planned {
            id: item.id.clone(),
            version: item.version.clone(),
            needs: item.needs.iter().cloned().collect(),
            body: known(run::body(item, &item.scope))?,
        });
    }
    let mut outputs = BTreeMap::new();
    for (name, raw) in &plan.outputs {
        match known(run::output(&plan.scope, raw))? {
            // Its condition does not hold.
            Some(None) => {}
            Some(made) => drop(outputs.insert(name.clone(), made)),
            None => drop(outputs.insert(name.clone(), None)),
        }
    }
    Ok(Preview { resources, outputs })
}

fn known<T>(made: Result<T, Missing>) -> Result<Option<T>, ArmError> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(Missing::State(_)) => Ok(None),
        Err(other) => Err(wrong(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_is_shown_as_far_as_it_is_known() {
        let template = json!({"resources": [
            {"type": "A.B/c", "apiVersion": "1", "name": "x", "properties": {"n": "[add(1, 2)]"}},
            {"type": "A.B/c", "apiVersion": "1", "name": "y", "properties": "[reference('x')]", "dependsOn": ["x"]}],
            "outputs": {"a": {"type": "int", "value": "[mul(2, 3)]"}, "b": {"type": "object", "value": "[reference('y')]"}}});
        let group = ResourceId::of_group("s", "g");
        let made = preview(&template, &json!({}), &group, Timestamp::UNIX_EPOCH).unwrap();
        let [x, y] = &made.resources[..] else { panic!("{made:?}") };
        assert_eq!(x.body, Some(json!({"properties": {"n": 3}})));
        assert_eq!((&y.body, &y.needs[..]), (&None, &[x.id.key().to_owned()][..]));
        assert_eq!(made.outputs, BTreeMap::from([("a".to_owned(), Some(json!(6))), ("b".to_owned(), None)]));
    }
}
