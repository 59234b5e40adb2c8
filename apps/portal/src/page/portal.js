// Signs in, then shows what Resource Manager shows this user. The token lives in this page only.
"use strict";

const byId = (id) => document.getElementById(id);

async function json(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error_description || body.error?.message || response.statusText);
  return body;
}

async function token(form) {
  const body = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: form.client.value.trim(),
    client_secret: form.secret.value.trim(),
    scope: "https://management.azure.com/.default",
  });
  const path = `/${encodeURIComponent(form.tenant.value.trim())}/oauth2/v2.0/token`;
  return (await json(await fetch(path, { method: "POST", body }))).access_token;
}

function fill(table, columns, rows) {
  const head = document.createElement("tr");
  for (const [name] of columns) head.append(Object.assign(document.createElement("th"), { textContent: name }));
  table.replaceChildren(head);
  for (const row of rows) {
    const line = document.createElement("tr");
    for (const [, value] of columns) {
      const text = value(row) ?? "";
      line.append(Object.assign(document.createElement("td"), { textContent: text, className: String(text) }));
    }
    table.append(line);
  }
  if (!rows.length) table.insertRow().insertCell().textContent = "none";
}

const group = (id) => id.split("/")[4];

async function show(bearer) {
  const get = async (path) =>
    json(await fetch(path, { headers: { authorization: `Bearer ${bearer}` } }));
  const subscriptions = (await get("/subscriptions?api-version=2022-12-01")).value;
  if (!subscriptions.length) throw new Error("this application sees no subscription");
  const { subscriptionId, displayName } = subscriptions[0];
  byId("who").textContent = displayName;
  const root = `/subscriptions/${subscriptionId}`;
  const [clusters, groups, resources] = await Promise.all([
    get(`${root}/providers/Microsoft.ContainerService/managedClusters?api-version=2025-05-01`),
    get(`${root}/resourcegroups?api-version=2022-09-01`),
    get(`${root}/resources?api-version=2022-09-01`),
  ]);
  fill(byId("clusters"), [
    ["Name", (c) => c.name], ["Group", (c) => group(c.id)], ["Location", (c) => c.location],
    ["Version", (c) => c.properties.currentKubernetesVersion],
    ["Nodes", (c) => (c.properties.agentPoolProfiles || []).reduce((sum, pool) => sum + pool.count, 0)],
    ["State", (c) => c.properties.provisioningState], ["Power", (c) => c.properties.powerState?.code],
  ], clusters.value);
  fill(byId("groups"), [
    ["Name", (g) => g.name], ["Location", (g) => g.location], ["State", (g) => g.properties?.provisioningState],
  ], groups.value);
  fill(byId("resources"), [
    ["Name", (r) => r.name], ["Type", (r) => r.type], ["Group", (r) => group(r.id)], ["Location", (r) => r.location],
  ], resources.value);
}

document.addEventListener("DOMContentLoaded", () => {
  const form = byId("sign-in");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    byId("error").textContent = "";
    try {
      const bearer = await token(form);
      await show(bearer);
      form.hidden = true;
      document.querySelector("main").hidden = false;
      setInterval(() => show(bearer).catch(() => location.reload()), 5000);
    } catch (error) {
      byId("error").textContent = error.message;
    }
  });
});
