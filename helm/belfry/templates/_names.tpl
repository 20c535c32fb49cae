{{/* Names, labels and images. */}}

{{- define "belfry.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters, so that the longest suffix (-redis-data) still fits a label. */}}
{{- define "belfry.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "belfry.redisName" -}}
{{- include "belfry.fullname" . }}-redis
{{- end }}

{{- define "belfry.serviceAccountName" -}}
{{- $default := ternary (include "belfry.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{- define "belfry.matchLabels" -}}
app.kubernetes.io/name: {{ include "belfry.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "belfry.redisMatchLabels" -}}
app.kubernetes.io/name: {{ include "belfry.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end }}

{{- define "belfry.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | trunc 63 | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object: a dict of root, name, and optionally component, labels, annotations. */}}
{{- define "belfry.metadata" -}}
{{- $redis := eq (default "server" .component) "redis" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- $labels := merge (dict) (default dict .labels) (include "belfry.commonLabels" .root | fromYaml) (include (ternary "belfry.redisMatchLabels" "belfry.matchLabels" $redis) .root | fromYaml) }}
  {{- toYaml $labels | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* repository, and digest or tag: a dict of image and default. */}}
{{- define "belfry.imageOf" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .default $image.tag }}
{{- end }}
{{- end }}

{{- define "belfry.image" -}}
{{- if not .Values.image.repository }}
{{- fail "image.repository is required: belfry has no public image. Build one with the project's Dockerfile, push it where your cluster can pull it, and set --set image.repository=registry.example.com/push/belfry" }}
{{- end }}
{{- include "belfry.imageOf" (dict "image" .Values.image "default" .Chart.AppVersion) }}
{{- end }}

{{/* The label that lets a pod of the namespace through the NetworkPolicies. */}}
{{- define "belfry.clientLabel" -}}
{{- include "belfry.fullname" . }}-client: "true"
{{- end }}
