"""A rendered container as a runtime's bundle: what the kubelet and containerd make of it, for runc.

A field of a Pod that is not known here is refused rather than passed over: what is not carried out is not tested.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from image import Image
from node import NAMESPACE, Address

# Debian's copy of the profile that runtimes use by default.
SECCOMP = Path("/usr/share/containers/seccomp.json")
# What a container may do unless it drops capabilities.
CAPABILITIES = [f"CAP_{name}" for name in ("CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
                                           "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE").split()]
# Made by check.sh, and removed by it.
CGROUP = os.environ["PODS_CGROUP"]
MEMORY = {"Mi": 1 << 20, "Gi": 1 << 30}
# What is mounted and masked in every container, as containerd has it.
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
]
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi",
          "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
# The fields of pods and containers that are carried out, and those that say nothing to a node.
POD_FIELDS = {"containers", "volumes", "securityContext", "terminationGracePeriodSeconds", "enableServiceLinks", "restartPolicy"}
POD_IGNORED = {"serviceAccountName", "automountServiceAccountToken", "imagePullSecrets", "topologySpreadConstraints", "nodeSelector",
               "tolerations", "affinity", "priorityClassName"}
CONTAINER_FIELDS = {"name", "image", "command", "args", "env", "ports", "startupProbe", "livenessProbe", "readinessProbe", "resources",
                    "securityContext", "volumeMounts"}
CONTAINER_IGNORED = {"imagePullPolicy"}


@dataclass
class Surroundings:
    """What a cluster has that pods ask for, and what its admission adds."""

    # ConfigMaps and Secrets: name → entry → text.
    config_maps: dict[str, dict[str, str]]
    secrets: dict[str, dict[str, str]]
    resolv_conf: str
    # By EKS: for the identity of the pod.
    env: dict[str, str] = field(default_factory=dict)
    # Destination → text, put in read-only.
    files: dict[str, str] = field(default_factory=dict)


def write(folder: Path, pod: dict, name: str, image: Image, around: Surroundings, address: Address) -> None:
    """Writes the bundle of a pod's one container. The folder's name is the container's id."""
    spec = pod["spec"]
    (container,) = spec["containers"]
    unknown = set(spec) - POD_FIELDS - POD_IGNORED | set(container) - CONTAINER_FIELDS - CONTAINER_IGNORED
    if unknown:
        raise ValueError(f"{name}: {sorted(unknown)} are not carried out here: see bundle.py")
    folder.mkdir(parents=True)
    security = {**spec["securityContext"], **container["securityContext"]}
    if security["runAsNonRoot"] and not security["runAsUser"]:
        raise ValueError(f"{name}: it must not run as root, and does")
    dropped = security["capabilities"]["drop"] == ["ALL"]
    capabilities = [] if dropped else CAPABILITIES
    process = {
        "args": (container.get("command") or image.config["Entrypoint"]) + container.get("args", []),
        "cwd": "/",
        "env": [f"{key}={value}" for key, value in environment(container, name, image, around).items()],
        "user": {"uid": security["runAsUser"], "gid": security["runAsGroup"]},
        "capabilities": {kind: capabilities for kind in ("bounding", "effective", "permitted")},
        "noNewPrivileges": not security["allowPrivilegeEscalation"],
    }
    namespaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    namespaces.append({"type": "network", "path": f"/run/netns/{address.namespace}"})
    linux = {"namespaces": namespaces, "maskedPaths": MASKED, "readonlyPaths": READ_ONLY, "cgroupsPath": f"/{CGROUP}/{folder.name}",
             "resources": {"memory": {"limit": memory(container)}, "devices": [{"allow": False, "access": "rwm"}]}}
    if security["seccompProfile"] == {"type": "RuntimeDefault"}:
        linux["seccomp"] = seccomp()
    config = {"ociVersion": "1.0.2", "process": process, "hostname": name, "linux": linux,
              "root": {"path": str(image.root), "readonly": security["readOnlyRootFilesystem"]},
              "mounts": MOUNTS + mounts(folder, spec, container, name, around, address)}
    (folder / "config.json").write_text(json.dumps(config))


def environment(container: dict, name: str, image: Image, around: Surroundings) -> dict[str, str]:
    """The variables, in Kubernetes' order: a `$(NAME)` means one that came before."""
    env = dict(entry.split("=", 1) for entry in image.config.get("Env", [])) | {"HOSTNAME": name}
    fields = {"metadata.name": name, "metadata.namespace": NAMESPACE}
    given: dict[str, str] = {}
    for variable in container.get("env", []) + [{"name": key, "value": value} for key, value in around.env.items()]:
        source = variable.get("valueFrom", {})
        if "value" in variable:
            given[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda found: given.get(found[1], found[0]), variable["value"])
        elif "fieldRef" in source:
            given[variable["name"]] = fields[source["fieldRef"]["fieldPath"]]
        else:
            wanted = source["secretKeyRef"]
            text = around.secrets.get(wanted["name"], {}).get(wanted["key"])
            if text is None and not wanted.get("optional"):
                raise ValueError(f"{name}: Secret {wanted['name']} has no {wanted['key']}")
            if text is not None:
                given[variable["name"]] = text
    return env | given


def mounts(folder: Path, spec: dict, container: dict, name: str, around: Surroundings, address: Address) -> list[dict]:
    """ConfigMaps as directories, and the files that a node writes for each pod."""
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    mounted = []
    for mount in container.get("volumeMounts", []):
        entries = around.config_maps[volumes[mount["name"]]["configMap"]["name"]]
        source = folder / mount["name"]
        source.mkdir()
        for entry, text in entries.items():
            (source / entry).write_text(text)
        mounted.append((source, mount["mountPath"], "ro" if mount.get("readOnly") else "rw"))
    files = {"/etc/resolv.conf": around.resolv_conf, "/etc/hostname": f"{name}\n",
             "/etc/hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost\n{address.v4}\t{name}\n", **around.files}
    for number, (destination, text) in enumerate(files.items()):
        source = folder / f"file-{number}"
        source.write_text(text)
        mounted.append((source, destination, "ro"))
    return [{"destination": destination, "type": "bind", "source": str(source), "options": ["bind", mode, "nosuid", "nodev"]}
            for source, destination, mode in mounted]


def memory(container: dict) -> int:
    """What a container may have, in bytes."""
    limit = container["resources"]["limits"]["memory"]
    return int(limit[:-2]) * MEMORY[limit[-2:]]


def seccomp() -> dict:
    """The default profile for a container without capabilities: of its conditional parts, those for this architecture and none."""
    profile = json.loads(SECCOMP.read_text())
    calls = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        architectures = includes.get("arches", ["amd64"])
        if includes.get("caps") or "amd64" in excludes.get("arches", []) or "amd64" not in architectures:
            continue
        kept = {key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key)}
        calls.append(kept)
    return {"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile["defaultErrnoRet"], "syscalls": calls,
            "architectures": ["SCMP_ARCH_X86_64"]}
