"""The chart under Helm's own engine: lint, rendering, and the values that it must refuse."""

from pathlib import Path

import helm_python as helm
import yaml

RELEASE, NAMESPACE = "tidemark", "shop"
# As long as Helm lets a release's name be.
LONG_RELEASE = "r" * 53


def lint(path: Path, values: dict) -> list[str]:
    """What `helm lint --strict` has against the chart, warnings included."""
    report = helm.lint(path, values, strict=True, namespace=NAMESPACE)
    # Severity 1 is for information: this chart has no icon.
    messages = [f"{message['path']}: {message['error']}" for message in report["messages"] if message["severity"] > 1]
    return messages + [error for error in report["errors"] if error not in messages]


class Chart:
    """The chart, loaded."""

    def __init__(self, path: Path):
        self.path = path
        self.chart = helm.Chart.load(path)

    def values_files(self) -> dict[str, dict]:
        """The values files that show the chart's uses, by name."""
        files = sorted((self.path / "ci").glob("*-values.yaml"))
        return {file.name.removesuffix("-values.yaml"): helm.values_from_yaml(file.read_text()) for file in files}

    def render(self, values: dict, release: str = RELEASE) -> dict[str, str]:
        """Every template that gives something, as text, hooks and NOTES included."""
        self.chart.validate_schema(values)
        rendered = self.chart.render(values, name=release, namespace=NAMESPACE)
        return {name: tidy(text) for name, text in sorted(rendered.items()) if text.strip()}

    def refusal(self, values: dict) -> str | None:
        """Why the chart refuses these values; None: it does not."""
        try:
            self.render(values)
        except helm.HelmError as error:
            return str(error)
        return None


def objects(rendered: dict[str, str]) -> list[dict]:
    """The Kubernetes objects of a rendering."""
    texts = (text for name, text in rendered.items() if name.endswith(".yaml"))
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def snapshot(rendered: dict[str, str]) -> str:
    """A rendering as one text to compare and to read."""
    return "\n".join(f"### {name.removeprefix('tidemark/')}\n{text}" for name, text in rendered.items())


def tidy(text: str) -> str:
    """Templates leave blank lines and spaces behind; YAML does not mind."""
    lines = (line.rstrip() for line in text.strip("\n").splitlines())
    return "\n".join(lines) + "\n"


def wrongly_taken(chart: Chart, cases: dict[str, list[dict]]) -> list[str]:
    """The cases that the chart takes, or refuses in other words. Of a contradiction the whole sentence is expected."""
    faults = []
    for case in cases["schema"] + cases["contradictions"]:
        said = chart.refusal(case["values"])
        if said is None:
            faults.append(f"{case['values']} is taken; expected: {case['says']}")
        elif case["says"] not in said or not said.strip().endswith(case["says"]) and case in cases["contradictions"]:
            faults.append(f"{case['values']} is refused with `{said}`; expected: {case['says']}")
    return faults
