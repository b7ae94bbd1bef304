"""What holds for the objects of every rendering: the schemas of Kubernetes and of the operators, checkov's policies, and our own rules."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate

from binaries import Binaries

# The oldest that Chart.yaml allows, the newest there is, and one between.
VERSIONS = ("1.30", "1.34", "1.37")
USER = 65532


def schema_faults(objects: list[dict], operators: dict) -> list[str]:
    """What Kubernetes, by version, or an operator would reject, unknown fields included."""
    faults = []
    for found in objects:
        kind = f"{found['apiVersion']}/{found['kind']}"
        if kind in operators:
            schema = {**operators[kind], "$defs": operators["$defs"]}
            wrong = jsonschema.Draft202012Validator(schema).iter_errors(found)
            faults += [f"{named(found)}: {error.json_path}: {error.message}" for error in wrong]
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(found, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                faults.append(f"{named(found)}, Kubernetes {version}: {error}")
    return faults


def policy_faults(folder: Path, config: Path) -> tuple[int, list[str]]:
    """How many checks of checkov the manifests in a folder pass, and those that they do not."""
    command = [sys.executable, "-m", "checkov.main", "--directory", str(folder), "--framework", "kubernetes", "--config-file", str(config),
               "--skip-download", "--quiet", "--output", "json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report = json.loads(ran.stdout)
    except ValueError:
        return 0, [f"checkov says nothing that can be read: {ran.stderr.strip()[-500:]}"]
    failed = [f"{check['file_path']}: {check['check_id']} {check['check_name']}: {check['resource'].split('.app.kubernetes.io')[0]}"
              for check in report["results"]["failed_checks"]]
    return report["summary"]["passed"], failed


def our_faults(objects: list[dict], binaries: Binaries) -> list[str]:
    """Rules of OPERATIONS.md that no schema knows."""
    faults = []
    by_kind: dict[str, list[dict]] = {}
    for found in objects:
        by_kind.setdefault(found["kind"], []).append(found)
        if found["metadata"].get("namespace") != "shop" or len(found["metadata"]["name"]) > 63:
            faults.append(f"{named(found)}: its namespace is not given, or its name is too long")
    workloads = by_kind.get("Deployment", [])
    pods = [(found, found["spec"]["template"]) for found in workloads + by_kind.get("Job", [])]
    for found, pod in pods:
        faults += [f"{named(found)}: {fault}" for fault in pod_faults(pod["spec"])]
    for found in workloads:
        faults += [f"{named(found)}: {fault}" for fault in workload_faults(found, by_kind, binaries)]
    labels = [pod["metadata"]["labels"] for _, pod in pods]
    for found in by_kind.get("Service", []) + by_kind.get("PodDisruptionBudget", []) + by_kind.get("NetworkPolicy", []):
        spec = found["spec"]
        chosen = spec["selector"].get("matchLabels", spec["selector"]) if "selector" in spec else spec["podSelector"]["matchLabels"]
        if sum(chosen.items() <= of_pod.items() for of_pod in labels) != 1:
            faults.append(f"{named(found)}: it selects the pods of no workload, or of several")
    return faults + public_faults(by_kind)


def pod_faults(spec: dict) -> list[str]:
    faults = []
    context = spec["securityContext"]
    if not (context["runAsNonRoot"] and context["runAsUser"] == context["runAsGroup"] == USER):
        faults.append(f"it does not run as user {USER}")
    if context["seccompProfile"] != {"type": "RuntimeDefault"} or spec["automountServiceAccountToken"] or spec["enableServiceLinks"]:
        faults.append("seccomp, the token or the service links are not as they should be")
    for container in spec["containers"]:
        own = container["securityContext"]
        if own != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}:
            faults.append("its container may do more than it needs")
        resources = container["resources"]
        if resources["limits"] != {"memory": resources["requests"]["memory"]} or "cpu" not in resources["requests"]:
            faults.append("its resources are not: memory, limit as request; CPU, a request alone")
    return faults


def workload_faults(found: dict, by_kind: dict[str, list[dict]], binaries: Binaries) -> list[str]:
    faults = []
    spec, component = found["spec"], found["metadata"]["labels"]["app.kubernetes.io/component"]
    scalers = by_kind.get("HorizontalPodAutoscaler", []) + by_kind.get("ScaledObject", [])
    scaled = [scaler["spec"] for scaler in scalers if scaler["spec"]["scaleTargetRef"]["name"] == found["metadata"]["name"]]
    if len(scaled) + ("replicas" in spec) != 1:
        faults.append("its pods are counted by none, or by several")
    least = scaled[0].get("minReplicas", scaled[0].get("minReplicaCount")) if scaled else spec["replicas"]
    budgets = [b for b in by_kind.get("PodDisruptionBudget", []) if b["spec"]["selector"] == spec["selector"]]
    if len(budgets) != (least > 1):
        faults.append(f"{least} pods at least, and {len(budgets)} budgets")
    pod = spec["template"]["spec"]
    drain = binaries.drain_seconds(component)
    if pod["terminationGracePeriodSeconds"] < drain:
        faults.append(f"{pod['terminationGracePeriodSeconds']} s of grace, and its drain takes up to {drain} s")
    names = [variable["name"] for variable in pod["containers"][0]["env"]]
    if len(set(names)) != len(names):
        faults.append(f"a variable is set twice: {sorted(names)}")
    unknown = {name for name in names if name.startswith("TIDEMARK_")} - binaries.settings(component)
    missing = binaries.required(component) - set(names)
    if unknown or missing:
        faults.append(f"variables that the binary does not read: {sorted(unknown)}; that it requires: {sorted(missing)}")
    return faults


def public_faults(by_kind: dict[str, list[dict]]) -> list[str]:
    """The admin port is in no Service that the outside gets to."""
    open_to_all = [found for found in by_kind.get("Service", []) if any(port["name"] == "admin" for port in found["spec"]["ports"])]
    names = {found["metadata"]["name"] for found in open_to_all if found["spec"].get("clusterIP") == "None"}
    routed = json.dumps(by_kind.get("Ingress", []) + by_kind.get("HTTPRoute", []))
    return [f"{named(found)}: it opens the admin port" for found in open_to_all
            if found["metadata"]["name"] not in names or f'"{found["metadata"]["name"]}"' in routed]


def named(found: dict) -> str:
    return f"{found['kind']} {found['metadata']['name']}"
