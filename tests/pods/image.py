"""Images out of an OCI layout: their root file systems, unpacked, and what must hold of each."""

import gzip
import hashlib
import json
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

USER = "65532:65532"
# What each image has beside its binary and the shared objects that the binary asks for.
FOUNDATION = {"etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"}
# Mozilla trusts about 140 roots.
ROOTS_MIN = 100
LABELS = {"title", "description", "version", "revision", "vendor", "licenses"}


@dataclass
class Image:
    """An image, unpacked."""

    name: str
    digest: str
    config: dict
    root: Path
    files: dict[str, tarfile.TarInfo]

    @property
    def binary(self) -> str:
        return self.config["Entrypoint"][0]


def digests(layout: Path) -> dict[str, str]:
    """The digest of each image of a layout, by name."""
    index = json.loads((layout / "index.json").read_text())
    return {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in index["manifests"]}


def unpack(layout: Path, into: Path) -> dict[str, Image]:
    """Every image of a layout, by name."""
    images = {}
    for name, digest in digests(layout).items():
        manifest = json.loads(blob(layout, digest))
        root, files = into / name, {}
        root.mkdir(parents=True)
        for layer in manifest["layers"]:
            with tarfile.open(layout / "blobs" / layer["digest"].replace(":", "/")) as archive:
                files |= {member.name.strip("./"): member for member in archive if not member.isdir()}
                archive.extractall(root, numeric_owner=True, filter="fully_trusted")
        config = json.loads(blob(layout, manifest["config"]["digest"]))["config"]
        images[name] = Image(name, digest, config, root, files)
    return images


def blob(layout: Path, digest: str) -> bytes:
    content = (layout / "blobs" / digest.replace(":", "/")).read_bytes()
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise ValueError(f"{digest} is not what it says")
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def stand_in(root: Path) -> Image:
    """BusyBox as Debian has it, for the image of `helm test`: that one cannot be pulled here."""
    return Image("busybox", "", {"Entrypoint": ["/bin/sh"], "Env": ["PATH=/bin"]}, root, {})


def faults(image: Image) -> list[str]:
    """What is wrong with an image, by OPERATIONS.md and by what its own binary asks for."""
    config, found = image.config, []
    if config.get("User") != USER:
        found.append(f"it runs as {config.get('User')}")
    extra = [entry for entry in config.get("Env", []) if not entry.startswith("PATH=")]
    if extra or config.get("Cmd"):
        found.append(f"it sets {extra or config.get('Cmd')}")
    missing = LABELS - {label.removeprefix("org.opencontainers.image.") for label, text in config["Labels"].items() if text}
    if missing:
        found.append(f"it has no labels {sorted(missing)}")
    expected = FOUNDATION | {image.binary.strip("/")} | needed(image)
    if set(image.files) != expected:
        found.append(f"its files are not those needed: {sorted(set(image.files) ^ expected)}")
    loose = [name for name, member in image.files.items() if member.uid or member.gid or member.mode & 0o6022]
    if loose:
        found.append(f"files that others than root may write, or that change who runs them: {loose}")
    certificates = (image.root / "etc/ssl/certs/ca-certificates.crt").read_text().count("-----BEGIN CERTIFICATE-----")
    if certificates < ROOTS_MIN:
        found.append(f"it trusts {certificates} roots")
    return [f"{image.name}: {fault}" for fault in found]


def needed(image: Image) -> set[str]:
    """The files that the image's own loader finds for the binary, the loader included, as found inside the image and nowhere else."""
    header = subprocess.run(["readelf", "--wide", "--program-headers", image.root / image.binary.strip("/")],
                            capture_output=True, text=True, check=True).stdout
    loader = re.search(r"program interpreter: ([^\]]+)\]", header)[1]
    listed = subprocess.run(["chroot", image.root, loader, "--list", image.binary], capture_output=True, text=True, check=False).stdout
    return {path.strip("/") for path in re.findall(r"(/\S+) \(0x", listed)} | {loader.strip("/")}
