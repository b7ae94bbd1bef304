{{/* Pods: hardened for the restricted Pod Security Standard, with nothing that values could soften. */}}

{{- define "tidemark.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "tidemark.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* A workload. Arguments: root, component, env (text), ports (name → number). */}}
{{- define "tidemark.deployment" -}}
{{- $root := .root }}
{{- $workload := index $root.Values .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "tidemark.metadata" (merge (dict "name" .component) .) | nindent 2 }}
spec:
  {{- if not (or $workload.autoscaling.enabled (default dict $workload.keda).enabled) }}
  replicas: {{ $workload.replicas }}
  {{- end }}
  # A new pod is ready before an old one is asked to stop.
  strategy:
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
  selector:
    matchLabels:
      {{- include "tidemark.selectorLabels" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "tidemark.selectorLabels" . | nindent 8 }}
        {{- with $workload.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ .component }}
        {{- if not $root.Values.existingDefinitions }}
        checksum/definitions: {{ sha256sum $root.Values.definitions }}
        {{- end }}
        {{- with $workload.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "tidemark.podSpec" . | nindent 6 }}
{{- end }}

{{/* Arguments: as of tidemark.deployment. */}}
{{- define "tidemark.podSpec" -}}
{{- $root := .root }}
{{- $workload := index $root.Values .component -}}
serviceAccountName: {{ include "tidemark.serviceAccountName" . }}
# Kubernetes' own token is of no use here; the token of an AWS identity is mounted by EKS.
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $workload.terminationGracePeriodSeconds }}
securityContext:
  {{- include "tidemark.podSecurity" . | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "tidemark.selectorLabels" $ | nindent 8 }}
  {{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $workload $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with $workload.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "tidemark.image" (dict "root" $root "image" $workload.image) | quote }}
    imagePullPolicy: {{ $workload.image.pullPolicy }}
    env:
      {{- include "tidemark.env" $root | nindent 6 }}
      {{- .env | nindent 6 }}
      - { name: TOKIO_WORKER_THREADS, value: {{ $workload.threads | quote }} }
      {{- with $workload.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      {{- range $name, $port := .ports }}
      - { name: {{ $name }}, containerPort: {{ $port }} }
      {{- end }}
    # Ready once definitions are loaded and the tables described; a probe makes no call of its own.
    startupProbe:
      httpGet: { path: /readyz, port: admin }
      periodSeconds: 2
      timeoutSeconds: 2
      failureThreshold: 90
    livenessProbe:
      httpGet: { path: /livez, port: admin }
      periodSeconds: 10
      timeoutSeconds: 2
    readinessProbe:
      httpGet: { path: /readyz, port: admin }
      periodSeconds: 5
      timeoutSeconds: 2
      failureThreshold: 2
    resources:
      {{- toYaml $workload.resources | nindent 6 }}
    securityContext:
      {{- include "tidemark.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - { name: definitions, mountPath: /etc/tidemark, readOnly: true }
volumes:
  - name: definitions
    configMap: { name: {{ include "tidemark.definitionsName" $root }} }
{{- end }}
