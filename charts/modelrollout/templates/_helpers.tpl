{{- define "modelrollout.fullname" -}}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- .Values.fullnameOverride | default $default | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "modelrollout.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "modelrollout.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "modelrollout.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "modelrollout.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "modelrollout.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{- define "modelrollout.leaseName" -}}
{{- .Values.lease.name | default (include "modelrollout.fullname" .) -}}
{{- end }}

{{- define "modelrollout.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end }}

{{/* What the pods of evaluations get, as JSON. */}}
{{- define "modelrollout.evaluationPod" -}}
{{- $given := .Values.evaluations -}}
{{- $pod := dict "imagePullPolicy" .Values.image.pullPolicy "imagePullSecrets" .Values.imagePullSecrets -}}
{{- $pod = merge (dict "resources" $given.resources "nodeSelector" $given.nodeSelector) $pod -}}
{{- $pod = merge (dict "tolerations" $given.tolerations "labels" $given.podLabels) $pod -}}
{{- merge (dict "annotations" $given.podAnnotations) $pod | toJson -}}
{{- end }}

{{/* Subjects of every binding. */}}
{{- define "modelrollout.subjects" -}}
- kind: ServiceAccount
  name: {{ include "modelrollout.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* What the operator may do where it serves rollouts: no more than the verbs that it uses. */}}
{{- define "modelrollout.rules" -}}
- apiGroups: [modelrollout.io]
  resources: [modelrollouts]
  verbs: [get, list, watch, patch]
- apiGroups: [modelrollout.io]
  resources: [modelrollouts/status]
  verbs: [patch]
# Children hold up the deletion of their ModelRollout; where OwnerReferencesPermissionEnforcement is on, that needs this.
- apiGroups: [modelrollout.io]
  resources: [modelrollouts/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# A copy of the Deployment that serves, kept while another revision is on trial.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
# Prompts are read, and copied into immutable ConfigMaps.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# One label says which stable pods serve while a canary is compared at equal load.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# Evaluations run as Jobs; how far one is, it says in its log.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# A Service that gets back that it had no selector must list no pods any more.
- apiGroups: [""]
  resources: [endpoints]
  verbs: [get]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- with .Values.prometheus.secrets }}
# What rollouts show to their Prometheus; these names and no others.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{- toYaml . | nindent 2 }}
  verbs: [get]
{{- end }}
{{- with .Values.registry.secrets }}
# What rollouts show to their registry of models; these names and no others.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{- toYaml . | nindent 2 }}
  verbs: [get]
{{- end }}
{{- with .Values.notify.secrets }}
# Where rollouts have messages sent; these names and no others.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{- toYaml . | nindent 2 }}
  verbs: [get]
{{- end }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [get, list, watch, patch]
# To say what a gateway cannot do, or that it is not served. Out of reach, nothing is said.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, gatewayclasses]
  verbs: [get]
- apiGroups: [networking.istio.io]
  resources: [virtualservices, destinationrules]
  verbs: [get, list, watch, patch]
# Read are the Events of pods that wait for something, such as a volume.
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end }}

{{/* The hook that runs before an uninstall; see unmanage.yaml. */}}
{{- define "modelrollout.unmanage.labels" -}}
{{ omit (include "modelrollout.labels" . | fromYaml) "app.kubernetes.io/name" | toYaml }}
app.kubernetes.io/name: {{ .Chart.Name }}-unmanage
{{- end }}

{{- define "modelrollout.unmanage.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end }}

{{- define "modelrollout.unmanage.rules" -}}
# Pods that rest while a canary is compared serve again: nobody would call them back later.
- apiGroups: [""]
  resources: [services, pods]
  verbs: [list, patch]
- apiGroups: [modelrollout.io]
  resources: [modelrollouts]
  verbs: [get, list, patch]
- apiGroups: [modelrollout.io]
  resources: [modelrollouts/status]
  verbs: [patch]
{{- end }}
