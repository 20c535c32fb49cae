{{/* belfry's variables, made from values. */}}

{{/* A value as belfry reads it: YAML takes `off` for false and 100000000 for a float; lists are joined by commas. */}}
{{- define "belfry.scalar" -}}
{{- if kindIs "bool" . -}}
{{ ternary "on" "off" . }}
{{- else if kindIs "slice" . -}}
{{ join "," . }}
{{- else if kindIs "float64" . -}}
{{ int64 . }}
{{- else if not (kindIs "invalid" .) -}}
{{ toString . }}
{{- end }}
{{- end }}

{{/* The port of an address to listen on: a dict of name and address. */}}
{{- define "belfry.port" -}}
{{- $port := regexFind "^(\\[[0-9A-Fa-f:.%a-z]+\\]|[^:/\\[\\]]*):[1-9][0-9]{0,4}$" (toString .address) | regexFind "[0-9]+$" -}}
{{- if not $port }}
{{- fail (printf "config.%s is %q, but has to be host:port with a port of 1 to 65535, such as [::]:8000: Services and probes reach the pod by it" .name (toString .address)) }}
{{- end }}
{{- $port }}
{{- end }}

{{- define "belfry.httpPort" -}}
{{- include "belfry.port" (dict "name" "listen" "address" .Values.config.listen) }}
{{- end }}
{{- define "belfry.apiPort" -}}
{{- include "belfry.port" (dict "name" "apiListen" "address" .Values.config.apiListen) }}
{{- end }}
{{- define "belfry.metricsPort" -}}
{{- include "belfry.port" (dict "name" "metricsListen" "address" .Values.config.metricsListen) }}
{{- end }}

{{/* Seconds of drain, rounded up: drainSeconds as belfry reads it. */}}
{{- define "belfry.drainSeconds" -}}
{{- $text := include "belfry.scalar" .Values.config.drainSeconds | default "20s" | trim -}}
{{- if eq $text "off" }}{{ $text = "0" }}{{ end -}}
{{- if not (regexMatch "^[0-9]{1,9}(ms|s|m|h)?$" $text) }}
{{- fail (printf "config.drainSeconds is %q, but has to be a duration such as 120s or 2m" $text) }}
{{- end }}
{{- $n := regexFind "^[0-9]+" $text | atoi -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- $seconds := $n -}}
{{- if eq $unit "ms" }}{{ $seconds = div (add $n 999) 1000 }}{{ end -}}
{{- if eq $unit "m" }}{{ $seconds = mul $n 60 }}{{ end -}}
{{- if eq $unit "h" }}{{ $seconds = mul $n 3600 }}{{ end -}}
{{- if gt (int $seconds) 600 }}
{{- fail (printf "config.drainSeconds is %s, but belfry takes at most 10m" $text) }}
{{- end }}
{{- $seconds }}
{{- end }}

{{- define "belfry.grace" -}}
{{- $own := include "belfry.scalar" .Values.terminationGracePeriodSeconds -}}
{{- default (add (include "belfry.drainSeconds" . | int) 15 | toString) $own }}
{{- end }}

{{- define "belfry.basePath" -}}
{{- $path := toString .Values.config.basePath | trimSuffix "/" -}}
{{- $path }}
{{- end }}

{{/* Is there a Secret of the chart's own? */}}
{{- define "belfry.secretData" -}}
{{- if .Values.auth.secretKey }}
secret-key: {{ .Values.auth.secretKey | quote }}
{{- end }}
{{- if .Values.apiKeys.keys }}
{{- $lines := list }}
{{- range .Values.apiKeys.keys }}{{ $lines = append $lines (printf "%s:%s:%s" .name .secret (join " " .scopes)) }}{{ end }}
api-keys: {{ printf "%s\n" (join "\n" $lines) | quote }}
{{- end }}
{{- if and (not .Values.redis.enabled) .Values.externalRedis.url (not .Values.externalRedis.existingSecretPasswordKey) }}
redis-url: {{ .Values.externalRedis.url | quote }}
{{- end }}
{{- end }}

{{/* The Secret of the users' key and its key; empty where it comes from a file of somebody else's. */}}
{{- define "belfry.authSecret" -}}
{{- if .Values.auth.existingSecret -}}
{{ .Values.auth.existingSecret }}
{{- else if .Values.auth.secretKey -}}
{{ include "belfry.fullname" . }}
{{- end }}
{{- end }}
{{- define "belfry.authSecretKey" -}}
{{- ternary .Values.auth.existingSecretKey "secret-key" (ne .Values.auth.existingSecret "") }}
{{- end }}

{{- define "belfry.apiKeysSecret" -}}
{{- if .Values.apiKeys.existingSecret -}}
{{ .Values.apiKeys.existingSecret }}
{{- else if .Values.apiKeys.keys -}}
{{ include "belfry.fullname" . }}
{{- end }}
{{- end }}
{{- define "belfry.apiKeysSecretKey" -}}
{{- ternary .Values.apiKeys.existingSecretKey "api-keys" (ne .Values.apiKeys.existingSecret "") }}
{{- end }}

