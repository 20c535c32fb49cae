{{/* redis.conf of the chart's Redis. noeviction, since every other policy may silently evict logs. */}}
{{- define "belfry.redisConfig" -}}
bind * -::*
port 6379
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory {{ .Values.redis.maxmemory }}
maxmemory-policy noeviction
stream-node-max-bytes 1024
tcp-backlog 511
{{- with .Values.redis.extraConfig }}
{{ . | trim }}
{{- end }}
{{- end }}
