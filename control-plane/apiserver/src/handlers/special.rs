//! Subresources that are not a part of the object, reviews, and what is answered by nodes.

use bytes::Bytes;
use http::StatusCode;
use kit::http::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::negotiate::{self, Form, Offers, Shape};
use super::options::WriteOptions;
use super::patch::Patch;
use super::path::RequestInfo;
use super::render::{include, partial, respond};
use super::{Api, Asked, body};
use crate::ApiError;
use crate::attributes::Operation;
use crate::audit;
use crate::authz::reviews::{self, Review};
use crate::registry::scale::scale_of;
use crate::registry::{Target, admit, object};
use crate::streaming::Connect;

/// Whether the request is for a stream from a node: no limits of time apply.
pub fn is_stream(info: &RequestInfo) -> bool {
    info.is_resource
        && matches!(info.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy")
        && matches!(info.resource.as_str(), "pods" | "services" | "nodes")
        && info.group.is_empty()
}

fn plain_form(asked: &Asked) -> Result<Form, ApiError> {
    negotiate::choose(asked.headers(), asked.pretty(), Offers { shapes: false, binary: true, stream: false })
}

fn answer(api: &Api, asked: &Asked, form: Form, status: StatusCode, bytes: Bytes) -> Response {
    respond(&api.registry.model, status, form, bytes, asked.headers(), &asked.warnings)
}

/// Connects the client with what runs on a node.
pub(super) async fn stream(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let connects = target.subresource != "log";
    if connects {
        let mut options = connect_options(asked, target);
        admit::judge(&api.registry, target, Operation::Connect, &mut options, false).await?;
    }
    let rest = rest_of(&asked.info);
    let connect = Connect {
        resource: &target.served.resource.plural,
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: &target.name,
        rest: &rest,
    };
    let request = asked.take_request();
    Ok(api.streaming.serve(connect, request).await)
}

/// What of a path is not encoded when it is sent on.
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// The path behind `/proxy`, with its leading slash; a trailing one stays.
fn rest_of(info: &RequestInfo) -> String {
    match info.rest.as_str() {
        "" if info.path.ends_with('/') => "/".to_owned(),
        "" => String::new(),
        rest => format!("/{}", utf8_percent_encode(rest, &PATH)),
    }
}

/// What is connected, as an object: the query's parameters with their types.
fn connect_options(asked: &Asked, target: &Target) -> Value {
    let mut options = json!({"kind": connect_kind(target), "apiVersion": "v1"});
    if target.subresource == "proxy" {
        options["path"] = json!(asked.info.rest);
        return options;
    }
    for (key, values) in asked.query.all() {
        let first = values.first().map(String::as_str).unwrap_or_default();
        match key.as_str() {
            "command" => options["command"] = json!(values),
            "ports" => {
                let numbers = values.iter().flat_map(|value| value.split(','));
                options["ports"] = numbers.filter_map(|number| number.trim().parse::<u64>().ok()).collect();
            }
            "stdin" | "stdout" | "stderr" | "tty" => {
                options[key.as_str()] = json!(!matches!(first, "false" | "0"))
            }
            "container" => options["container"] = json!(first),
            _ => {}
        }
    }
    options
}

fn connect_kind(target: &Target) -> &'static str {
    match (target.served.resource.plural.as_str(), target.subresource.as_str()) {
        (_, "exec") => "PodExecOptions",
        (_, "attach") => "PodAttachOptions",
        (_, "portforward") => "PodPortForwardOptions",
        ("services", _) => "ServiceProxyOptions",
        ("nodes", _) => "NodeProxyOptions",
        _ => "PodProxyOptions",
    }
}

/// Answers an object that is created and never stored.
pub(super) async fn virtual_object(
    api: &Api,
    asked: &mut Asked,
    target: &Target,
) -> Result<Response, ApiError> {
    if asked.info.verb != "create" {
        return Err(ApiError::method_not_allowed());
    }
    let form = plain_form(asked)?;
    let options = WriteOptions::read("CreateOptions", &asked.query, asked.user_agent())?;
    let media = body::content_type(asked.headers());
    let bytes = asked.take_body().await?;
    let mut object = body::object(
        &api.registry.model,
        &target.served,
        &media,
        &bytes,
        options.validation,
        &mut asked.warnings,
    )?;
    if target.served.storage == "core/bindings" {
        return bind_through_collection(api, asked, target, &object, &options, form).await;
    }
    if target.served.resource.namespaced && object::namespace(&object).is_empty() {
        object::set_meta(&mut object, "namespace", json!(target.namespace));
    }
    target.served.resource.schema.default(&mut object);
    admit::judge(&api.registry, target, Operation::Create, &mut object, &options).await?;
    check_shape_and_rules(target, &object)?;
    let review = Review {
        plural: &target.served.resource.plural,
        namespace: &target.namespace,
        user: &target.user,
        now: api.registry.clock.now(),
    };
    let made = reviews::create(&review, object, &api.authorizer, &api.authenticator).await?;
    Ok(answer(api, asked, form, StatusCode::CREATED, made.to_string().into()))
}

fn check_shape_and_rules(target: &Target, object: &Value) -> Result<(), ApiError> {
    let resource = &target.served.resource;
    let mut causes = resource.schema.validate(object);
    if causes.is_empty() {
        causes = api_model::validation::validate_create(resource, object);
    }
    if causes.is_empty() { Ok(()) } else { Err(target.invalid("", &causes)) }
}

async fn sent(api: &Api, asked: &mut Asked, kind: &str, api_version: &str) -> Result<Value, ApiError> {
    let media = body::content_type(asked.headers());
    let bytes = asked.take_body().await?;
    let mut object = body::value(&api.registry.model, &media, &bytes)?;
    body::check_type(&mut object, kind, api_version)?;
    Ok(object)
}

