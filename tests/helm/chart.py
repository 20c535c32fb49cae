"""Renders the chart with the real helm, and judges what comes out: Kubernetes' schemas, Pod Security "restricted"."""

import functools
import json
import os
import pathlib
import subprocess
import tempfile

import jsonschema
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "belfry"
# The oldest that Chart.yaml allows, and a new one.
KUBERNETES = ("1.25", "1.36")
# What every installation has to say.
MINIMUM = {"image": {"repository": "registry.example.com/push/belfry"}, "auth": {"existingSecret": "belfry-auth"}}


def helm():
    return os.environ.get("HELM") or str(ROOT / "build" / "bin" / "helm")


def merged(*many):
    """Values on top of each other, as helm merges them."""
    out = {}
    for values in many:
        for name, value in values.items():
            both = isinstance(value, dict) and isinstance(out.get(name), dict)
            out[name] = merged(out[name], value) if both else value
    return out


def run(command, values, *arguments, version=KUBERNETES[-1], release="push", chart=CHART):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        json.dump(values, f)  # YAML too, and every reader agrees on it
        f.flush()
        names = [release] if command == "template" else []
        argv = [helm(), command, *names, str(chart), "-f", f.name, "--namespace", "apps", "--kube-version", version]
        return subprocess.run([*argv, *arguments], capture_output=True, text=True, timeout=60)


def documents(text):
    return [d for d in yaml.safe_load_all(text) if d is not None]


def render(values=None, **options):
    """The objects that the chart makes of MINIMUM and the values."""
    done = run("template", merged(MINIMUM, values or {}), **options)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def refusal(values, base=MINIMUM):
    """What helm says of values that have to be refused."""
    done = run("template", merged(base, values))
    assert done.returncode != 0, "accepted"
    return done.stderr


def find(objects, kind, name=None):
    found = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
    return found[0]


def container(objects, name="belfry"):
    containers = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return next(c for c in containers if c["name"] == name)


def environment(objects):
    """What belfry's variables are, secrets as `<secret>/<key>`."""
    belfry = container(objects)
    own = belfry["envFrom"][0]["configMapRef"]["name"]
    env = dict(find(objects, "ConfigMap", own)["data"])
    for entry in belfry["env"]:
        ref = entry.get("valueFrom", {}).get("secretKeyRef")
        env[entry["name"]] = f"{ref['name']}/{ref['key']}" if ref else entry["value"]
    return env


# An HTTPRoute is no part of Kubernetes' own schemas: what of the Gateway API v1 the chart uses.
HTTP_ROUTE = json.loads("""{
 "type": "object", "required": ["parentRefs", "rules"], "additionalProperties": false,
 "properties": {
  "parentRefs": {"type": "array", "minItems": 1, "maxItems": 32, "items": {"type": "object", "required": ["name"], "additionalProperties": false,
   "properties": {"group": {"type": "string"}, "kind": {"type": "string"}, "name": {"type": "string", "minLength": 1}, "namespace": {"type": "string"},
    "sectionName": {"type": "string"}, "port": {"type": "integer"}}}},
  "hostnames": {"type": "array", "maxItems": 16, "items": {"type": "string", "pattern": "^(\\\\*\\\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"}},
  "rules": {"type": "array", "minItems": 1, "maxItems": 16, "items": {"type": "object", "additionalProperties": false, "required": ["matches", "backendRefs"],
   "properties": {
    "matches": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["path"], "additionalProperties": false,
     "properties": {"path": {"type": "object", "required": ["type", "value"], "additionalProperties": false,
      "properties": {"type": {"enum": ["Exact", "PathPrefix", "RegularExpression"]}, "value": {"type": "string", "pattern": "^/", "maxLength": 1024}}}}}},
    "filters": {"type": "array", "items": {"type": "object", "required": ["type"]}},
    "timeouts": {"type": "object", "additionalProperties": false, "properties": {
     "request": {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}, "backendRequest": {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}}},
    "backendRefs": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["name", "port"], "additionalProperties": false,
     "properties": {"name": {"type": "string", "minLength": 1}, "port": {"type": "integer", "minimum": 1, "maximum": 65535}}}}}}}}
}""")


