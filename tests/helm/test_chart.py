"""The chart over a matrix of values: lint, Kubernetes' schemas, Pod Security, and objects that fit each other."""

import pytest

import chart

HOSTS = {"hosts": [{"host": "push.example.com"}]}
API = {"config": {"apiListen": "[::]:8001"}}
EXTERNAL = {"redis": {"enabled": False}, "externalRedis": {"existingSecret": "push-redis"}}
SAFE = {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
MATRIX = {
    "defaults": {},
    "ingress": {"ingress": {"enabled": True, **HOSTS}},
    "ingress-class-tls": {"ingress": {"enabled": True, "className": "nginx", "annotations": {"a.example/b": "120"}, "labels": {"l": "1"},
                          "hosts": [{"host": "a.example.com", "paths": [{"path": "/ws", "pathType": "Exact"}]}, {"host": "*.example.com"}],
                          "tls": [{"secretName": "t", "hosts": ["a.example.com"]}]}},
    "ingress-base-path": {"ingress": {"enabled": True, **HOSTS}, "config": {"basePath": "/push"}},
    "httproute": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway", "namespace": "infra"}], "hostnames": ["push.example.com"]}},
    "httproute-full": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g", "sectionName": "https"}], "labels": {"l": "1"},
                       "annotations": {"a": "1"}, "paths": [{"path": "/ws", "pathType": "Exact"}, {"path": "/tasks"}],
                       "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-internal"]}}],
                       "timeouts": {"backendRequest": "0s"}}},
    "api-listen": API,
    "api-listen-ingress": chart.merged(API, {"ingress": {"enabled": True, **HOSTS}, "apiService": {"port": 8080, "annotations": {"a": "b"}}}),
    "external-redis-secret": EXTERNAL,
    "external-redis-ca": chart.merged(EXTERNAL, {"externalRedis": {"tls": {"existingSecret": "redis-ca"}}}),
    "external-redis-mutual-tls": chart.merged(EXTERNAL, {"externalRedis": {"tls": {"existingSecret": "redis-tls", "caKey": "",
                                              "certKey": "tls.crt", "privateKeyKey": "tls.key"}}}),
    "external-redis-url": {"redis": {"enabled": False}, "externalRedis": {"url": "redis://:secret@redis.example.com:6379/0"}},
    "external-redis-password": {"redis": {"enabled": False}, "externalRedis": {"url": "redis://:$(REDIS_PASSWORD)@r:6379/0",
                                "existingSecret": "r", "existingSecretPasswordKey": "password"}},
    "redis-ephemeral": {"redis": {"persistence": {"enabled": False}, "podLabels": {"l": "1"}, "podAnnotations": {"a": "1"}}},
    "redis-claim": {"redis": {"persistence": {"existingClaim": "my-claim"}, "auth": {"existingSecret": "r", "existingSecretKey": "pw"}}},
    "redis-storage": {"redis": {"persistence": {"storageClass": "fast", "size": "20Gi"}, "extraConfig": "hz 20\n", "priorityClassName": "p",
                      "image": {"repository": "valkey/valkey", "tag": "8"}, "nodeSelector": {"disk": "ssd"},
                      "tolerations": [{"key": "db", "operator": "Exists"}]}},
    "redis-no-class": {"redis": {"persistence": {"storageClass": "-"}, "resources": {}}},
    "hpa": {"autoscaling": {"enabled": True}},
    "hpa-all": {"autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 30, "targetMemoryUtilizationPercentage": 80,
                "connections": {"enabled": True, "targetAverageValue": 100000000},
                "customMetrics": [{"type": "External", "external": {"metric": {"name": "x"}, "target": {"type": "Value", "value": "1"}}}],
                "behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}}}, "config": {"maxConnectionAge": "1h"}},
    "hpa-memory-only": {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": "", "targetMemoryUtilizationPercentage": 75}},
    "pdb-min-available": {"podDisruptionBudget": {"minAvailable": "50%"}},
    "pdb-min-number": {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 0}},
    "pdb-zero": {"podDisruptionBudget": {"minAvailable": 0}},
    "pdb-off": {"podDisruptionBudget": {"enabled": False}},
    "network-policy": {"networkPolicy": {"enabled": True}},
    "network-policy-strict": chart.merged(API, {"networkPolicy": {"enabled": True, "allowExternal": False, "allowExternalEgress": False,
                             "ingressFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
                             "apiFrom": [{"podSelector": {"matchLabels": {"app": "backend"}}}],
                             "metricsFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "redisFrom": [{"podSelector": {"matchLabels": {"app": "b"}}}],
                             "extraIngress": [{"ports": [{"port": 1}]}], "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}]}}),
    "network-policy-external-redis": chart.merged(EXTERNAL, {"networkPolicy": {"enabled": True, "allowExternalEgress": False}}),
    "tls": {"tls": {"enabled": True, "existingSecret": "push-tls"}},
    "tls-ingress-api": chart.merged(API, {"tls": {"enabled": True, "existingSecret": "t", "certKey": "c", "privateKeyKey": "k"},
                                          "ingress": {"enabled": True, **HOSTS}}),
    "monitoring": {"monitoring": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}},
    "monitoring-full": {"monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "annotations": {"a": "1"}, "interval": "", "scrapeTimeout": "5s",
                           "relabelings": [{"action": "labeldrop", "regex": "pod"}],
                           "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "belfry_loop_turn_.*"}]},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "annotations": {"a": "1"}, "alertLabels": {"team": "push"},
                           "disabled": ["BelfryAbsent"], "runbookUrl": "https://git.example.com/runbook.md", "job": "mine"},
        "dashboard": {"enabled": True, "labels": {"grafana": "yes"}, "annotations": {"grafana_folder": "Push"}}},
        "config": {"metricsListen": ":9999"}},
    "service-account": {"serviceAccount": {"name": "mine", "annotations": {"role": "arn"}, "automountServiceAccountToken": True}},
    "service-account-given": {"serviceAccount": {"create": False, "name": "given"}},
    "service-account-default": {"serviceAccount": {"create": False}},
    "extra-env": {"extraEnv": [{"name": "PING_INTERVAL", "value": "10s"},
                               {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
    "env-from": {"envFrom": [{"configMapRef": {"name": "mine"}}, {"secretRef": {"name": "s", "optional": True}, "prefix": "P_"}]},
    "scheduling": {"nodeSelector": {"pool": "edge"}, "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}],
                   "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                       {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}]}},
                   "priorityClassName": "high", "runtimeClassName": "gvisor", "schedulerName": "mine",
                   "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
                                                  "labelSelector": {"matchLabels": {"x": "y"}}}]},
    "no-spread": {"topologySpreadConstraints": []},
    "sidecars": {"sidecars": [{"name": "logs", "image": "logs:1", "securityContext": SAFE}],
                 "initContainers": [{"name": "wait", "image": "wait:1", "securityContext": SAFE}],
                 "extraVolumes": [{"name": "scratch", "emptyDir": {}}], "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
    "dns": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.10"]}, "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["redis"]}]},
    "key-in-values": {"auth": {"existingSecret": "", "secretKey": "k" * 48}},
    "key-as-variable": {"auth": {"mountAsFile": False}},
    "key-in-values-as-variable": {"auth": {"existingSecret": "", "secretKey": "k" * 48, "mountAsFile": False}},
    "key-file": {"auth": {"existingSecret": "", "secretKeyFile": "/vault/secrets/key"}, "podAnnotations": {"vault/inject": "true"},
                 "tests": {"tokenSecret": "token"}},
    "api-keys": {"apiKeys": {"keys": [{"name": "shop", "secret": "s" * 40, "scopes": ["events:publish", "events:read"]}]}},
    "api-keys-secret": {"apiKeys": {"existingSecret": "keys", "existingSecretKey": "lines"}},
    "api-keys-file": {"apiKeys": {"file": "/vault/secrets/api-keys"}},
    "load-balancer": {"service": {"type": "LoadBalancer", "port": 443, "nodePort": 30443, "loadBalancerClass": "c", "appProtocol": "kubernetes.io/ws",
                      "loadBalancerSourceRanges": ["10.0.0.0/8"], "externalTrafficPolicy": "Local", "ipFamilyPolicy": "PreferDualStack",
                      "labels": {"l": "1"}, "annotations": {"lb": "internal"}}},
    "node-port": {"service": {"type": "NodePort", "nodePort": 30080}},
    "headless": {"service": {"clusterIP": "None"}},
    "names": {"fullnameOverride": "x" * 70, "commonLabels": {"team": "push"}, "commonAnnotations": {"owner": "push"}, "podLabels": {"p": "1"}},
    "name-override": {"nameOverride": "bells", "imagePullSecrets": [{"name": "pull"}], "image": {"digest": "sha256:" + "a" * 64}},
    "rollout": {"replicaCount": 5, "minReadySeconds": 30, "updateStrategy": {"rollingUpdate": {"maxSurge": "50%"}},
                "terminationGracePeriodSeconds": 300, "lifecycleHooks": {"preStop": {"exec": {"command": ["/hook"]}}}},
    "probes-off": {"livenessProbe": None, "startupProbe": None, "resources": {}, "command": ["/belfry"], "args": ["serve"]},
    "no-test": {"tests": {"enabled": False}},
    "embedded-redis": {"redis": {"enabled": False}, "externalRedis": {"url": "embedded"}, "replicaCount": 1, "config": {"dataDir": "/data"},
                       "extraVolumes": [{"name": "data", "emptyDir": {}}], "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}]},
    "extra-objects": {"extraObjects": ["apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: '{{ .Release.Name }}-x'\n",
                                       {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-y"}}]},
    "parent-chart": {"global": {"imageRegistry": "x"}},
}
assert len(MATRIX) >= 20


@pytest.mark.parametrize("name", MATRIX)
def test_every_object_is_valid_and_restricted(name):
    objects = {version: chart.render(MATRIX[name], version=version + ".0") for version in chart.KUBERNETES}
    for version, rendered in objects.items():
        assert len(rendered) >= 5
        for obj in rendered:
            chart.validate(obj, version)
    seen = set()
    for obj in rendered:
        key = (obj["kind"], obj["metadata"]["name"])
        assert key not in seen, f"{key} twice"
        seen.add(key)
        pod = chart.pod_of(obj)
        if pod:
            assert chart.restricted_complaints(pod[1]) == [], key
            assert chart.loose_ends(pod[1], obj["spec"].get("volumeClaimTemplates", ())) == [], key
            assert pod[1]["enableServiceLinks"] is False


@pytest.mark.parametrize("name", MATRIX)
def test_lint_is_content(name):
    done = chart.run("lint", chart.merged(chart.MINIMUM, MATRIX[name]), "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


def is_selected(selector, labels):
    return all(labels.get(name) == value for name, value in selector.items())


@pytest.mark.parametrize("name", MATRIX)
def test_references_hold(name):
    """Services select the pods that they mean, and what is named is there."""
    objects = chart.render(MATRIX[name])
    pods = {o["metadata"]["name"]: chart.pod_of(o) for o in objects if chart.pod_of(o)}
    services = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "Service"}
    for service, spec in services.items():
        found = [pod for meta, pod in pods.values() if is_selected(spec["selector"], meta.get("labels", {}))]
        assert len(found) == 1, f"{service} selects {len(found)} kinds of pods"
        ports = {p["name"] for c in found[0]["containers"] for p in c.get("ports", [])}
        assert {p["targetPort"] for p in spec["ports"]} <= ports
    for obj in objects:
        if obj["kind"] in ("Deployment", "StatefulSet"):
            assert is_selected(obj["spec"]["selector"]["matchLabels"], obj["spec"]["template"]["metadata"]["labels"])
        if obj["kind"] == "Ingress":
            for rule in obj["spec"]["rules"]:
                for path in rule["http"]["paths"]:
                    backend = path["backend"]["service"]
                    assert backend["port"]["name"] in {p["name"] for p in services[backend["name"]]["ports"]}
        if obj["kind"] == "HTTPRoute":
            for ref in obj["spec"]["rules"][0]["backendRefs"]:
                assert ref["port"] in {p["port"] for p in services[ref["name"]]["ports"]}
    deployment = chart.find(objects, "Deployment")
    own_account = [o["metadata"]["name"] for o in objects if o["kind"] == "ServiceAccount"]
    if own_account:
        assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == own_account[0]


def test_without_autoscaling_there_are_replicas_and_with_it_none():
    assert chart.find(chart.render(), "Deployment")["spec"]["replicas"] == 2
    objects = chart.render({"autoscaling": {"enabled": True}})
    assert "replicas" not in chart.find(objects, "Deployment")["spec"]
    assert chart.find(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == chart.find(objects, "Deployment")["metadata"]["name"]


def test_pods_are_replaced_one_by_one_and_none_is_missing():
    spec = chart.find(chart.render(), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] > 0


@pytest.mark.parametrize("drain,seconds", [(None, 120), ("120s", 120), ("2m", 120), (45, 45), ("45", 45), ("1500ms", 2), ("off", 0), (0, 0), ("10m", 600)])
def test_grace_period_is_drain_and_fifteen_seconds(drain, seconds):
    objects = chart.render({} if drain is None else {"config": {"drainSeconds": drain}})
    assert chart.find(objects, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds + 15
    expected = {None: "120s"}.get(drain, str(drain))
    assert chart.environment(objects)["DRAIN_SECONDS"] == expected


def test_an_http_route_sets_no_time_limit():
    route = chart.find(chart.render(MATRIX["httproute"]), "HTTPRoute")
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s"}


def test_the_api_has_a_service_of_its_own_where_it_has_an_address():
    names = {o["metadata"]["name"] for o in chart.render(API) if o["kind"] == "Service"}
    assert names == {"push-belfry", "push-belfry-api", "push-belfry-redis"}
    assert "push-belfry-api" not in {o["metadata"]["name"] for o in chart.render() if o["kind"] == "Service"}


def test_redis_keeps_what_it_is_given():
    config = chart.find(chart.render(), "ConfigMap", "push-belfry-redis")["data"]["redis.conf"]
    assert "appendonly yes" in config.splitlines() and "maxmemory-policy noeviction" in config.splitlines()


def test_new_configuration_makes_new_pods_and_new_keys_do_not():
    def annotations(*values):
        return chart.find(chart.render(chart.merged(*values)), "Deployment")["spec"]["template"]["metadata"]["annotations"]

    key = MATRIX["key-in-values"]
    assert annotations(key) == annotations(key, {"auth": {"secretKey": "j" * 48}})
    assert annotations(key) != annotations(key, {"config": {"pingInterval": "20s"}})
    variable = MATRIX["key-in-values-as-variable"]
    assert annotations(variable) != annotations(variable, {"auth": {"secretKey": "j" * 48}})
    url = MATRIX["external-redis-url"]
    assert annotations(url) != annotations(url, {"externalRedis": {"url": "redis://other:6379/0"}})


def test_the_pod_security_check_finds_what_it_looks_for():
    good = chart.pod_of(chart.find(chart.render(), "Deployment"))[1]
    assert chart.restricted_complaints(good) == []
    bad = [{"hostNetwork": True}, {"hostPID": True}, {"securityContext": {}}, {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
           {"containers": [{**good["containers"][0], "securityContext": {}}]},
           {"initContainers": [{"name": "i", "securityContext": {**SAFE, "privileged": True}}]},
           {"initContainers": [{"name": "i", "securityContext": {**SAFE, "runAsUser": 0}}]},
           {"initContainers": [{"name": "i", "securityContext": {**SAFE, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}}]},
           {"initContainers": [{"name": "i", "securityContext": SAFE, "ports": [{"containerPort": 1, "hostPort": 1}]}]}]
    for change in bad:
        assert chart.restricted_complaints({**good, **change}), change


def test_the_schemas_find_what_they_look_for():
    for obj in chart.render(MATRIX["httproute"]):
        wrong = {**obj, "spec": {**obj.get("spec", {}), "replicsa": 1}} if "spec" in obj else {**obj, "metdata": {}}
        with pytest.raises(Exception):
            chart.validate(wrong, chart.KUBERNETES[-1])
