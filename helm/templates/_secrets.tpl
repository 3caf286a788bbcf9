{{- define "larder.clusterSecretName" -}}
{{- default (printf "%s-cluster" (include "larder.fullname" .)) .Values.clusterSecret.existingSecret }}
{{- end }}

{{- define "larder.tlsSecretName" -}}
{{- default (printf "%s-tls" (include "larder.fullname" .)) .Values.tls.existingSecret }}
{{- end }}

{{- define "larder.scheme" -}}
{{- ternary "https" "http" .Values.tls.enabled }}
{{- end }}

{{- define "larder.clusterSecretKey" -}}
{{- ternary .Values.clusterSecret.existingSecretKey "cluster-secret" (ne .Values.clusterSecret.existingSecret "") }}
{{- end }}

{{- define "larder.tokensSecretName" -}}
{{- default (printf "%s-tokens" (include "larder.fullname" .)) .Values.auth.existingSecret }}
{{- end }}

{{- define "larder.tokensSecretKey" -}}
{{- ternary .Values.auth.existingSecretKey "tokens.yaml" (ne .Values.auth.existingSecret "") }}
{{- end }}

{{/* Whether the chart generates a token: "true" or empty. */}}
{{- define "larder.generatesToken" -}}
{{- if and .Values.auth.generated.enabled (not .Values.auth.existingSecret) (not .Values.auth.insecureNoAuth) }}true{{ end }}
{{- end }}

{{/* The Secret and key of a token for 'helm test', as a SecretKeySelector; empty if the chart knows none. */}}
{{- define "larder.testToken" -}}
{{- if .Values.test.existingSecret -}}
{name: {{ .Values.test.existingSecret }}, key: {{ .Values.test.existingSecretKey }}}
{{- else if include "larder.generatesToken" . -}}
{name: {{ include "larder.fullname" . }}-token, key: token}
{{- end }}
{{- end }}

{{/*
The value of a key of a Secret that was generated before; else a new one. Call with (dict "root" $ "name" NAME "key" KEY
"new" VALUE). Where there is no cluster to ask (helm template, --dry-run=client) the value is new each time.
*/}}
{{- define "larder.kept" -}}
{{- $secret := lookup "v1" "Secret" .root.Release.Namespace .name }}
{{- $old := dig "data" .key "" $secret }}
{{- if $old }}{{ $old | b64dec }}{{ else }}{{ .new }}{{ end }}
{{- end }}
