{{/* Names, labels, images and settings that several objects share. */}}

{{- define "tidemark.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* 40 characters leave room for what follows it: no name is longer than the 63 of a label. */}}
{{- define "tidemark.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "tidemark.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "tidemark.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Arguments: root, component. */}}
{{- define "tidemark.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tidemark.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Arguments: root, component. */}}
{{- define "tidemark.labels" -}}
{{ include "tidemark.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Arguments: root, component, name (what follows the full name). */}}
{{- define "tidemark.metadata" -}}
name: {{ include "tidemark.fullname" .root }}{{ with .name }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "tidemark.labels" . | nindent 2 }}
{{- end }}

{{/* Arguments: root, image. The digest wins over the tag. */}}
{{- define "tidemark.image" -}}
{{- with .image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ default $.root.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* Arguments: root, component. */}}
{{- define "tidemark.serviceAccountName" -}}
{{- $account := (index .root.Values .component).serviceAccount }}
{{- default (printf "%s-%s" (include "tidemark.fullname" .root) .component) $account.name }}
{{- end }}

{{/* Fewest pods of a workload. Arguments: its values. */}}
{{- define "tidemark.leastReplicas" -}}
{{- if .autoscaling.enabled }}{{ .autoscaling.minReplicas }}
{{- else if (default dict .keda).enabled }}{{ .keda.minReplicas }}
{{- else }}{{ .replicas }}
{{- end }}
{{- end }}

{{- define "tidemark.definitionsName" -}}
{{- default (printf "%s-definitions" (include "tidemark.fullname" .)) .Values.existingDefinitions }}
{{- end }}

{{/* The longest that a workload takes from SIGTERM to its end, in seconds; tests/helm compares it with the constants of the code. */}}
{{- define "tidemark.drainSeconds" -}}
{{- if eq . "api" }}30{{ else }}32{{ end }}
{{- end }}

{{/* What both workloads read from the environment. Argument: the root. */}}
{{- define "tidemark.env" -}}
- { name: TIDEMARK_DEFINITIONS, value: /etc/tidemark/definitions.yaml }
- { name: TIDEMARK_ADMIN_ADDR, value: {{ printf "%s:9090" .Values.listenAddress | quote }} }
{{ include "tidemark.tablesEnv" . }}
- name: TIDEMARK_SECRET_KEY
  valueFrom:
    secretKeyRef: { name: {{ .Values.secretKey.existingSecret }}, key: {{ .Values.secretKey.entry }} }
- name: TIDEMARK_SECRET_KEY_PREVIOUS
  valueFrom:
    secretKeyRef: { name: {{ .Values.secretKey.existingSecret }}, key: {{ .Values.secretKey.previousEntry }}, optional: true }
{{ include "tidemark.telemetryEnv" .Values.telemetry }}
{{- with .Values.webhooks.allowCidrs }}
- { name: TIDEMARK_WEBHOOK_ALLOW_CIDRS, value: {{ join "," . | quote }} }
{{- end }}
{{- with .Values.webhooks.denyCidrs }}
- { name: TIDEMARK_WEBHOOK_DENY_CIDRS, value: {{ join "," . | quote }} }
{{- end }}
{{- end }}

{{/* Who a pod is in its telemetry, and where that goes. Kubernetes puts a variable in only after the variables it names. Argument: .Values.telemetry */}}
{{- define "tidemark.telemetryEnv" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: { fieldPath: metadata.namespace }
- name: POD_NAME
  valueFrom:
    fieldRef: { fieldPath: metadata.name }
{{- $attributes := list "k8s.namespace.name=$(POD_NAMESPACE)" "k8s.pod.name=$(POD_NAME)" }}
{{- range $name, $value := .resourceAttributes }}
{{- $attributes = append $attributes (printf "%s=%s" $name $value) }}
{{- end }}
- { name: OTEL_RESOURCE_ATTRIBUTES, value: {{ join "," $attributes | quote }} }
{{- with .endpoint }}
- { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }} }
{{- end }}
{{- with .headers }}
{{- if .existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef: { name: {{ .existingSecret }}, key: {{ .entry }} }
{{- end }}
{{- end }}
{{- end }}

{{/* What it takes to reach the tables, and to say what happens. Argument: the root. */}}
{{- define "tidemark.tablesEnv" -}}
- { name: TIDEMARK_TABLE, value: {{ .Values.tables.data | quote }} }
- { name: TIDEMARK_CONTROL_TABLE, value: {{ .Values.tables.control | quote }} }
{{- with .Values.aws.region }}
- { name: AWS_REGION, value: {{ . | quote }} }
{{- end }}
{{- with .Values.aws.endpointUrl }}
- { name: AWS_ENDPOINT_URL, value: {{ . | quote }} }
{{- end }}
{{- with .Values.logFilter }}
- { name: RUST_LOG, value: {{ . | quote }} }
{{- end }}
{{- end }}
