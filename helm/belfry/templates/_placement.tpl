{{/* What belfry's pods and Redis' have in common: a dict of root and values. */}}
{{- define "belfry.placement" -}}
{{- $parts := dict }}
{{- with .root.Values.imagePullSecrets }}{{ $_ := set $parts "imagePullSecrets" . }}{{ end }}
{{- with .values.nodeSelector }}{{ $_ := set $parts "nodeSelector" . }}{{ end }}
{{- with .values.tolerations }}{{ $_ := set $parts "tolerations" . }}{{ end }}
{{- with .values.affinity }}{{ $_ := set $parts "affinity" . }}{{ end }}
{{- with .values.priorityClassName }}{{ $_ := set $parts "priorityClassName" . }}{{ end }}
{{- if $parts }}{{ toYaml $parts }}{{ end }}
{{- end }}
