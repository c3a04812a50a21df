"""Each object against the schema of its kind, in which whatever is not known is wrong.

Kubernetes' own kinds come from ``kubernetes_validate``, the others from the CRDs of their operators. The API server
would drop a field that it does not know and say nothing; here such a field fails. Rules in CEL are not evaluated.
"""

import json
import os
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import yaml

from tests.k8s.rendered import ROOT, Object

KUBERNETES = "v1.37.0"
CRDS = Path(os.environ.get("RAP_CRDS", ROOT.parent / "shared" / "crds"))
SCHEMAS = files("kubernetes_validate") / "kubernetes-json-schema" / f"{KUBERNETES}-local-strict"
DEFINITIONS = "https://kubernetes.io/api/_definitions.json"  # as the files call it; nothing is fetched
OBJECT_META = {"$ref": f"{DEFINITIONS}#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
POD_TEMPLATE = {"$ref": f"{DEFINITIONS}#/$defs/io.k8s.api.core.v1.PodTemplateSpec"}

Schema = dict[str, Any]


class NoSchema(LookupError):
    """Nothing describes this kind here."""


def problems(thing: Object) -> Iterator[str]:
    """What is wrong with ``thing``, one line each. Raises NoSchema."""
    for error in validator(thing["apiVersion"], thing["kind"]).iter_errors(thing):
        yield f"{'.'.join(map(str, error.instance_path))}: {error.message[:300]}"


@cache
def validator(api_version: str, kind: str) -> Any:
    """Of one kind, compiled once. Raises NoSchema."""
    schema = _of_kubernetes(api_version, kind) or _of_an_operator(api_version, kind)
    if schema is None:
        raise NoSchema(f"{api_version} {kind}")
    return jsonschema_rs.Draft202012Validator(schema, retriever=_definitions)


def is_of_kubernetes(thing: Object) -> bool:
    """Whether Kubernetes itself knows the kind."""
    return _of_kubernetes(thing["apiVersion"], thing["kind"]) is not None


def _of_kubernetes(api_version: str, kind: str) -> Schema | None:
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.split(".")[0], version)))
    file = SCHEMAS / f"{name}.json"
    return cast(Schema, json.loads(file.read_text())) if file.is_file() else None


@cache
def _definitions(uri: str) -> Schema:
    assert uri == DEFINITIONS, uri
    return cast(Schema, json.loads((SCHEMAS / "_definitions.json").read_text()))


def _of_an_operator(api_version: str, kind: str) -> Schema | None:
    for definition in _crds():
        spec = definition["spec"]
        if spec["names"]["kind"] == kind and api_version.startswith(f"{spec['group']}/"):
            for version in spec["versions"]:
                if version["name"] == api_version.split("/")[1]:
                    return _root(version["schema"]["openAPIV3Schema"], api_version, kind)
    return None


@cache
def _crds() -> list[Object]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # they have five million characters
    return [yaml.load(path.read_text(), Loader=loader) for path in sorted(CRDS.glob("*.yaml"))]


def _root(schema: Schema, api_version: str, kind: str) -> Schema:
    made = strict(schema)
    known = {"apiVersion": {"const": api_version}, "kind": {"const": kind}, "metadata": OBJECT_META}
    made["properties"] = {**made["properties"], **known}
    made["required"] = sorted({*made.get("required", ()), *known})
    return made


def strict(schema: Schema) -> Schema:
    """A CRD's structural schema as a JSON schema that knows no field but those it names."""
    made = {k: v for k, v in schema.items() if not k.startswith("x-") and k not in {"nullable", "format", "default"}}
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if "properties" in schema:
        made["properties"] = {k: strict(v) for k, v in schema["properties"].items()}
    if "items" in schema:
        made["items"] = strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(schema["additionalProperties"])
    elif "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    if schema.get("nullable"):
        return {"anyOf": [made, {"type": "null"}]}
    return _with_pod_template(made)


def _with_pod_template(made: Schema) -> Schema:
    """A Pod template within a CRD is held against Kubernetes' own schema, too."""
    properties = made.get("properties", {})
    if set(properties) >= {"metadata", "spec"} and "containers" in properties["spec"].get("properties", {}):
        return {"allOf": [made, POD_TEMPLATE]}
    return made
