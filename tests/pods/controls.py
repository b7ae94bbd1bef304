"""What must not pass: each control breaks one thing, and names the words in which that must be noticed."""

import dataclasses
import os
import shutil
import signal
from collections.abc import Callable, Iterator

import image
from world import World

# What is done, which gives the faults found or fails; and what it is called, and words of what must be said.
Control = tuple[str, str, Callable[[], object]]
ROOTS = "/etc/ssl/certs/ca-certificates.crt"


def controls(world: World) -> Iterator[Control]:
    """The controls, each undone before the next."""
    yield from of_images(world.cluster.images["tidemark-api"])
    yield from of_surroundings(world)
    world.init()
    world.create_source()
    yield "a Service that leads nowhere", 'does not answer with "openapi"', world.smoke
    yield from of_pods(world)


def of_images(api: image.Image) -> Iterator[Control]:
    shell = dataclasses.replace(api, files=api.files | {"bin/sh": api.files["etc/passwd"]})
    yield "an image with a shell", "['bin/sh']", lambda: image.faults(shell)
    root = dataclasses.replace(api, config=api.config | {"User": "0"})
    yield "an image that runs as root", "it runs as 0", lambda: image.faults(root)


def of_surroundings(world: World) -> Iterator[Control]:
    files, resolved = world.around.files, world.around.resolv_conf
    trusted = files.pop(ROOTS)
    yield "a root that no image trusts", "UnknownIssuer", world.init
    files[ROOTS] = ""
    yield "an image without roots", "no certificate authorities are found", world.init
    files[ROOTS] = trusted
    world.around.resolv_conf = resolved.replace(world.network.gateway, "127.0.0.1")
    yield "names that nobody knows", "failed to lookup address", world.init
    world.around.resolv_conf = resolved


def of_pods(world: World) -> Iterator[Control]:
    def pod(change: Callable[[dict], None]) -> Callable[[], object]:
        return lambda: started(world, change)

    def container(**changed: object) -> Callable[[], object]:
        return pod(lambda template: template["spec"]["containers"][0].update(changed))

    def security(**changed: object) -> Callable[[], object]:
        return pod(lambda template: template["spec"]["containers"][0]["securityContext"].update(changed))

    nowhere = {"httpGet": {"path": "/nowhere", "port": "admin"}, "periodSeconds": 1, "failureThreshold": 3}
    yield "a shared object that is missing", "libm.so.6: cannot open shared object file", lambda: without(world, "libm.so.6")
    yield "definitions that are not mounted", "it ended with 2", container(volumeMounts=[])
    yield "a probe of what is not there", "its startup probe failed 3 times", container(startupProbe=nowhere)
    yield "a root file system that can be written to", "its / can be written to", security(readOnlyRootFilesystem=False)
    yield "capabilities that are kept", "the kernel has CapBnd", security(capabilities={"drop": []})
    yield "privileges that may be gained", "the kernel has NoNewPrivs 0", security(allowPrivilegeEscalation=True)
    yield "no seccomp profile", "the kernel has Seccomp 0", security(seccompProfile={"type": "Unconfined"})
    yield "memory without a limit", "bytes of memory", lambda: unlimited(world)
    yield "an end without leave", "it ended without having said", lambda: started(world, lambda _: None, signal.SIGKILL)
    short = pod(lambda template: template["spec"].update(terminationGracePeriodSeconds=2))
    yield "a grace that is too short", "had to be killed after its 2 s of grace", short


def started(world: World, change: Callable[[dict], None], asking: signal.Signals = signal.SIGTERM) -> list[str]:
    """What is wrong with an API's pod that was changed; one that is found out while it runs need not take leave."""
    pod = world.start("api", change)
    return pod.confinement() or pod.stop(asking)[1]


def unlimited(world: World) -> list[str]:
    pod = world.start("api")
    limit = pod.memory_limit()
    # In the spelling of either generation of control groups.
    limit.write_text("-1" if limit.name == "memory.limit_in_bytes" else "max")
    return pod.confinement()


def without(world: World, name: str) -> list[str]:
    """An API's pod on its image but for a file."""
    images = world.cluster.images
    whole = images["tidemark-api"]
    root = whole.root.with_name(f"without-{name}")
    shutil.copytree(whole.root, root, copy_function=os.link, symlinks=True)
    (file,) = root.rglob(name)
    file.unlink()
    broken, kept = images | {whole.name: dataclasses.replace(whole, root=root)}, world.cluster
    world.cluster = dataclasses.replace(kept, images=broken)
    try:
        return started(world, lambda _: None)
    finally:
        world.cluster = kept
