"""The documents: each alert has its section, and each command, setting, value, metric, query and link in them is one that there is."""

import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import helm_python as helm
import yaml

import alerts
from binaries import Binaries
from chart import Chart

RUNBOOK = "deploy/runbook.md"
DOCUMENTS = ("README.md", "deploy/README.md", RUNBOOK, "helm/tidemark/README.md")
# What follows the command, wherever a shell would run it. The release and the namespace are called like it, so not every `tidemark` is one.
CALL = re.compile(r"(?:target/release/tidemark|cargo run --|in_cluster [\w-]+|`tidemark|^ *tidemark) ([a-z][^`\n|;)&#]*)", re.MULTILINE)
# A value of the chart in a code span, or as an argument of helm.
VALUE = re.compile(r"(?:`(?=\w+\.)|--set(?:-file)? )([a-z]\w*(?:\.\w+)*)(?:=[^`\n]*)?(?:`|$|(?= ))", re.MULTILINE)
FILES = (".json", ".yaml", ".md")


def check(root: Path, chart: Chart, binaries: Binaries) -> tuple[str, list[str]]:
    """How many documents there are, and everything in them that is not so."""
    texts = {name: (root / name).read_text() for name in DOCUMENTS}
    commands = Commands((root / "crates/cli/src/command.rs").read_text())
    settings = binaries.settings("api") | binaries.settings("ingest")
    defaults = yaml.safe_load((chart.path / "values.yaml").read_text())
    rules = yaml.safe_load((chart.path / "files/alerts.yaml").read_text())
    found = sections(texts[RUNBOOK], {rule["alert"] for group in rules["groups"] for rule in group["rules"]})
    found += alerts.unknown_metrics(texts, binaries.metrics())
    for name, text in texts.items():
        wrong = [fault for call in CALL.findall(text) for fault in commands.faults(call)]
        wrong += [f"no process reads {setting}" for setting in sorted(set(re.findall(r"TIDEMARK_[A-Z_]+", text)) - settings)]
        wrong += unknown_values(text, defaults) + refused_values(text, chart) + unread_queries(text) + broken_links(root, name, text)
        found += [f"{name}: {fault}" for fault in wrong]
    return f"{len(texts)} documents", found


def sections(runbook: str, named: set[str]) -> list[str]:
    told = set(re.findall(r"^## (Tidemark\w+)$", runbook, re.MULTILINE))
    return [f"{RUNBOOK} has no section for {alert}" for alert in sorted(named - told)] + [
        f"{RUNBOOK} has a section for {alert}, which is no alert" for alert in sorted(told - named)]


class Commands:
    """What `tidemark` can be told, as its source has it: subcommands, and the flags of each."""

    def __init__(self, source: str):
        self.bodies = dict(re.findall(r"(?:struct|enum) (\w+) \{\n(.*?)\n\}", source, re.DOTALL))

    def faults(self, call: str) -> list[str]:
        words, body, said = shlex.split(call), self.bodies["Command"], "tidemark"
        while words and (subcommands := self.subcommands(body)):
            if words[0] not in subcommands:
                return [f"`{said}` has no `{words[0]}`"]
            body, said = subcommands[words[0]], f"{said} {words.pop(0)}"
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        return [f"`{said}` has no `{flag}`" for flag in sorted(given - self.flags(body))]

    def subcommands(self, body: str) -> dict[str, str]:
        """Each with the text of its own subcommands or flags."""
        named = {name: self.bodies[kind] for name, kind in re.findall(r"^    (\w+)\((\w+)\),$", body, re.MULTILINE)}
        inline = dict(re.findall(r"^    ([A-Z]\w+) \{\n(.*?)\n    \},$", body, re.MULTILINE | re.DOTALL))
        return {name.lower(): text for name, text in (named | inline).items()}

    def flags(self, body: str) -> set[str]:
        flags = set()
        for attributes, name, kind in re.findall(r"#\[(?:arg|command)\((.*)\)\]\n +(?:pub\(crate\) )?(\w+): (\w+)", body):
            if attributes == "flatten":
                flags |= self.flags(self.bodies[kind])
            elif attributes.startswith("long"):
                renamed = re.match(r'long = "([\w-]+)"', attributes)
                flags.add("--" + (renamed[1] if renamed else name.replace("_", "-")))
        return flags


def unknown_values(text: str, defaults: dict) -> list[str]:
    """Values that the chart does not have. Under an empty object, such as labels, everything may stand."""
    faults = []
    for value in VALUE.findall(text):
        node, (first, *_) = defaults, value.split(".")
        if first not in defaults or value.endswith(FILES):
            continue
        for part in value.split("."):
            if not isinstance(node, dict) or node and part not in node:
                faults.append(f"the chart has no value {value}")
                break
            node = node.get(part, {})
    return faults


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)


def refused_values(text: str, chart: Chart) -> list[str]:
    """Whole files of values, which begin with a line that says so."""
    given = [block for block in blocks(text, "yaml") if block.startswith("# values\n")]
    return [f"the chart refuses\n{block}{said}" for block in given if (said := chart.refusal(helm.values_from_yaml(block)))]


def unread_queries(text: str) -> list[str]:
    """Queries, one a line, that Prometheus cannot read."""
    queries = [line for block in blocks(text, "promql") for line in block.splitlines()]
    rules = {"groups": [{"name": "documents", "rules": [{"record": f"query:{at}", "expr": query} for at, query in enumerate(queries)]}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(yaml.safe_dump(rules))
        file.flush()
        ran = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, check=False)
    return [f"promtool: {ran.stdout}{ran.stderr}"] if ran.returncode else []


def broken_links(root: Path, name: str, text: str) -> list[str]:
    faults = []
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([\w-]*)\)", text):
        target = (root / name).parent / path if path else root / name
        if not target.exists():
            faults.append(f"there is no {path}")
        elif anchor and anchor not in anchors(target.read_text()):
            faults.append(f"{path or name} has no section {anchor}")
    return faults


def anchors(text: str) -> set[str]:
    """The headings as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
