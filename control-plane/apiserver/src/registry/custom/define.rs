//! Writing a definition: what is filled in, judged and said about it.

use serde_json::{Value, json};

use super::{CLEANUP, DEFINITIONS, check, conditions};
use crate::attributes::ApiError;
use crate::registry::{Registry, Target, object};

impl Registry {
    /// Completes and judges a definition that is written: names, finalizer, and a status that says whether it is served.
    pub(crate) fn prepare_custom_definition(
        &self,
        target: &Target,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), ApiError> {
        if target.served.storage != DEFINITIONS || !target.subresource.is_empty() {
            return Ok(());
        }
        complete(new);
        let causes = check::definition(&self.model, new, old);
        if !causes.is_empty() {
            return Err(target.invalid(object::name(new), &causes));
        }
        if self.taken_by_built_in(new) {
            let path = api_model::FieldPath::new("spec.group");
            let cause = api_model::Cause::forbidden(&path, "the group and resource are served already");
            return Err(target.invalid(object::name(new), &[cause]));
        }
        if old.is_none() {
            let finalizers = object::meta_mut(new).entry("finalizers").or_insert_with(|| json!([]));
            if let Value::Array(list) = finalizers {
                list.push(json!(CLEANUP));
            }
        }
        let status = self.definition_status(new, old);
        object::set(new, "status", status);
        Ok(())
    }

    /// The status of a definition among the others.
    pub(super) fn definition_status(&self, new: &Value, old: Option<&Value>) -> Value {
        let others = self.definitions();
        let group = object::text(new, &["spec", "group"]);
        let name = object::name(new);
        let others = others
            .iter()
            .filter(|other| other.group == group && other.name != name)
            .map(|other| &other.accepted);
        conditions::status(new, old, others, &object::timestamp(self.clock.now()))
    }
}

fn complete(definition: &mut Value) {
    let kind = object::text(definition, &["spec", "names", "kind"]).to_owned();
    let spec = object::map_mut(definition, "spec");
    spec.entry("conversion").or_insert_with(|| json!({"strategy": "None"}));
    if let Some(Value::Object(service)) =
        spec.get_mut("conversion").and_then(|one| one.pointer_mut("/webhook/clientConfig/service"))
    {
        service.entry("port").or_insert_with(|| json!(443));
    }
    let names = spec.entry("names").or_insert_with(|| json!({}));
    if let Value::Object(names) = names
        && !kind.is_empty()
    {
        names.entry("singular").or_insert_with(|| json!(kind.to_lowercase()));
        names.entry("listKind").or_insert_with(|| json!(format!("{kind}List")));
    }
}
