{{/* What the objects are called: after the release, unless that is named after the chart already. */}}
{{- define "lrn-server.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What tells a release's pods from all others; it never changes. */}}
{{- define "lrn-server.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "lrn-server.labels" -}}
{{ include "lrn-server.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end -}}

{{- define "lrn-server.scales" -}}
{{- if gt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas) -}}true{{- end -}}
{{- end -}}

{{/* The options of .Values.server, each as the command line has it. Numbers go through JSON, since
     Helm reads them as floats and would print a large one with an exponent. */}}
{{- define "lrn-server.options" -}}
{{- range $name, $value := .Values.server }}
{{- $flag := $name | replace "_" "-" }}
{{- if kindIs "bool" $value }}
- {{ printf "--%s%s" (ternary "" "no-" $value) $flag | quote }}
{{- else if kindIs "slice" $value }}
{{- range $one := $value }}
- {{ printf "--%s" $flag | quote }}
- {{ ternary $one (toJson $one) (kindIs "string" $one) | quote }}
{{- end }}
{{- else }}
- {{ printf "--%s" $flag | quote }}
- {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}
