"""What the code says of the binaries: their settings, how long they drain, their metrics, and the calls they make to AWS."""

import re
from pathlib import Path

# What is added to a unit's instruments, as OpenTelemetry's Prometheus exporter has it.
UNITS = {"s": "_seconds", None: ""}
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
# A kind, a name or the constant that has it, and what follows up to its end.
INSTRUMENT = re.compile(r'\.[uif]64_(?:up_down_|observable_)?(counter|gauge|histogram)\(\s*"?([\w.]+)"?\s*\)(.*?)\.build\(\)', re.DOTALL)
# The SDK's functions that stand for no action of their own: a transaction is allowed by what its parts are allowed by.
TRANSACTIONS = {"transact_write_items", "transact_get_items"}
# At most five seconds for telemetry to be sent, after the drain (OPERATIONS.md).
TELEMETRY_SECONDS = 5


class Binaries:
    """The sources of both workloads, without their tests."""

    def __init__(self, root: Path):
        self.root = root
        folders = ("crates/domain", "crates/dynamo", "crates/runtime", "crates/store", "crates/streams", "crates/webhooks", "services/api", "services/ingest")
        files = (file for folder in folders for file in sorted((root / folder / "src").rglob("*.rs")))
        self.files = {file.relative_to(root).as_posix(): shipped(file) for file in files if "tests" not in file.relative_to(root).parts}

    def text(self, *folders: str) -> str:
        return "\n".join(text for name, text in self.files.items() if name.startswith(folders))

    def seconds(self, file: str, constant: str) -> int:
        """A constant of whole seconds."""
        found = re.search(rf"const {constant}: Duration = Duration::from_secs\((\d+)\);", self.files[file])
        if not found:
            raise ValueError(f"{file} has no constant {constant} of whole seconds: helm-check compares it with the pods' grace")
        return int(found[1])

    def drain_seconds(self, component: str) -> int:
        """The longest from SIGTERM to the end of the process."""
        if component == "api":
            drain = self.seconds("services/api/src/edge.rs", "DRAIN_DELAY") + self.seconds("services/api/src/serve.rs", "FINISH_MAX")
        else:
            file = "services/ingest/src/supervisor.rs"
            drain = self.seconds(file, "DRAIN") + self.seconds(file, "LEAVE")
        return drain + TELEMETRY_SECONDS

    def settings(self, component: str) -> set[str]:
        """Every variable that a workload may read."""
        return {name for _, name in self._settings(component)}

    def required(self, component: str) -> set[str]:
        return {name for kind, name in self._settings(component) if kind == "required"}

    def _settings(self, component: str) -> list[tuple[str, str]]:
        text = self.text("crates/runtime", f"services/{component}")
        return re.findall(r'Setting::(required|optional|with_default)\(\s*"(\w+)"', text)

    def metrics(self) -> set[str]:
        """Every metric that the workloads export, by its name in Prometheus."""
        names = {"target_info"}
        for text in self.files.values():
            constants = dict(re.findall(r'const (\w+): &str = "([^"]+)";', text))
            for kind, name, rest in INSTRUMENT.findall(text):
                unit = re.search(r'with_unit\("(\w+)"\)', rest)
                name = constants.get(name, name).replace(".", "_") + UNITS[unit and unit[1]]
                names |= {name + suffix for suffix in SUFFIXES[kind]}
        return names

    def calls(self) -> set[str]:
        """Every call to DynamoDB, written as an IAM action; some functions of our own, too."""
        text = self.text("crates/store", "crates/streams")
        calls = set(re.findall(r"\b(?:client|dynamodb|streams)\s*\.([a-z_]+)\(\)", text)) - TRANSACTIONS
        for part in re.findall(r"TransactWriteItem::builder\(\)\s*\.(put|update|delete|condition_check)\(", text):
            calls.add(f"{part}_item")
        return {"dynamodb:" + "".join(word.capitalize() for word in call.split("_")) for call in calls}


def shipped(file: Path) -> str:
    """A file without its comments, and without its tests, which are at its end."""
    code = re.split(r"^#\[cfg\(test\)\]", file.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"^\s*//.*$", "", code, flags=re.MULTILINE)
