"""The life of a pod: its container is started, probed as its Pod says, judged from outside, and asked to stop."""

import http.client
import itertools
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import bundle
from image import Image
from node import Address

# How often it is looked whether a pod that was asked to stop is still ready, in seconds.
LOOK_SECONDS = 0.02
# Longest that a pod that was asked to stop may say that it is ready, in seconds; it takes no time at all, but the machine may be busy.
READY_SECONDS = 5
# How much of a pod's log is shown, in characters.
LOG_SHOWN_MAX = 3000
# Longest that a Job's container may take.
JOB_SECONDS = 90
# Kubernetes' own defaults.
FAILURES, TIMEOUT_SECONDS, PERIOD_SECONDS = 3, 1, 10
serial = itertools.count(1)


class Failed(Exception):
    """A pod does not do what it says."""


class Container:
    """A running container of a bundle."""

    def __init__(self, folder: Path, pod: dict, name: str, image: Image, around: bundle.Surroundings, address: Address):
        self.name, self.address, self.spec = name, address, pod["spec"]
        self.container = self.spec["containers"][0]
        # A name may come again, as a pod of another release; for runc it may not.
        self.id = f"{name}-{next(serial)}"
        folder = folder / self.id
        bundle.write(folder, pod, name, image, around, address)
        self.log = folder / "log"
        with self.log.open("w") as log:
            command = ["runc", "run", "--bundle", folder, "--pid-file", folder / "pid", self.id]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.pid_file = folder / "pid"

    def logged(self) -> str:
        return self.log.read_text()[-LOG_SHOWN_MAX:].strip()

    def wait(self, seconds: float) -> int:
        """The exit code; a container that is still there is killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"it was still there after {seconds} s, and was killed") from None

    def kill(self) -> None:
        subprocess.run(["runc", "kill", self.id, "KILL"], check=False, capture_output=True)
        self.process.wait()

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def memory(self) -> float:
        """What it has of its own, files not counted, in MiB."""
        return int(re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024

    def memory_limit(self) -> Path:
        """The kernel's file of what it may have, by either generation of control groups."""
        groups = Path(f"/proc/{self.pid}/cgroup").read_text()
        if old := re.search(r"^\d+:memory:(.*)$", groups, re.MULTILINE):
            return Path(f"/sys/fs/cgroup/memory{old[1]}/memory.limit_in_bytes")
        return Path(f"/sys/fs/cgroup{re.search('^0::(.*)$', groups, re.MULTILINE)[1]}/memory.max")

    def confinement(self) -> list[str]:
        """What a running container may do beyond what its Pod says, as the kernel has it."""
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if ":\t" in line)
        ids = "\t".join(["65532"] * 4)
        none = dict.fromkeys(("CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
        expected = {"Uid": ids, "Gid": ids, "NoNewPrivs": "1", "Seccomp": "2"} | none
        faults = [f"the kernel has {key} {status[key]} of it" for key, value in expected.items() if status[key] != value]
        limit = self.memory_limit().read_text().strip()
        if limit != str(bundle.memory(self.container)):
            faults.append(f"the kernel lets it have {limit} bytes of memory")
        # Through the process's own mounts, and by root: file permissions hold nobody up here.
        for place in ("", "etc/tidemark", "usr/bin"):
            probe = Path(f"/proc/{self.pid}/root") / place / "written"
            if not probe.parent.is_dir():
                continue
            try:
                probe.touch()
                probe.unlink()
                faults.append(f"its /{place} can be written to")
            except OSError:
                continue
        return faults


class Pod(Container):
    """A pod of a Deployment, probed."""

    def start(self) -> None:
        """Returns once the startup probe has passed; from then on the other probes go on."""
        probe = self.container["startupProbe"]
        for _ in range(probe["failureThreshold"]):
            if self.process.poll() is not None:
                raise Failed(f"it ended with {self.process.returncode} while it started:\n{self.logged()}")
            if self.answers(probe):
                break
            time.sleep(probe["periodSeconds"])
        else:
            self.kill()
            raise Failed(f"its startup probe failed {probe['failureThreshold']} times:\n{self.logged()}")
        self.stopping, self.faults, self.passed = threading.Event(), [], {"livenessProbe": 0, "readinessProbe": 0}
        self.probing = [threading.Thread(target=self.probe, args=(kind,), daemon=True) for kind in self.passed]
        for thread in self.probing:
            thread.start()

    def probe(self, kind: str) -> None:
        probe, failed = self.container[kind], 0
        while not self.stopping.is_set():
            passed = self.answers(probe)
            if self.stopping.is_set():
                return
            failed = 0 if passed else failed + 1
            self.passed[kind] += passed
            if failed == probe.get("failureThreshold", FAILURES):
                self.faults.append(f"its {kind} failed {failed} times in a row")
            self.stopping.wait(probe.get("periodSeconds", PERIOD_SECONDS))

    def port(self, name: str) -> int:
        (port,) = [port["containerPort"] for port in self.container["ports"] if port["name"] == name]
        return port

    def status(self, path: str, port: str, timeout: float) -> int | None:
        """The status of a GET; None: there was no answer."""
        connection = http.client.HTTPConnection(self.address.probed, self.port(port), timeout=timeout)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def answers(self, probe: dict) -> bool:
        get = probe["httpGet"]
        return (self.status(get["path"], get["port"], probe.get("timeoutSeconds", TIMEOUT_SECONDS)) or 500) < 400

    def stop(self, asking: signal.Signals = signal.SIGTERM) -> tuple[float, list[str]]:
        """Asks the pod to stop: how long that took, and what was wrong with its end."""
        self.stopping.set()
        for thread in self.probing:
            thread.join()
        faults = self.faults + [f"its {kind} never passed" for kind, passed in self.passed.items() if not passed]
        grace, began = self.spec["terminationGracePeriodSeconds"], time.monotonic()
        os.kill(self.pid, asking)
        faults += self.leave(began + min(grace, READY_SECONDS))
        try:
            code = self.wait(max(0.0, began + grace - time.monotonic()))
            faults += [f"it ended with {code}"] if code else []
        except Failed:
            faults.append(f"it was asked to stop, and had to be killed after its {grace} s of grace")
        return time.monotonic() - began, faults

    def leave(self, deadline: float) -> list[str]:
        """What is wrong with how a pod that was asked to stop takes leave. Who gets no requests may end before that can be seen."""
        get = self.container["readinessProbe"]["httpGet"]
        is_asked = any(port["name"] == "http" for port in self.container["ports"])
        while self.process.poll() is None:
            status = self.status(get["path"], get["port"], 2)
            if status == 503:
                answers = not is_asked or self.status("/v1/status", "http", 5) == 401
                return [] if answers else ["it takes no requests, while load balancers that asked just before still send some"]
            if status == 200 and time.monotonic() > deadline:
                return ["it was asked to stop, and says that it is ready"]
            time.sleep(LOOK_SECONDS)
        return ["it ended without having said that it is not ready"] if is_asked else []
