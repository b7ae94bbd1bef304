"""Files that are made from others: the README's table of values, and Grafana's JSON."""

import json
import re
from pathlib import Path

import yaml

BEGIN, END = "<!-- values: made from values.yaml by `just helm-check --update` -->", "<!-- end of values -->"
# Grafana's grid is 24 wide.
STAT, GRAPH = {"w": 6, "h": 4}, {"w": 12, "h": 8}
SCOPE = 'namespace=~"$namespace",job=~"$job"'
# Exported by every process of ours.
KNOWN_BY = "target_info{service_name=~\"tidemark-.*\"}"


def values_table(text: str) -> str:
    """The table of the values in a values.yaml: each entry under a `# --` line, with its default."""
    lines, rows = text.splitlines(), []

    def walk(node: yaml.MappingNode, path: str) -> None:
        for key, value in node.value:
            name = f"{path}.{key.value}".lstrip(".")
            above = lines[key.start_mark.line - 1].strip() if key.start_mark.line else ""
            if above.startswith("# -- "):
                rows.append((name, default_of(value), above.removeprefix("# -- ")))
            elif isinstance(value, yaml.MappingNode) and value.value:
                walk(value, name)
            else:
                raise ValueError(f"values.yaml: {name} has no line that begins with `# --`")

    walk(yaml.compose(text), "")
    escaped = ([f"`{name}`", default, meaning.replace("|", "\\|")] for name, default, meaning in rows)
    return "\n".join(["| Value | Default | Meaning |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in escaped)])


def default_of(node: yaml.Node) -> str:
    value = yaml.safe_load(yaml.serialize(node))
    if isinstance(value, str) and "\n" in value:
        return "the example of AWS's own guidance"
    return f"`{json.dumps(value) if not isinstance(value, str) or value == '' else value}`"


def dashboard(name: str, given: dict) -> str:
    """Grafana's JSON of one dashboard, with a choice of namespaces and jobs at its top."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels, x, y = [], 0, 0
    for number, panel in enumerate(given["panels"], 1):
        kind = panel.get("kind", "timeseries")
        size = STAT if kind == "stat" else GRAPH
        if x + size["w"] > 24 or (panels and panels[-1]["type"] != kind):
            x, y = 0, y + panels[-1]["gridPos"]["h"]
        targets = [
            {"refId": chr(ord("A") + at), "expr": query.replace("SCOPE", SCOPE), "legendFormat": legend}
            for at, (legend, query) in enumerate(panel["queries"].items())
        ]
        panels.append({
            "id": number, "type": kind, "title": panel["title"], "datasource": source, "gridPos": {"x": x, "y": y, **size},
            "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []}, "targets": targets,
        })
        x += size["w"]
    choices = [
        {"name": label, "type": "query", "datasource": source, "query": f"label_values({KNOWN_BY}, {label})", "refresh": 2,
         "includeAll": True, "allValue": ".*", "multi": True, "current": {"text": "All", "value": "$__all"}}
        for label in ("namespace", "job")
    ]
    whole = {
        "uid": f"tidemark-{name}", "title": given["title"], "tags": ["tidemark"], "schemaVersion": 39, "editable": False, "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"}, "timezone": "browser",
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}, *choices]},
    }
    # A panel a line: a changed query is a changed line.
    head = json.dumps(whole, indent=1, ensure_ascii=False).removesuffix("\n}")
    return head + ',\n "panels": [\n  ' + ",\n  ".join(json.dumps(panel, ensure_ascii=False) for panel in panels) + "\n ]\n}\n"


def all_of(chart: Path, dashboards: Path) -> dict[Path, str]:
    """What each generated file must hold."""
    readme = (chart / "README.md").read_text()
    table = values_table((chart / "values.yaml").read_text())
    between = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
    if not between.search(readme):
        raise ValueError(f"{chart / 'README.md'} lacks the lines `{BEGIN}` and `{END}`")
    files = {chart / "README.md": between.sub(lambda _: f"\n{table}\n\n", readme)}
    for name, given in yaml.safe_load(dashboards.read_text()).items():
        files[chart / "files/dashboards" / f"{name}.json"] = dashboard(name, given)
    return files