def closed(schema):
    """The schema of a CRD for jsonschema: what it does not name is an error, where the API server would drop it."""
    schema = {k: v for k, v in schema.items() if k not in ("description", "format") and not k.startswith("x-kubernetes-")}
    if schema.get("pattern", "").startswith("^(?i)"):  # Go's way; Python wants flags in front
        schema["pattern"] = "(?i)^" + schema["pattern"].removeprefix("^(?i)")
    if "properties" in schema:
        schema["properties"] = {name: closed(of) for name, of in schema["properties"].items()}
        schema.setdefault("additionalProperties", False)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            schema[name] = closed(schema[name])
    return schema


@functools.cache
def crds():
    """{(apiVersion, kind): schema of the spec} of the Prometheus Operator's CRDs (get_crds.sh)."""
    found = {}
    for path in pathlib.Path(os.environ.get("CRDS") or ROOT / "build" / "crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            properties = version["schema"]["openAPIV3Schema"]["properties"]
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = closed(properties["spec"])
    return found


def validate(obj, version):
    """Raises unless the object is what Kubernetes `version` takes, with the Prometheus Operator's CRDs."""
    if obj["apiVersion"].startswith("monitoring.coreos.com/"):
        jsonschema.validate(obj["spec"], crds()[obj["apiVersion"], obj["kind"]])
    elif obj["kind"] == "HTTPRoute":
        assert obj["apiVersion"] == "gateway.networking.k8s.io/v1"
        jsonschema.validate(obj["spec"], HTTP_ROUTE)
    else:
        kubernetes_validate.validate(obj, version, strict=True)


def pod_of(obj):
    """The pod that an object is or makes, as (metadata, spec); None if none."""
    if obj["kind"] == "Pod":
        return obj["metadata"], obj["spec"]
    template = obj.get("spec", {}).get("template") if obj["kind"] in ("Deployment", "StatefulSet", "Job") else None
    return (template["metadata"], template["spec"]) if template else None


RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def container_complaints(c, pod):
    """What Pod Security "restricted" has against a container, where `pod` is the pod's own context."""
    context = c.get("securityContext", {})
    name = c["name"]
    capabilities = context.get("capabilities", {})
    if context.get("privileged"):
        yield f"{name}: privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: allowPrivilegeEscalation is not false"
    if "ALL" not in capabilities.get("drop", []):
        yield f"{name}: does not drop ALL capabilities"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: adds capabilities"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield f"{name}: may run as root"
    if context.get("runAsUser", pod.get("runAsUser")) == 0:
        yield f"{name}: runs as root"
    if context.get("seccompProfile", pod.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{name}: no seccomp profile"
    if context.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    if any("hostPort" in p for p in c.get("ports", [])):
        yield f"{name}: host port"


def restricted_complaints(spec):
    """What Pod Security "restricted" has against a pod."""
    found = [f"{field} is set" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    pod = spec.get("securityContext", {})
    if pod.get("sysctls"):
        found.append("sysctls")
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if kinds - RESTRICTED_VOLUMES:
            found.append(f"volume {volume['name']}: {kinds}")
    for c in [*spec.get("initContainers", []), *spec["containers"]]:
        found += container_complaints(c, pod)
    return found


def loose_ends(spec, claims=()):
    """Mounts without a volume, and volumes that nobody mounts; `claims` are a StatefulSet's volumeClaimTemplates."""
    volumes = [v["name"] for v in spec.get("volumes", [])] + [c["metadata"]["name"] for c in claims]
    mounts = {m["name"] for c in [*spec.get("initContainers", []), *spec["containers"]] for m in c.get("volumeMounts", [])}
    found = [f"volume {name} twice" for name in set(volumes) if volumes.count(name) > 1]
    return found + [f"{name}: no such volume" for name in mounts - set(volumes)] + [f"{name}: not mounted" for name in set(volumes) - mounts]
