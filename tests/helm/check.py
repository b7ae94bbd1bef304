"""Checks the chart and the IAM policies, and says of each step what it did. `--update` writes generated files and snapshots anew.

Nothing here needs a cluster, the network, or a built binary: what the binaries do is read from their sources.
"""

import argparse
import difflib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import helm_python as helm
import yaml

import alerts
import documents
import generated
import objects
import policies
from binaries import Binaries
from chart import LONG_RELEASE, Chart, lint, objects as objects_of, snapshot, wrongly_taken

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CHART = ROOT / "helm/tidemark"
SNAPSHOTS = HERE / "snapshots"
# Lines of a difference that are shown.
DIFFERENCE_MAX = 40


class Run:
    """All steps, in their order; each gives what it did and what is wrong."""

    def __init__(self, update: bool):
        self.update = update
        self.binaries = Binaries(ROOT)
        self.faults = 0

    def step(self, name: str, work: Callable[[], tuple[str, list[str]]]) -> None:
        began = time.monotonic()
        did, faults = work()
        print(f"{'FAIL' if faults else 'ok':4}  {name}: {did} ({time.monotonic() - began:.1f} s)", flush=True)
        for fault in faults:
            print(f"      {fault}", file=sys.stderr, flush=True)
        self.faults += len(faults)

    def written(self, expected: dict[Path, str]) -> tuple[str, list[str]]:
        """Files that must hold what they are expected to; with `--update` they do from now on."""
        faults, changed = [], 0
        for file, text in expected.items():
            before = file.read_text() if file.exists() else ""
            if text == before:
                continue
            changed += 1
            name = file.relative_to(ROOT)
            if self.update:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            else:
                lines = list(difflib.unified_diff(before.splitlines(), text.splitlines(), "stored", "now", lineterm="", n=1))
                faults.append(f"{name} is not up to date (just helm-check --update):\n" + "\n".join(lines[:DIFFERENCE_MAX]))
        return f"{len(expected)} files" + (f", {changed} written" if self.update else ""), faults

    def everything(self) -> None:
        self.step("generated files", lambda: self.written(generated.all_of(CHART, ROOT / "deploy/dashboards.yaml")))
        chart = Chart(CHART)
        files = chart.values_files()
        self.step("strict lint", lambda: (f"{len(files)} values files",
                                          [f"{name}: {fault}" for name, values in files.items() for fault in lint(CHART, values)]))
        rendered = {name: chart.render(values) for name, values in files.items()}
        found = {name: objects_of(texts) for name, texts in rendered.items()}
        found["long-name"] = objects_of(chart.render(files["ha"], LONG_RELEASE))
        count = f"{sum(map(len, found.values()))} objects of {len(found)} renderings"
        self.step("snapshots", lambda: self.snapshots({name: snapshot(texts) for name, texts in rendered.items()}))
        cases = yaml.safe_load((HERE / "refusals.yaml").read_text())
        self.step("refused values", lambda: (f"{sum(map(len, cases.values()))} cases", wrongly_taken(chart, cases)))
        operators = yaml.safe_load((HERE / "operators.yaml").read_text())
        self.step("schemas", lambda: (f"{count}, on Kubernetes {', '.join(objects.VERSIONS)}",
                                      each(found, lambda all_objects: objects.schema_faults(all_objects, operators))))
        self.step("our rules", lambda: (count, each(found, lambda all_objects: objects.our_faults(all_objects, self.binaries))))
        self.step("checkov", lambda: self.checkov(found))
        self.step("alerts", lambda: self.alerts(found["ha"]))
        exported = self.binaries.metrics()
        self.step("metrics", lambda: (f"{len(exported)} are exported", alerts.unknown_metrics(alerts.queries(CHART), exported)))
        called = policies.actions(self.binaries.calls())
        self.step("IAM policies", lambda: (f"{len(called)} actions", policies.faults(ROOT / "deploy/iam", called)))
        self.step("documents", lambda: documents.check(ROOT, chart, self.binaries))

    def snapshots(self, now: dict[str, str]) -> tuple[str, list[str]]:
        left = [file for file in sorted(SNAPSHOTS.glob("*.yaml")) if file.stem not in now]
        if self.update:
            for file in left:
                file.unlink()
            left = []
        did, faults = self.written({SNAPSHOTS / f"{name}.yaml": text for name, text in now.items()})
        return did, faults + [f"{file.name}: there are no such values any more" for file in left]

    def checkov(self, found: dict[str, list[dict]]) -> tuple[str, list[str]]:
        with tempfile.TemporaryDirectory() as folder:
            for name, all_objects in found.items():
                (Path(folder) / f"{name}.yaml").write_text(yaml.safe_dump_all(all_objects))
            passed, faults = objects.policy_faults(Path(folder), HERE / "checkov.yaml")
        return f"{passed} passed", faults or ([] if passed else ["checkov checked nothing"])

    def alerts(self, all_objects: list[dict]) -> tuple[str, list[str]]:
        (rules,) = [found["spec"] for found in all_objects if found["kind"] == "PrometheusRule"]
        with tempfile.TemporaryDirectory() as folder:
            return alerts.promtool(rules, HERE / "alerts.yaml", Path(folder))


def each(found: dict[str, list[dict]], faults: Callable[[list[dict]], list[str]]) -> list[str]:
    return [f"{name}: {fault}" for name, all_objects in found.items() for fault in faults(all_objects)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="helm-check", description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write generated files and snapshots anew")
    run = Run(parser.parse_args().update)
    try:
        run.everything()
    except helm.HelmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if run.faults:
        print(f"error: {run.faults} faults", file=sys.stderr)
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
