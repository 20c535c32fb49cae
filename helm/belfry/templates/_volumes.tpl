{{/* Where the files are that the variables name. Whole folders are mounted, since a single file would never change. */}}

{{- define "belfry.volumes" -}}
{{- if and .Values.auth.mountAsFile (not .Values.auth.secretKeyFile) }}
- name: auth
  secret:
    secretName: {{ include "belfry.authSecret" . }}
    items:
      - key: {{ include "belfry.authSecretKey" . }}
        path: secret-key
{{- end }}
{{- if include "belfry.apiKeysSecret" . }}
- name: api-keys
  secret:
    secretName: {{ include "belfry.apiKeysSecret" . }}
    items:
      - key: {{ include "belfry.apiKeysSecretKey" . }}
        path: api-keys
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ .Values.tls.existingSecret }}
    items:
      - key: {{ .Values.tls.certKey }}
        path: tls.crt
      - key: {{ .Values.tls.privateKeyKey }}
        path: tls.key
{{- end }}
{{- with .Values.externalRedis.tls }}
{{- if and .existingSecret (or .caKey .certKey) }}
- name: redis-tls
  secret:
    secretName: {{ .existingSecret }}
    items:
      {{- if .caKey }}
      - key: {{ .caKey }}
        path: ca.crt
      {{- end }}
      {{- if .certKey }}
      - key: {{ .certKey }}
        path: tls.crt
      - key: {{ .privateKeyKey }}
        path: tls.key
      {{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "belfry.volumeMounts" -}}
{{- if and .Values.auth.mountAsFile (not .Values.auth.secretKeyFile) }}
- name: auth
  mountPath: /etc/belfry/auth
  readOnly: true
{{- end }}
{{- if include "belfry.apiKeysSecret" . }}
- name: api-keys
  mountPath: /etc/belfry/api-keys
  readOnly: true
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  mountPath: /etc/belfry/tls
  readOnly: true
{{- end }}
{{- with .Values.externalRedis.tls }}
{{- if and .existingSecret (or .caKey .certKey) }}
- name: redis-tls
  mountPath: /etc/belfry/redis-tls
  readOnly: true
{{- end }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}
