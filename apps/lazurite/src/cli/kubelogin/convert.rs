//! `kubelogin convert-kubeconfig`: the users of a kubeconfig that sign in to the directory do it another way from now on.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use kit::files::{Readers, read_string, write_atomic};
use serde_json::{Value, json};

use super::{Login, NAME, SERVER};

/// kubelogin's flags of `convert-kubeconfig`.
#[derive(Debug, Args)]
pub(crate) struct ConvertKubeconfig {
    /// How the users shall sign in.
    #[arg(short, long, value_enum, default_value = "devicecode")]
    login: Login,
    /// The file; else the first that `KUBECONFIG` names, else `~/.kube/config`.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Only the user of this context.
    #[arg(long)]
    context: Option<String>,
    /// The application, or the managed identity, that signs in.
    #[arg(long)]
    client_id: Option<String>,
    /// The tenant.
    #[arg(short, long)]
    tenant_id: Option<String>,
    /// A managed identity, by its resource.
    #[arg(long)]
    identity_resource_id: Option<String>,
    /// The file that holds a workload's token.
    #[arg(long)]
    federated_token_file: Option<String>,
}

impl ConvertKubeconfig {
    pub(super) fn run(&self) -> Result<()> {
        let Some(path) = self.file() else { bail!("there is no home directory to find a kubeconfig in") };
        let text = match read_string(&path) {
            Ok(text) => text,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut config: Value = serde_yaml_ng::from_str(&text)
            .with_context(|| format!("`{}` is no kubeconfig", path.display()))?;
        if self.convert(&mut config) {
            // A bare name has no directory that could be written through to the disk.
            let path = std::path::absolute(&path)?;
            write_atomic(&path, serde_yaml_ng::to_string(&config)?.as_bytes(), Readers::Owner)?;
        }
        Ok(())
    }

    fn file(&self) -> Option<PathBuf> {
        let named = || {
            std::env::split_paths(&std::env::var_os("KUBECONFIG")?).find(|path| !path.as_os_str().is_empty())
        };
        let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config"));
        self.kubeconfig.clone().or_else(named).or_else(usual)
    }

    /// Says whether something changed.
    fn convert(&self, config: &mut Value) -> bool {
        let only = self.context.as_ref().map(|wanted| {
            let contexts = config["contexts"].as_array().into_iter().flatten();
            let found = contexts
                .filter(|context| context["name"] == **wanted)
                .map(|context| context["context"]["user"].clone());
            found.collect::<Vec<_>>()
        });
        let mut changed = false;
        for user in config["users"].as_array_mut().into_iter().flatten() {
            if only.as_ref().is_some_and(|only| !only.contains(&user["name"])) {
                continue;
            }
            if let Some(server) = server_of(&user["user"]) {
                user["user"] = self.user(&server, &user["user"]);
                changed = true;
            }
        }
        changed
    }

    fn user(&self, server: &str, old: &Value) -> Value {
        let had = |flag: &str, key: &str| {
            argument(old, flag).or_else(|| old["auth-provider"]["config"][key].as_str().map(str::to_owned))
        };
        let client = || self.client_id.clone().or_else(|| had("--client-id", "client-id"));
        let tenant = || self.tenant_id.clone().or_else(|| had("--tenant-id", "tenant-id"));
        let environment = || had("--environment", "environment");
        let mut args = vec!["get-token".to_owned(), "--login".to_owned(), self.login.name()];
        let mut add = |flag: &str, value: Option<String>| {
            args.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
        };
        add("--server-id", Some(server.to_owned()));
        match self.login {
            Login::Azurecli | Login::Azd => {}
            Login::Msi => {
                add("--client-id", self.client_id.clone());
                add("--identity-resource-id", self.identity_resource_id.clone());
            }
            Login::Workloadidentity => {
                add("--client-id", self.client_id.clone());
                add("--tenant-id", self.tenant_id.clone());
                add("--federated-token-file", self.federated_token_file.clone());
            }
            Login::Spn => {
                add("--client-id", self.client_id.clone());
                add("--environment", environment());
                add("--tenant-id", tenant());
            }
            _ => {
                add("--client-id", client());
                add("--environment", environment());
                add("--tenant-id", tenant());
            }
        }
        let known = &old["exec"];
        let or =
            |key: &str, otherwise: Value| if known[key].is_null() { otherwise } else { known[key].clone() };
        json!({"exec": {
            "apiVersion": or("apiVersion", json!("client.authentication.k8s.io/v1beta1")),
            "args": args,
            "command": or("command", json!(NAME)),
            "env": known["env"],
            "installHint": known["installHint"],
            "provideClusterInfo": false}})
    }
}

/// The application a user signs in to, if it is one of the directory's clusters.
fn server_of(user: &Value) -> Option<String> {
    let command = user["exec"]["command"].as_str().unwrap_or_default();
    if command.rsplit('/').next().is_some_and(|name| name.contains(NAME)) {
        return Some(argument(user, "--server-id").unwrap_or_else(|| SERVER.to_owned()));
    }
    if user["auth-provider"]["name"] == "azure" {
        let server = user["auth-provider"]["config"]["apiserver-id"].as_str();
        return Some(server.unwrap_or(SERVER).to_owned());
    }
    None
}

fn argument(user: &Value, flag: &str) -> Option<String> {
    let args: Vec<&str> = user["exec"]["args"].as_array()?.iter().filter_map(Value::as_str).collect();
    let at = args.iter().position(|arg| *arg == flag)?;
    args.get(at + 1).map(|value| (*value).to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::kubelogin::{Kubelogin, Program};

    fn converted(line: &str) -> Value {
        let arguments = ["kubelogin", "convert-kubeconfig"].into_iter().chain(line.split_whitespace());
        let Kubelogin::ConvertKubeconfig(options) = Program::try_parse_from(arguments).unwrap().command
        else {
            panic!("it is another command");
        };
        let served = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin",
            "args": ["get-token", "--environment", "AzurePublicCloud", "--server-id", SERVER, "--client-id", "c", "--tenant-id", "t", "--login", "devicecode"]}});
        let mut config = json!({
            "users": [{"name": "one", "user": served}, {"name": "two", "user": {"token": "x"}}],
            "contexts": [{"name": "c1", "context": {"user": "one"}}, {"name": "c2", "context": {"user": "two"}}]});
        options.convert(&mut config);
        assert_eq!(config["users"][1]["user"], json!({"token": "x"}));
        config["users"][0]["user"]["exec"]["args"].clone()
    }

    #[test]
    fn users_of_the_directory_sign_in_as_told() {
        let table = [
            ("-l azurecli", format!("get-token --login azurecli --server-id {SERVER}")),
            ("-l msi --client-id m", format!("get-token --login msi --server-id {SERVER} --client-id m")),
            (
                "-l spn --client-id a",
                format!("get-token --login spn --server-id {SERVER} --client-id a --environment AzurePublicCloud --tenant-id t"),
            ),
            ("-l workloadidentity", format!("get-token --login workloadidentity --server-id {SERVER}")),
            ("-l azurecli --context c2", "get-token --environment AzurePublicCloud --server-id 6dae42f8-4368-4678-94ff-3960e28e3630 --client-id c --tenant-id t --login devicecode".to_owned()),
        ];
        for (line, wanted) in table {
            let args = converted(line);
            let words: Vec<&str> = args.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(words.join(" "), wanted, "{line}");
        }
    }
}
