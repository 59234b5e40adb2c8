//! `/scale`: how many there are and shall be, whatever the kind.

use api_model::merge::apply;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::manage::{self, Who};
use super::modify::Modify;
use super::{Registry, Served, Target, object};
use crate::attributes::ApiError;
use crate::handlers::options::WriteOptions;

/// The `Scale` of an object.
pub fn scale_of(served: &Served, object: &Value) -> Value {
    let (wanted, have, selector) = match served.custom.as_ref().and_then(|custom| custom.scale.as_ref()) {
        Some(paths) => {
            let follow = |key: &str| follow(object, object::text(paths, &[key]));
            (
                follow("specReplicasPath").as_i64().unwrap_or(0),
                follow("statusReplicasPath").as_i64().unwrap_or(0),
                follow("labelSelectorPath").as_str().unwrap_or_default().to_owned(),
            )
        }
        None => (
            object::number(object, &["spec", "replicas"]).unwrap_or(0),
            object::number(object, &["status", "replicas"]).unwrap_or(0),
            selector_text(object::at(object, &["spec", "selector"])),
        ),
    };
    let mut meta = Map::new();
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let value = object::at(object, &["metadata", key]);
        if !value.is_null() {
            meta.insert(key.to_owned(), value.clone());
        }
    }
    let mut status = json!({"replicas": have});
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    let spec = if wanted == 0 { json!({}) } else { json!({"replicas": wanted}) };
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status})
}

/// The value at a path such as `.spec.replicas`.
fn follow<'a>(object: &'a Value, path: &str) -> &'a Value {
    let steps: Vec<&str> = path.split('.').filter(|step| !step.is_empty()).collect();
    object::at(object, &steps)
}

pub(super) fn set_replicas(served: &Served, object: &mut Value, replicas: i64) {
    let paths = served.custom.as_ref().and_then(|custom| custom.scale.as_ref());
    let path = paths.map_or(".spec.replicas", |paths| object::text(paths, &["specReplicasPath"])).to_owned();
    let mut steps: Vec<&str> = path.split('.').filter(|step| !step.is_empty()).collect();
    let Some(last) = steps.pop() else { return };
    let mut place = object;
    for step in steps {
        object::map_mut(place, step);
        place = &mut place[step];
    }
    object::set(place, last, json!(replicas));
}

/// A label selector as text.
fn selector_text(selector: &Value) -> String {
    let plain = selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none();
    let labels = if plain { selector } else { object::at(selector, &["matchLabels"]) };
    let mut parts: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in object::items(selector, &["matchExpressions"]) {
        let key = object::text(expression, &["key"]);
        let values: Vec<&str> =
            object::items(expression, &["values"]).iter().filter_map(Value::as_str).collect();
        parts.push(match object::text(expression, &["operator"]) {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    parts.join(",")
}

/// The steps to the number of replicas in an object.
fn replicas_path(served: &Served) -> Vec<String> {
    let paths = served.custom.as_ref().and_then(|custom| custom.scale.as_ref());
    let path = paths.map_or(".spec.replicas", |paths| object::text(paths, &["specReplicasPath"]));
    path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect()
}

impl Registry {
    /// Changes the scale: `change` makes the new `Scale` of the current one. Answers with the new `Scale`.
    ///
    /// # Errors
    /// As the API answers them.
    pub async fn rescale(
        &self,
        target: &Target,
        options: &WriteOptions,
        schema: &api_model::Schema,
        change: &mut (dyn FnMut(&Value) -> Result<Value, ApiError> + Send),
    ) -> Result<Bytes, ApiError> {
        let who = Who::updates(&options.manager, "scale");
        let manager = who.manager("autoscaling/v1".to_owned(), self.clock.now());
        self.write_scale(target, options, &mut |current| {
            let mut wanted = change(current)?;
            if let Some(misfit) = api_model::decode::misfit(schema, &wanted) {
                let why = format!("Scale in version \"v1\" cannot be handled as a Scale: {misfit}");
                return Err(ApiError::bad_request(why));
            }
            apply::update_managed_fields(schema, Some(current), &mut wanted, &manager);
            Ok(wanted)
        })
        .await
    }

    /// Applies a configuration of a `Scale`.
    ///
    /// # Errors
    /// As the API answers them; conflicts name the owners of the object's own number.
    pub async fn apply_scale(
        &self,
        target: &Target,
        options: &WriteOptions,
        schema: &api_model::Schema,
        config: &Value,
    ) -> Result<Bytes, ApiError> {
        let manager =
            Who::applies(&options.manager, "scale").manager("autoscaling/v1".to_owned(), self.clock.now());
        self.write_scale(target, options, &mut |current| {
            apply::apply(schema, Some(current), config, &manager, options.force).map_err(manage::refused)
        })
        .await
    }

    async fn write_scale(
        &self,
        target: &Target,
        options: &WriteOptions,
        change: &mut (dyn FnMut(&Value) -> Result<Value, ApiError> + Send),
    ) -> Result<Bytes, ApiError> {
        let served = target.served.clone();
        let path = replicas_path(&served);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        // The owners of the number are kept here.
        let who = Who::applies(&options.manager, "scale");
        // The rest of the object is as it was, so the kind's own rules have nothing to say but to the spec.
        let modify = Modify { target, options, who: &who, checked: true };
        let written = self
            .modify(&modify, &mut |old| {
                let mut current = scale_of(&served, old);
                object::set_meta(&mut current, "managedFields", apply::scale_managed_fields(old, &path));
                let wanted = change(&current)?;
                let replicas = check_scale(target, &wanted, old)?;
                let mut new = old.clone();
                set_replicas(&served, &mut new, replicas);
                apply::merge_scale_managed_fields(&mut new, &wanted, &path, &served.api_version());
                Ok(new)
            })
            .await?;
        let object = object::decode(&written).unwrap_or_default();
        Ok(serde_json::to_vec(&scale_of(&served, &object)).unwrap_or_default().into())
    }
}

/// How many a `Scale` wants of an object.
fn check_scale(target: &Target, wanted: &Value, old: &Value) -> Result<i64, ApiError> {
    let version = object::resource_version(wanted);
    if !version.is_empty() && version != object::resource_version(old) {
        return Err(target.modified());
    }
    let uid = object::uid(wanted);
    if !uid.is_empty() && uid != object::uid(old) {
        return Err(target.conflict("Precondition failed: UID in precondition differs"));
    }
    let replicas = object::number(wanted, &["spec", "replicas"]).unwrap_or(0);
    if replicas < 0 {
        let path = api_model::FieldPath::new("spec.replicas");
        let cause = api_model::Cause::invalid(&path, &json!(replicas), "must be greater than or equal to 0");
        return Err(ApiError::invalid("autoscaling", "Scale", &target.name, &[cause]));
    }
    Ok(replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_as_kubectl_takes_them() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]});
        assert_eq!(selector_text(&selector), "app=web,tier in (a,b)");
        assert_eq!(selector_text(&json!({"app": "web"})), "app=web");
    }
}
