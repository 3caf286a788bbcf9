{{/* A Kubernetes quantity of memory in bytes: 512Mi, 1.5Gi, 4G or a number. The schema refuses the rest. */}}
{{- define "larder.bytes" -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 }}
{{- if kindIs "string" . }}
{{- $unit := regexFind "[A-Za-z]*$" . }}
{{- mulf (trimSuffix $unit . | float64) (get $units $unit | default 1) | floor | int64 }}
{{- else }}
{{- int64 . }}
{{- end }}
{{- end }}

{{/* The memory limit in bytes; empty if there is none. */}}
{{- define "larder.limit" -}}
{{- with dig "limits" "memory" "" .Values.resources }}{{ include "larder.bytes" . }}{{ end }}
{{- end }}

{{/* The node's --memory: a size in bytes, or a share of the limit, which the node follows. Empty leaves it to the node. */}}
{{- define "larder.memory" -}}
{{- $limit := include "larder.limit" . }}
{{- $tier := toString .Values.cache.memory }}
{{- $isShare := hasSuffix "%" $tier }}
{{- if and $tier (not $isShare) }}
{{- $tier = include "larder.bytes" .Values.cache.memory }}
{{- if lt (int64 $tier) 1048576 }}
{{- fail (printf "cache.memory is %s bytes: write a share like 60%% and a size like 4Gi" $tier) }}
{{- end }}
{{- else if not $limit }}
{{- fail "resources.limits.memory is not set: the memory tier is a share of it. Set it, or give cache.memory a size (for example 4Gi)" }}
{{- end }}
{{- if and $limit $tier (not $isShare) (gt (int64 $tier) (sub (int64 $limit) (max (div (int64 $limit) 5) 201326592))) }}
{{- fail (printf "cache.memory is %s bytes of resources.limits.memory's %s: leave at least a fifth of the limit for requests, and 192Mi, or the kernel kills the node" $tier $limit) }}
{{- end }}
{{- if and $limit (lt (int64 $limit) 268435456) }}
{{- fail (printf "resources.limits.memory is %s bytes: a node needs at least 256Mi" $limit) }}
{{- end }}
{{- $tier }}
{{- end }}

{{/* The node's --disk-size, of the size of a volume. */}}
{{- define "larder.diskSize" -}}
{{- $size := include "larder.bytes" . | int64 }}
{{- if lt $size 268435456 }}
{{- fail (printf "disk.size is %d bytes: a disk of less than 256Mi is no use; write a size like 200Gi" $size) }}
{{- end }}
{{- div (mul $size 9) 10 }}
{{- end }}
