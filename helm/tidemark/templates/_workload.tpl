{{/* What each workload has beside its pods. Arguments: root, component. */}}

{{- define "tidemark.serviceAccount" -}}
{{- $account := (index .root.Values .component).serviceAccount }}
{{- $annotations := deepCopy $account.annotations }}
{{- if eq .root.Values.aws.identity "irsa" }}
{{- $_ := set $annotations "eks.amazonaws.com/role-arn" $account.roleArn }}
{{- end }}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "tidemark.serviceAccountName" . }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "tidemark.labels" . | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{/* One pod at a time, and none that is kept because it is not well. With one pod, a budget would only block every drain. */}}
{{- define "tidemark.pdb" -}}
{{- if gt (int (include "tidemark.leastReplicas" (index .root.Values .component))) 1 -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "tidemark.metadata" (merge (dict "name" .component) .) | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "tidemark.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "tidemark.hpa" -}}
{{- with (index .root.Values .component).autoscaling }}
{{- if .enabled -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "tidemark.metadata" (merge (dict "name" $.component) $) | nindent 2 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ include "tidemark.fullname" $.root }}-{{ $.component }} }
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ .targetCPUUtilizationPercentage }} }
{{- end }}
{{- end }}
{{- end }}

{{/* The admin port, for scrapes and `helm test`; no load balancer gets to it. */}}
{{- define "tidemark.adminService" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "tidemark.metadata" (merge (dict "name" (printf "%s-admin" .component)) .) | nindent 2 }}
    tidemark/port: admin
spec:
  clusterIP: None
  ports:
    - { name: admin, port: 9090, targetPort: admin }
  selector:
    {{- include "tidemark.selectorLabels" . | nindent 4 }}
{{- end }}
