"""Judges the images, brings every values file of the chart to life from them, and sees to it that what is wrong would be noticed.

    check.py DYNAMODB WORK LAYOUT LAYOUT_AGAIN BUSYBOX [NAME...]

check.sh has the surroundings ready: namespaces, DynamoDB Local at DYNAMODB (host and port), images built twice, and a root file system
with BusyBox. names are those of values files; without any, all are brought to life, and the controls come, too.
"""

import concurrent.futures
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aws
import image
import node
from chart import Chart
from controls import controls
from kubelet import Failed, Pod
from world import Cluster, World

ROOT = Path(__file__).parent.parent.parent
# Releases that live at once: most of their time is waiting.
AT_ONCE = 4


class Run:
    """All steps; each says what it did, and what is wrong."""

    def __init__(self) -> None:
        self.faults = 0
        self.printing = threading.Lock()

    def step(self, name: str, work: Callable[[], tuple[str, list[str]]], finish: Callable[[], None] = lambda: None) -> None:
        began = time.monotonic()
        try:
            did, faults = work()
        except Failed as failed:
            did, faults = "failed", [str(failed)]
        except Exception:
            did, faults = "could not be carried out", [traceback.format_exc()]
        finally:
            finish()
        with self.printing:
            print(f"{'FAIL' if faults else 'ok':4}  {name}: {did} ({time.monotonic() - began:.1f} s)", flush=True)
            for fault in faults:
                print(f"      {fault}", file=sys.stderr, flush=True)
            self.faults += len(faults)

    def everything(self, cluster: Cluster, again: Path, only: list[str]) -> None:
        self.step("images", lambda: judged(cluster.images, again))
        files = cluster.chart.values_files()
        numbered = enumerate(files.items(), 1)
        worlds = [World(cluster, name, values, number) for number, (name, values) in numbered if name in (only or files)]
        if unknown := set(only) - set(files):
            raise SystemExit(f"error: there are no values files of the names {sorted(unknown)}")
        # They come one after the other, and so begin first.
        works = [] if only else [partial(self.controls, World(cluster, "controls", files["eks-irsa"], len(files) + 1))]
        works += [partial(self.step, world.name, partial(life, world), world.end) for world in worlds]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(work) for work in works]:
                done.result()

    def controls(self, world: World) -> None:
        def all_of_them() -> tuple[str, list[str]]:
            world.open()
            count = 0
            for count, (name, words, work) in enumerate(controls(world), 1):
                self.step(f"control: {name}", lambda words=words, work=work: noticed(words, work), world.end)
            return f"{count} wrongs", [] if count else ["there are none"]

        # A step of its own: what comes between two controls may fail, too.
        self.step("controls", all_of_them)


def judged(images: dict[str, image.Image], again: Path) -> tuple[str, list[str]]:
    faults = [fault for found in images.values() for fault in image.faults(found)]
    digests = {name: found.digest for name, found in images.items()}
    if image.digests(again) != digests:
        faults.append("built again from the same binaries they are others")
    sizes = (f"{name} {sum(member.size for member in found.files.values()) / 1e6:.1f} MB" for name, found in images.items())
    return ", ".join(sizes), faults


def life(world: World) -> tuple[str, list[str]]:
    """A release from its hook to its end."""
    world.open()
    world.init()
    world.create_source()
    pods = [world.start(component) for component in ("ingest", "api")]
    faults = [f"{pod.name}: {fault}" for pod in pods for fault in pod.confinement()]
    world.expose()
    counted = world.count()
    world.smoke()
    memory, took = [pod.memory() for pod in pods], []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for pod, (seconds, found) in zip(pods, pool.map(Pod.stop, pods)):
            took.append(seconds)
            faults += [f"{pod.name}: {fault}" for fault in found]
    faults += untold(world)
    return (f"a record counted in {counted:.1f} s, helm test passed; ingest and api had {memory[0]:.0f} and {memory[1]:.0f} MiB, "
            f"and ended in {took[0]:.1f} and {took[1]:.1f} s"), faults


def untold(world: World) -> list[str]:
    """What a collector should have heard of the pods and has not; nothing is sent where none is named."""
    faults, received = [], world.collector.received
    for pod in world.pods.values():
        of_pod = [(path, headers) for path, headers, body in received if pod.name.encode() in body]
        if not any(variable["name"] == "OTEL_EXPORTER_OTLP_ENDPOINT" for variable in pod.container["env"]):
            faults += [f"{pod.name}: it sent telemetry, and was not told to"] if of_pod else []
            continue
        missing = {"/v1/logs", "/v1/metrics", "/v1/traces"} - {path for path, _ in of_pod}
        if missing:
            faults.append(f"{pod.name}: no collector heard of it on {sorted(missing)}")
        if any(headers.get("authorization") != "Bearer token" for _, headers in of_pod):
            faults.append(f"{pod.name}: it sent telemetry without the Secret's headers")
    return faults


def noticed(words: str, work: Callable[[], object]) -> tuple[str, list[str]]:
    """Whether something wrong is found, in these words."""
    try:
        said = str(work())
    except Failed as failed:
        said = str(failed)
    if words in said:
        return "noticed", []
    return "not noticed", [f"expected to hear `{words}`, and heard: {said or 'nothing'}"]


def main(emulator: str, work: Path, layout: Path, again: Path, busybox: Path, only: list[str]) -> int:
    node.set_up()
    aws.agent()
    images = image.unpack(layout, work / "images")
    tls, root = aws.authority(work)
    cluster = Cluster(Chart(ROOT / "helm/tidemark"), images, image.stand_in(busybox), emulator, tls, root, work / "pods")
    run = Run()
    run.everything(cluster, again, only)
    if run.faults:
        print(f"error: {run.faults} faults", file=sys.stderr)
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(Path, sys.argv[2:6]), sys.argv[6:]))
