// Creates, reads, lists, watches, patches, replaces and deletes an object of every kind through the Kubernetes client for JavaScript.
//
// usage: node javascript_client.mjs KUBECONFIG OBJECTS.json, with the client in NODE_PATH's first folder
//
// The client's own typed methods are used. Prints a line per kind, `ok` or what went wrong, and `unknown` for kinds this client
// has no methods for.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(`${process.env.NODE_PATH.split(':')[0]}/`));
const k8s = await import(pathToFileURL(require.resolve('@kubernetes/client-node')).href);
const WATCH_LIMIT_MS = 10_000;

const [kubeconfig, file] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const objects = JSON.parse(readFileSync(file, 'utf8'));

// The class of a group and version.
function apiOf(apiVersion) {
  const at = apiVersion.lastIndexOf('/');
  const [group, version] = at < 0 ? ['core', apiVersion] : [apiVersion.slice(0, at), apiVersion.slice(at + 1)];
  const capital = (word) => word[0].toUpperCase() + word.slice(1);
  const words = group.replace(/\.k8s\.io$/, '').split('.').map(capital).join('');
  return k8s[`${words}${capital(version)}Api`];
}

function fail(condition, why) {
  if (!condition) throw new Error(why);
}

// Waits until a watch shows an event of the object.
async function seen(path, name, event, resourceVersion) {
  const watch = new k8s.Watch(config);
  let request;
  const shown = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the watch did not show ${event}`)), WATCH_LIMIT_MS);
    const query = { resourceVersion, fieldSelector: `metadata.name=${name}` };
    const onEvent = (type, object) => {
      if (type === event && object.metadata.name === name) {
        clearTimeout(timer);
        resolve();
      }
    };
    watch.watch(path, query, onEvent, (error) => error && error.name !== 'AbortError' && reject(error)).then((it) => {
      request = it;
    }, reject);
  });
  try {
    await shown;
  } finally {
    request?.abort();
  }
}

async function drive(body) {
  const api = config.makeApiClient(apiOf(body.apiVersion));
  const namespaced = typeof api[`createNamespaced${body.kind}`] === 'function';
  const noun = namespaced ? `Namespaced${body.kind}` : body.kind;
  if (typeof api[`create${noun}`] !== 'function') return 'unknown';
  const place = namespaced ? { namespace: 'default' } : {};
  const created = await api[`create${noun}`]({ ...place, body });
  if (typeof api[`read${noun}`] !== 'function') return 'ok';
  const one = { ...place, name: created.metadata.name };
  const read = await api[`read${noun}`](one);
  fail(read.metadata.uid === created.metadata.uid, 'read another object than was created');
  const listed = await api[`list${noun}`](place);
  fail(listed.items.some((item) => item.metadata.name === one.name), 'not in the list');
  const root = body.apiVersion.includes('/') ? `/apis/${body.apiVersion}` : `/api/${body.apiVersion}`;
  const path = `${root}${namespaced ? '/namespaces/default' : ''}/${body.plural}`;
  await seen(path, one.name, 'ADDED', '0');
  const patch = { ...one, body: { metadata: { labels: { patched: 'yes' } } } };
  const merge = k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.StrategicMergePatch);
  const patched = await api[`patch${noun}`](patch, merge);
  fail(patched.metadata.labels.patched === 'yes', 'the patch is not in the answer');
  await seen(path, one.name, 'MODIFIED', listed.metadata.resourceVersion);
  const now = await api[`read${noun}`](one);
  if (typeof api[`replace${noun}`] === 'function') {
    now.metadata.annotations = { ...now.metadata.annotations, replaced: 'yes' };
    const replaced = await api[`replace${noun}`]({ ...one, body: now });
    fail(replaced.metadata.annotations.replaced === 'yes', 'the replacement is not in the answer');
  }
  await api[`delete${noun}`]({ ...one, gracePeriodSeconds: 0, propagationPolicy: 'Background' });
  const left = await api[`read${noun}`](one).catch((error) => fail(error.code === 404, `${error.code} ${error.body}`));
  // Nobody removes finalizers where no controllers run: those who have one stay, marked.
  fail(!left || left.metadata.deletionTimestamp, 'still there, and not marked for deletion');
  return 'ok';
}

for (const { plural, ...body } of objects) {
  const what = `${body.apiVersion} ${body.kind}`;
  try {
    const known = apiOf(body.apiVersion) ? await drive({ ...body, plural }) : 'unknown';
    console.log(`${known} ${what}`);
  } catch (error) {
    console.log(`FAILED ${what}: ${error.message}`);
  }
}
process.exit(0);
