//! The document that tells clients where everything of this cloud is.

use serde_json::{Value, json};

use super::{Answer, Front, Incoming};
use crate::ArmError;

impl Front {
    /// `GET /metadata/endpoints`: needs no token. URLs are those by which the client came.
    pub(super) fn metadata(&self, incoming: &Incoming) -> Result<Answer, ArmError> {
        let host = incoming.base_url.as_str();
        let public = host.ends_with("//management.azure.com");
        let (login, graph) = if public {
            ("https://login.microsoftonline.com", "https://graph.microsoft.com")
        } else {
            (host, host)
        };
        let cloud = &self.cloud;
        let document = json!({
            "name": cloud.name, "portal": format!("{host}/portal"),
            "authentication": {
                "loginEndpoint": format!("{login}/"), "audiences": [format!("{host}/"), "https://management.core.windows.net/", "https://management.azure.com/"],
                "tenant": "common", "identityProvider": "AAD",
            },
            "resourceManager": format!("{host}/"), "microsoftGraphResourceId": format!("{graph}/"),
            "graph": format!("{graph}/"), "graphAudience": format!("{graph}/"),
            "gallery": format!("{host}/"), "galleryEndpoint": host, "sqlManagement": format!("{host}/"),
            "batch": format!("{host}/batch"), "media": host, "activeDirectoryDataLake": format!("{host}/"),
            "vmImageAliasDoc": format!("{host}/aliases.json"), "logAnalyticsResourceId": host,
            "appInsightsResourceId": host, "appInsightsTelemetryChannelResourceId": host,
            "attestationResourceId": host, "synapseAnalyticsResourceId": host, "ossrDbmsResourceId": host,
            "suffixes": {
                "acrLoginServer": cloud.acr_suffix, "keyVaultDns": cloud.key_vault_suffix,
                "mhsmDns": "managedhsm.azure.net", "storage": cloud.storage_suffix,
                "storageSyncEndpointSuffix": "afs.azure.net", "sqlServerHostname": "database.windows.net",
                "mysqlServerEndpoint": "mysql.database.azure.com", "postgresqlServerEndpoint": "postgres.database.azure.com",
                "mariadbServerEndpoint": "mariadb.database.azure.com", "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
                "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net", "azureFrontDoorEndpointSuffix": "azurefd.net",
                "synapseAnalytics": "dev.azuresynapse.net", "attestationEndpoint": "attest.azure.net",
            },
        });
        // Older versions of the request answer a list of clouds.
        let single = incoming.query("api-version").is_some_and(|v| v >= "2022-01-01");
        Ok(Answer::ok(if single { document } else { Value::Array(vec![document]) }))
    }
}
