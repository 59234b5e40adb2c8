//! Which kinds the API serves, asked of the API itself.

use informers::Error;
use kube::discovery::ApiResource;

/// A kind and what can be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub resource: ApiResource,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl Served {
    /// Whether all these verbs are served.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|v| v == verb))
    }
}

/// The preferred version of every kind, and the groups that did not answer.
pub(crate) async fn preferred(client: &kube::Client) -> Result<(Vec<Served>, Vec<String>), Error> {
    let mut served = Vec::new();
    let mut silent = Vec::new();
    collect(&mut served, "", "v1", client.list_core_api_resources("v1").await?);
    for group in client.list_api_groups().await?.groups {
        // The preferred version first; kinds that only others have are added from them.
        let preferred = group.preferred_version.as_ref().map(|v| v.version.clone());
        let mut versions: Vec<String> = group.versions.iter().map(|v| v.version.clone()).collect();
        versions.sort_by_key(|v| Some(v) != preferred.as_ref());
        for version in versions {
            match client.list_api_group_resources(&format!("{}/{version}", group.name)).await {
                Ok(list) => collect(&mut served, &group.name, &version, list),
                Err(error) => {
                    tracing::debug!(group = group.name, version, %error, "a group does not answer");
                    silent.push(format!("{}/{version}", group.name));
                }
            }
        }
    }
    Ok((served, silent))
}

fn collect(
    served: &mut Vec<Served>,
    group: &str,
    version: &str,
    list: k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList,
) {
    for kind in list.resources.into_iter().filter(|r| !r.name.contains('/')) {
        if served.iter().any(|s| s.resource.group == group && s.resource.plural == kind.name) {
            continue;
        }
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: kind.kind,
            plural: kind.name,
        };
        served.push(Served { resource, namespaced: kind.namespaced, verbs: kind.verbs });
    }
}
