//! The files of config map, secret, downward and projected volumes.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Secret, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};

use super::Volumes;
use super::atomic::{File, Files};
use crate::pod::env::{self, Facts};
use crate::pod::quantity::milli;
use crate::pod::spec::Spec;

const DEFAULT_MODE: u32 = 0o644;
const TOKEN_LIFE_S: i64 = 3600;

type Data = BTreeMap<String, Vec<u8>>;

fn mode(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default)
}

/// The kind of directory and the files of a volume that is made of files; `None` for other kinds.
pub async fn of(
    volumes: &Volumes,
    spec: &Spec,
    volume: &Volume,
    facts: &Facts,
    refresh_in: &mut Option<Duration>,
) -> Result<Option<(&'static str, Files)>, String> {
    let namespace = spec.namespace();
    if let Some(source) = &volume.config_map {
        let default = mode(source.default_mode, DEFAULT_MODE);
        let data = config_map(volumes, namespace, &source.name, source.optional).await?;
        return Ok(Some(("configmap", pick(data, source.items.as_deref(), default, source.optional)?)));
    }
    if let Some(source) = &volume.secret {
        let default = mode(source.default_mode, DEFAULT_MODE);
        let name = source.secret_name.clone().unwrap_or_default();
        let data = secret(volumes, namespace, &name, source.optional).await?;
        return Ok(Some(("secret", pick(data, source.items.as_deref(), default, source.optional)?)));
    }
    if let Some(source) = &volume.downward_api {
        let default = mode(source.default_mode, DEFAULT_MODE);
        return Ok(Some(("downward-api", downward(spec, source.items.as_deref(), default, facts)?)));
    }
    if let Some(source) = &volume.projected {
        let default = mode(source.default_mode, DEFAULT_MODE);
        let mut files = Files::new();
        for one in source.sources.iter().flatten() {
            files.extend(projection(volumes, spec, one, default, facts, refresh_in).await?);
        }
        return Ok(Some(("projected", files)));
    }
    Ok(None)
}

async fn projection(
    volumes: &Volumes,
    spec: &Spec,
    source: &VolumeProjection,
    default: u32,
    facts: &Facts,
    refresh_in: &mut Option<Duration>,
) -> Result<Files, String> {
    let namespace = spec.namespace();
    if let Some(source) = &source.config_map {
        let data = config_map(volumes, namespace, &source.name, source.optional).await?;
        return pick(data, source.items.as_deref(), default, source.optional);
    }
    if let Some(source) = &source.secret {
        let data = secret(volumes, namespace, &source.name, source.optional).await?;
        return pick(data, source.items.as_deref(), default, source.optional);
    }
    if let Some(source) = &source.downward_api {
        return downward(spec, source.items.as_deref(), default, facts);
    }
    if let Some(source) = &source.service_account_token {
        return token(volumes, spec, source, default, refresh_in).await;
    }
    Err("projections of this kind are not built yet: configMap, secret, downwardAPI and serviceAccountToken are".into())
}

async fn config_map(
    volumes: &Volumes,
    namespace: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Data, String> {
    let found = match optional {
        Some(true) => volumes.objects.config_maps.get(namespace, name).await?,
        _ => Some(volumes.objects.config_maps.need(namespace, name).await?),
    };
    Ok(found.map(|map| config_map_data(&map)).unwrap_or_default())
}

fn config_map_data(map: &ConfigMap) -> Data {
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    text.chain(binary).collect()
}

async fn secret(
    volumes: &Volumes,
    namespace: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Data, String> {
    let found = match optional {
        Some(true) => volumes.objects.secrets.get(namespace, name).await?,
        _ => Some(volumes.objects.secrets.need(namespace, name).await?),
    };
    Ok(found.map(|secret| secret_data(&secret)).unwrap_or_default())
}

fn secret_data(secret: &Secret) -> Data {
    secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn pick(
    mut data: Data,
    items: Option<&[KeyToPath]>,
    default: u32,
    optional: Option<bool>,
) -> Result<Files, String> {
    let file = |bytes, mode| File { bytes, mode, user: None };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(data.into_iter().map(|(key, bytes)| (key, file(bytes, default))).collect());
    };
    let mut files = Files::new();
    for item in items {
        match data.remove(&item.key) {
            Some(bytes) => {
                data.insert(item.key.clone(), bytes.clone());
                files.insert(item.path.clone(), file(bytes, mode(item.mode, default)));
            }
            None if optional == Some(true) => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(files)
}

fn downward(
    spec: &Spec,
    items: Option<&[DownwardAPIVolumeFile]>,
    default: u32,
    facts: &Facts,
) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items.unwrap_or_default() {
        let text = if let Some(reference) = &item.field_ref {
            env::field(&spec.pod, &reference.field_path, facts)?
        } else if let Some(reference) = &item.resource_field_ref {
            let name = reference.container_name.as_deref().unwrap_or_default();
            let (_, container) = spec.find(name).ok_or_else(|| format!("container {name} not found"))?;
            env::resource(container, &reference.resource, reference.divisor.as_ref().map_or(0, milli), facts)?
        } else {
            continue;
        };
        let file = File { bytes: text.into_bytes(), mode: mode(item.mode, default), user: None };
        files.insert(item.path.clone(), file);
    }
    Ok(files)
}

async fn token(
    volumes: &Volumes,
    spec: &Spec,
    source: &ServiceAccountTokenProjection,
    default: u32,
    refresh_in: &mut Option<Duration>,
) -> Result<Files, String> {
    let audiences: Vec<String> = source.audience.iter().filter(|one| !one.is_empty()).cloned().collect();
    let life_s = source.expiration_seconds.unwrap_or(TOKEN_LIFE_S);
    let token = volumes.tokens.get(spec, audiences, life_s).await?;
    *refresh_in = Some(refresh_in.map_or(token.refresh_in, |other| other.min(token.refresh_in)));
    let user = common_user(spec);
    let has_group =
        spec.spec().and_then(|pod| pod.security_context.as_ref()).and_then(|one| one.fs_group).is_some();
    let mode = if user.is_some() || has_group { 0o600 } else { default };
    Ok(Files::from([(source.path.clone(), File { bytes: token.text.into_bytes(), mode, user })]))
}

/// The user all containers run as, if it is one: then only it may read the token.
fn common_user(spec: &Spec) -> Option<i64> {
    let pod = spec.spec()?.security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = spec.all().map(|(_, container)| {
        container.security_context.as_ref().and_then(|context| context.run_as_user).or(pod)
    });
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}