fn success() -> Bytes {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
        .to_string()
        .into()
}

async fn bind_through_collection(
    api: &Api,
    asked: &Asked,
    target: &Target,
    binding: &Value,
    options: &WriteOptions,
    form: Form,
) -> Result<Response, ApiError> {
    let pods = api.registry.served("", "pods").ok_or_else(ApiError::no_such_path)?;
    let pod = Target {
        served: pods,
        name: object::name(binding).to_owned(),
        subresource: "binding".to_owned(),
        ..target.clone()
    };
    api.registry.bind(&pod, binding, options).await?;
    Ok(answer(api, asked, form, StatusCode::CREATED, success()))
}

/// `POST …/pods/<name>/binding`.
pub(super) async fn bind(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let form = plain_form(asked)?;
    let options = WriteOptions::read("CreateOptions", &asked.query, asked.user_agent())?;
    let binding = sent(api, asked, "Binding", "v1").await?;
    check_name(target, &binding)?;
    api.registry.bind(target, &binding, &options).await?;
    Ok(answer(api, asked, form, StatusCode::CREATED, success()))
}

/// `POST …/pods/<name>/eviction`.
pub(super) async fn evict(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let form = plain_form(asked)?;
    let options = WriteOptions::read("CreateOptions", &asked.query, asked.user_agent())?;
    let eviction = sent(api, asked, "Eviction", "policy/v1").await?;
    check_name(target, &eviction)?;
    api.registry.evict(target, &eviction, &options).await?;
    Ok(answer(api, asked, form, StatusCode::CREATED, success()))
}

fn check_name(target: &Target, object: &Value) -> Result<(), ApiError> {
    if object::name(object) == target.name {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "name in URL does not match name in {} object",
        object::text(object, &["kind"])
    )))
}

/// A scale is written as any object is.
fn check_scale_name(target: &Target, scale: &Value) -> Result<(), ApiError> {
    let (name, have) = (object::name(scale), &target.name);
    if name.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({have} based on URL) was undeterminable: name must be provided"
        )));
    }
    if name != have {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({have})"
        )));
    }
    Ok(())
}

/// `POST …/serviceaccounts/<name>/token`.
pub(super) async fn token(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let form = plain_form(asked)?;
    let options = WriteOptions::read("CreateOptions", &asked.query, asked.user_agent())?;
    let mut request = sent(api, asked, "TokenRequest", "authentication.k8s.io/v1").await?;
    admit::judge(&api.registry, target, Operation::Create, &mut request, &options).await?;
    api.registry.hub.fresh().await.map_err(crate::registry::behind)?;
    let made = api.tokens.issue(&*api.registry, &target.namespace, &target.name, request, &target.user)?;
    audit::annotate("authentication.kubernetes.io/issued-credential-id", || made.credential_id.clone());
    asked.warnings.extend(made.warning);
    Ok(answer(api, asked, form, StatusCode::CREATED, made.request.to_string().into()))
}

/// `GET …/scale`.
pub(super) async fn get_scale(api: &Api, asked: &Asked, target: &Target) -> Result<Response, ApiError> {
    let offers = Offers { shapes: true, binary: true, stream: false };
    let form = negotiate::choose(asked.headers(), asked.pretty(), offers)?;
    let entry = api.registry.get(target, asked.query.get("resourceVersion")).await?;
    let object = api.registry.one_in_version(&target.served, entry.parse()).await?;
    let mut scale = scale_of(&target.served, &object);
    match form.shape {
        Shape::Object => {}
        Shape::Metadata => {
            scale = serde_json::from_slice(&partial(scale.to_string().as_bytes(), form.meta_version()))
                .unwrap_or_default()
        }
        Shape::Table => {
            let (model, now) = (&api.registry.model, api.registry.clock.now());
            scale = api_model::table::scale_table(model, &scale, include(&asked.query)?, now);
            scale["metadata"] = json!({"resourceVersion": object::resource_version(&object)});
        }
    }
    Ok(answer(api, asked, form, StatusCode::OK, scale.to_string().into()))
}

/// `PUT` and `PATCH …/scale`.
pub(super) async fn set_scale(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let form = plain_form(asked)?;
    let kind = if asked.info.verb == "update" { "UpdateOptions" } else { "PatchOptions" };
    let options = WriteOptions::read(kind, &asked.query, asked.user_agent())?;
    let bytes = if asked.info.verb == "update" {
        let wanted = sent(api, asked, "Scale", "autoscaling/v1").await?;
        check_scale_name(target, &wanted)?;
        api.registry.rescale(target, &options, &scale_schema(api)?, &mut |_| Ok(wanted.clone())).await?
    } else {
        let media = body::content_type(asked.headers());
        let bytes = asked.take_body().await?;
        let patch = Patch::read(&media, &bytes, false, options.validation)?;
        super::patch::check_options(&asked.query, &patch)?;
        let schema = scale_schema(api)?;
        match patch.applied() {
            Some(config) => api.registry.apply_scale(target, &options, &schema, config).await?,
            None => {
                api.registry
                    .rescale(target, &options, &schema, &mut |current| patch.apply(&schema, current))
                    .await?
            }
        }
    };
    Ok(answer(api, asked, form, StatusCode::OK, bytes))
}

/// What a `Scale` may hold.
fn scale_schema(api: &Api) -> Result<api_model::Schema, ApiError> {
    let schema = api.registry.model.kind_schema("autoscaling", "v1", "Scale");
    schema.ok_or_else(|| ApiError::internal("the kind Scale is not known"))
}
