"""Creates, reads, lists, watches, patches, replaces and deletes an object of every kind through the Kubernetes client for Python.

usage: python_client.py KUBECONFIG OBJECTS.json

The client's own typed methods are used, and its models read every answer: a field it requires and does not find is a failure.
Prints a line per kind, `ok` or what went wrong, and `unknown` for kinds this client has no methods for.
"""

import itertools
import json
import re
import sys

from kubernetes import client, config, watch

UNTIL_GONE_S = 10


def snake(kind):
    """`CSIDriver` is `csi_driver` in the names of methods."""
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", kind).lower()


def api_of(api_version):
    """The class of a group and version."""
    group, _, version = api_version.rpartition("/")
    words = group.removesuffix(".k8s.io").split(".") if group else ["core"]
    name = "".join(word.capitalize() for word in words) + version[0].upper() + version[1:] + "Api"
    return getattr(client, name, None)


class Kind:
    """The methods for one kind."""

    def __init__(self, body):
        self.body = body
        self.name = body["metadata"]["name"]
        self.api = api_of(body["apiVersion"])()
        self.noun = snake(body["kind"])
        self.namespaced = hasattr(self.api, f"create_namespaced_{self.noun}")
        if not self.namespaced and not hasattr(self.api, f"create_{self.noun}"):
            raise LookupError(self.noun)

    def method(self, verb):
        return getattr(self.api, f"{verb}_namespaced_{self.noun}" if self.namespaced else f"{verb}_{self.noun}")

    def has(self, verb):
        return hasattr(self.api, f"{verb}_namespaced_{self.noun}" if self.namespaced else f"{verb}_{self.noun}")

    def place(self):
        return {"namespace": "default"} if self.namespaced else {}

    def drive(self):
        created = self.method("create")(body=self.body, **self.place())
        if not self.has("read"):
            return
        one = {"name": created.metadata.name, **self.place()}
        read = self.method("read")(**one)
        assert read.metadata.uid == created.metadata.uid, "read another object than was created"
        listed = self.method("list")(**self.place())
        assert any(item.metadata.name == self.name for item in listed.items), "not in the list"
        self.seen("ADDED", "0")
        since = listed.metadata.resource_version
        patched = self.method("patch")(body={"metadata": {"labels": {"patched": "yes"}}}, **one)
        assert patched.metadata.labels["patched"] == "yes", "the patch is not in the answer"
        self.seen("MODIFIED", since)
        read = self.method("read")(**one)
        if self.has("replace"):
            read.metadata.annotations = {**(read.metadata.annotations or {}), "replaced": "yes"}
            replaced = self.method("replace")(body=read, **one)
            assert replaced.metadata.annotations["replaced"] == "yes", "the replacement is not in the answer"
        self.method("delete")(grace_period_seconds=0, propagation_policy="Background", **one)
        self.gone(one)

    def seen(self, event, since):
        selector = {"field_selector": f"metadata.name={self.name}"}
        stream = watch.Watch().stream(
            self.method("list"), resource_version=since, timeout_seconds=UNTIL_GONE_S, **selector, **self.place()
        )
        try:
            first = next(iter(stream), None)
        except AttributeError as error:
            # The client looks for a model under a name that it does not have (1.35: ResourceClaim).
            print(f"note {self.noun}: {error}")
            return
        for one in itertools.chain([first] if first else [], stream):
            if one["type"] == event and one["object"].metadata.name == self.name:
                return
        raise AssertionError(f"the watch did not show {event}")

    def gone(self, one):
        # Nobody removes finalizers where no controllers run: those who have one stay, marked.
        try:
            left = self.method("read")(**one)
        except client.ApiException as error:
            assert error.status == 404, f"{error.status} {error.body}"
            return
        assert left.metadata.deletion_timestamp, "still there, and not marked for deletion"


def main():
    config.load_kube_config(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as file:
        objects = json.load(file)
    for body in objects:
        what = f"{body['apiVersion']} {body['kind']}"
        try:
            Kind(body).drive()
            print(f"ok {what}")
        except (LookupError, TypeError) as error:
            print(f"unknown {what}: {error}")
        except Exception as error:  # pylint: disable=broad-except
            print(f"FAILED {what}: {type(error).__name__}: {error}")


main()
