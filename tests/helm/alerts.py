"""The alerts under promtool, and the metrics that alerts, dashboards and scalers name."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import yaml

# Our metrics, and those of the conventions that we follow.
METRIC = re.compile(r"\b((?:tidemark|http_server|db_client)_\w+|target_info)\b")


def promtool(rules: dict, tests: Path, folder: Path) -> tuple[str, list[str]]:
    """Checks and plays the rules; what promtool says of it, and what fails."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    shutil.copy(tests, folder / "tests.yaml")
    faults = []
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]):
        ran = subprocess.run(["promtool", *command], cwd=folder, capture_output=True, text=True, check=False)
        if ran.returncode:
            faults.append(f"promtool {' '.join(command)}: {ran.stdout}{ran.stderr}")
    played = {case["alertname"] for test in yaml.safe_load(tests.read_text())["tests"] for case in test.get("alert_rule_test", [])
              if case.get("exp_alerts")}
    named = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    faults += [f"{alert} fires in no test" for alert in sorted(named - played)]
    return f"{len(named)} alerts", faults


def unknown_metrics(texts: dict[str, str], exported: set[str]) -> list[str]:
    """Metrics that a text names and no binary exports."""
    return [f"{name}: no binary exports {metric}" for name, text in texts.items() for metric in sorted(set(METRIC.findall(text)) - exported)]


def queries(chart: Path) -> dict[str, str]:
    """Every query of the chart, by where it is."""
    texts = {"alerts.yaml": "\n".join(rule["expr"] for group in yaml.safe_load((chart / "files/alerts.yaml").read_text())["groups"]
                                      for rule in group["rules"])}
    texts["scaledobject.yaml"] = (chart / "templates/ingest/scaledobject.yaml").read_text()
    for file in sorted((chart / "files/dashboards").glob("*.json")):
        panels = json.loads(file.read_text())["panels"]
        texts[file.name] = "\n".join(target["expr"] for panel in panels for target in panel["targets"])
    return texts