{{/* What the schema cannot say. */}}
{{- define "belfry.validate" -}}
{{- $_ := include "belfry.image" . }}
{{- $auth := list }}
{{- range $name := list "secretKey" "existingSecret" "secretKeyFile" }}
{{- if get $.Values.auth $name }}{{ $auth = append $auth (printf "auth.%s" $name) }}{{ end }}
{{- end }}
{{- if not $auth }}
{{- fail "the key that verifies users' tokens is required: make a Secret (kubectl create secret generic belfry-auth --from-literal=secret-key=\"$(openssl rand -base64 48)\") and set auth.existingSecret=belfry-auth, or set auth.secretKey" }}
{{- end }}
{{- if gt (len $auth) 1 }}
{{- fail (printf "%s are set, but the key comes from one of them" (join " and " $auth)) }}
{{- end }}
{{- $keys := list }}
{{- range $name := list "keys" "existingSecret" "file" }}
{{- if get $.Values.apiKeys $name }}{{ $keys = append $keys (printf "apiKeys.%s" $name) }}{{ end }}
{{- end }}
{{- if gt (len $keys) 1 }}
{{- fail (printf "%s are set, but the credentials come from one of them" (join " and " $keys)) }}
{{- end }}
{{- $external := or .Values.externalRedis.url .Values.externalRedis.existingSecret }}
{{- if and .Values.redis.enabled $external }}
{{- fail "externalRedis is set, but redis.enabled is true: set redis.enabled=false, so that the chart runs none of its own" }}
{{- end }}
{{- if not (or .Values.redis.enabled $external) }}
{{- fail "redis.enabled is false, so externalRedis.url or externalRedis.existingSecret is required" }}
{{- end }}
{{- if .Values.externalRedis.existingSecretPasswordKey }}
{{- if not (and .Values.externalRedis.existingSecret .Values.externalRedis.url) }}
{{- fail "externalRedis.existingSecretPasswordKey needs externalRedis.existingSecret, which holds the password, and externalRedis.url with $(REDIS_PASSWORD) in it" }}
{{- end }}
{{- else if and .Values.externalRedis.existingSecret .Values.externalRedis.url }}
{{- fail "externalRedis.url and externalRedis.existingSecret are both set, but the URL comes from one of them; where the Secret holds the password only, name it by externalRedis.existingSecretPasswordKey" }}
{{- end }}
{{- if and .Values.externalRedis.tls.existingSecret .Values.redis.enabled }}
{{- fail "externalRedis.tls is set, but redis.enabled is true: TLS is for an external Redis" }}
{{- end }}
{{- if and (or .Values.externalRedis.tls.certKey .Values.externalRedis.tls.privateKeyKey) (not (and .Values.externalRedis.tls.certKey .Values.externalRedis.tls.privateKeyKey)) }}
{{- fail "externalRedis.tls.certKey and externalRedis.tls.privateKeyKey belong together" }}
{{- end }}
{{- if and .Values.tls.enabled (not .Values.tls.existingSecret) }}
{{- fail "tls.enabled needs tls.existingSecret, a Secret of type kubernetes.io/tls" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs, the Gateways it belongs to" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.enabled needs ingress.hosts, such as [{host: push.example.com}]" }}
{{- end }}
{{- if and (eq .Values.externalRedis.url "embedded") (or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled) }}
{{- fail "externalRedis.url=embedded gives each pod a Redis of its own, and the pods would hear nothing of each other: set replicaCount=1" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) }}
{{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas" }}
{{- end }}
{{- end }}

{{/* All variables that are no secrets, as a map; an empty value is left to belfry. */}}
{{- define "belfry.environment" -}}
{{- include "belfry.validate" . }}
{{- range $name, $value := .Values.config }}
{{- $text := include "belfry.scalar" $value }}
{{- if and (eq $name "redisPrefix") (not $text) (not $.Values.redis.enabled) }}{{ $text = printf "%s:" $.Release.Name }}{{ end }}
{{- if $text }}
{{ $name | snakecase | upper }}: {{ $text | quote }}
{{- end }}
{{- end }}
{{- if .Values.auth.secretKeyFile }}
SECRET_KEY_FILE: {{ .Values.auth.secretKeyFile | quote }}
{{- else if .Values.auth.mountAsFile }}
SECRET_KEY_FILE: /etc/belfry/auth/secret-key
{{- end }}
{{- if .Values.apiKeys.file }}
API_KEYS_FILE: {{ .Values.apiKeys.file | quote }}
{{- else if include "belfry.apiKeysSecret" . }}
API_KEYS_FILE: /etc/belfry/api-keys/api-keys
{{- end }}
{{- if .Values.tls.enabled }}
TLS_CERT_FILE: /etc/belfry/tls/tls.crt
TLS_KEY_FILE: /etc/belfry/tls/tls.key
{{- end }}
{{- with .Values.externalRedis.tls }}
{{- if and .existingSecret .caKey }}
REDIS_CA_FILE: /etc/belfry/redis-tls/ca.crt
{{- end }}
{{- if and .existingSecret .certKey }}
REDIS_CERT_FILE: /etc/belfry/redis-tls/tls.crt
REDIS_KEY_FILE: /etc/belfry/redis-tls/tls.key
{{- end }}
{{- end }}
{{- end }}

{{/* Variables that hold secrets, as a list of a container's env. */}}
{{- define "belfry.secretEnv" -}}
{{- if and (not .Values.auth.mountAsFile) (not .Values.auth.secretKeyFile) }}
- name: SECRET_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "belfry.authSecret" . }}
      key: {{ include "belfry.authSecretKey" . }}
{{- end }}
{{- if .Values.redis.enabled }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ default (include "belfry.redisName" .) .Values.redis.auth.existingSecret }}
      key: {{ ternary .Values.redis.auth.existingSecretKey "redis-password" (ne .Values.redis.auth.existingSecret "") }}
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "belfry.redisName" . }}:6379/0
{{- else if .Values.externalRedis.existingSecretPasswordKey }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.externalRedis.existingSecret }}
      key: {{ .Values.externalRedis.existingSecretPasswordKey }}
- name: REDIS_URL
  value: {{ .Values.externalRedis.url | quote }}
{{- else }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ default (include "belfry.fullname" .) .Values.externalRedis.existingSecret }}
      key: {{ ternary .Values.externalRedis.existingSecretUrlKey "redis-url" (ne .Values.externalRedis.existingSecret "") }}
{{- end }}
{{- end }}
