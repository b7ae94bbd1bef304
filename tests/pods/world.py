"""A release of the chart on a node: its rendering brought to life from its own images."""

import copy
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import yaml

import aws
from bundle import Surroundings
from chart import Chart, objects
from image import Image
from kubelet import JOB_SECONDS, Container, Failed, Pod
from node import NAMESPACE, Network

# Longest that a record may take from its table to the API.
COUNTED_SECONDS = 60
QUANTITY = 3
# What EKS tells pods that do not say it themselves.
EKS_REGION = "eu-central-1"
# 32 bytes in base64, of no secrecy.
SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PREVIOUS = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
# Secrets that values files name, each with all entries that they ask for.
SECRETS = {
    "tidemark-secret-key": {"current": SECRET},
    "shop-keys": {"tidemark": SECRET, "tidemark-before": PREVIOUS},
    "collector-token": {"headers": "authorization=Bearer%20token"},
}
# Records of the tables that values files count, the tenant they are counted for, and the query that shows it.
SALES = {
    "Order_by_item": ("demo", "sales", "units", {"orderid": {"S": "order-1"}, "order_date": {"S": "NOW"}},
                      {"item_number": {"S": "tea"}, "quantity": {"N": str(QUANTITY)}}),
    "Payments": ("acme", "payments", "count", {"id": {"S": "payment-1"}},
                 {"account": {"S": "acme"}, "paid_at": {"S": "NOW"}, "method": {"S": "card"}}),
}


@dataclass
class Cluster:
    """What all releases share."""

    chart: Chart
    images: dict[str, Image]
    busybox: Image
    # Host and port of DynamoDB Local.
    emulator: str
    # DynamoDB's TLS, and a root that signs it.
    tls: object
    root: str
    work: Path


class World:
    """One values file's release, and its life."""

    def __init__(self, cluster: Cluster, name: str, values: dict, number: int):
        self.cluster, self.name, self.network = cluster, name, Network(number)
        is_tls = values.get("aws", {}).get("identity") == "irsa"
        endpoint = f"https://dynamodb.default.svc:{aws.HTTPS}" if is_tls else f"http://dynamodb.default.svc:{aws.HTTP}"
        values = copy.deepcopy(values)
        values.setdefault("aws", {})["endpointUrl"] = endpoint
        values.setdefault("init", {})["enabled"] = True
        found = objects(cluster.chart.render(values))
        self.objects = {(each["kind"], each["metadata"]["name"]): each for each in found}
        self.is_v6 = values.get("listenAddress") == "[::]"
        self.pods: dict[str, Pod] = {}
        self.containers: list[Container] = []
        # DynamoDB Local takes letters and digits alone.
        self.key = "".join(letter for letter in f"world{number}{name}" if letter.isalnum())
        self.around = Surroundings(self.config_maps(), SECRETS, self.network.resolv_conf)
        self.admit(values.get("aws", {}).get("identity", "podIdentity"))
        if is_tls:
            roots = (cluster.images["tidemark"].root / "etc/ssl/certs/ca-certificates.crt").read_text()
            self.around.files["/etc/ssl/certs/ca-certificates.crt"] = roots + cluster.root

    def admit(self, identity: str) -> None:
        """What EKS adds to pods for their identity; with none, the credentials are simply there."""
        if identity == "podIdentity":
            self.around.env |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{aws.AGENT}/v1/credentials",
                                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": aws.IDENTITY_TOKEN}
            self.around.files[aws.IDENTITY_TOKEN] = self.key
        elif identity == "irsa":
            self.around.env |= {"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/tidemark",
                                "AWS_WEB_IDENTITY_TOKEN_FILE": aws.WEB_IDENTITY_TOKEN}
            self.around.files[aws.WEB_IDENTITY_TOKEN] = self.key
        else:
            self.around.env |= {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": "secret"}

    def config_maps(self) -> dict[str, dict[str, str]]:
        maps = {name: each["data"] for (kind, name), each in self.objects.items() if kind == "ConfigMap"}
        default = yaml.safe_load((self.cluster.chart.path / "values.yaml").read_text())["definitions"]
        return {"shop-definitions": {"definitions.yaml": default}} | maps

    def open(self) -> None:
        self.network.open()
        aws.dynamodb(self.network, self.cluster.emulator, self.cluster.tls)
        self.collector = aws.collector(self.network)

    def component(self, kind: str, component: str) -> dict:
        (found,) = [each for (is_kind, _), each in self.objects.items()
                    if is_kind == kind and each["metadata"]["labels"]["app.kubernetes.io/component"] == component]
        return found

    def run(self, kind: type[Container], template: dict, name: str) -> Container:
        """A container of a pod template, of the image that the template names."""
        repository = template["spec"]["containers"][0]["image"].rsplit("/", 1)[-1].split("@")[0].split(":")[0]
        image = (self.cluster.images | {"busybox": self.cluster.busybox})[repository]
        around = copy.deepcopy(self.around)
        if not any(variable["name"] == "AWS_REGION" for variable in template["spec"]["containers"][0].get("env", [])):
            around.env["AWS_REGION"] = EKS_REGION
        started = kind(self.cluster.work / self.name, template, name, image, around, self.network.address(self.is_v6))
        self.containers.append(started)
        return started

    def job(self, template: dict, name: str) -> str:
        """Runs a Job's container to its end: what it said."""
        container = self.run(Container, template, name)
        code = container.wait(JOB_SECONDS)
        if code:
            raise Failed(f"{name} ended with {code}:\n{container.logged()}")
        return container.logged()

    def init(self) -> str:
        return self.job(self.component("Job", "init")["spec"]["template"], "tidemark-init")

    def command(self, *arguments: str) -> str:
        """A command of an operator's, run as the init hook is."""
        template = copy.deepcopy(self.component("Job", "init")["spec"]["template"])
        template["spec"]["containers"][0]["args"] = list(arguments)
        return self.job(template, "tidemark-command")

    def smoke(self) -> str:
        """`helm test`."""
        return self.job(self.component("Job", "test")["spec"]["template"], "tidemark-test")

    def start(self, component: str, change: Callable[[dict], None] = lambda _: None) -> Pod:
        """A pod of a Deployment, started; `change` is for those that are to go wrong."""
        template = copy.deepcopy(self.component("Deployment", component)["spec"]["template"])
        change(template)
        pod = self.run(Pod, template, f"{self.component('Deployment', component)['metadata']['name']}-5c6d7-{len(self.containers)}")
        self.pods[component] = pod
        pod.start()
        return pod

    def expose(self) -> None:
        """The rendered Services: by name, with addresses of their own unless they are headless."""
        for (kind, name), each in list(self.objects.items()):
            if kind != "Service":
                continue
            selector = each["spec"]["selector"].items()
            pods = [pod for component, pod in self.pods.items()
                    if selector <= self.component("Deployment", component)["spec"]["template"]["metadata"]["labels"].items()]
            if each["spec"].get("clusterIP") == "None":
                self.network.name(f"{name}.{NAMESPACE}.svc", [pod.address.v4 for pod in pods])
            else:
                ports = {port["port"]: pods[0].port(port["targetPort"]) for port in each["spec"]["ports"]}
                self.api = self.network.service(name, ports, [pod.address.v4 for pod in pods])

    def end(self) -> None:
        """Kills what still runs."""
        for container in self.containers:
            if container.process.poll() is None:
                container.kill()

    def definitions(self) -> dict:
        volume = self.component("Deployment", "api")["spec"]["template"]["spec"]["volumes"][0]
        return yaml.safe_load(self.around.config_maps[volume["configMap"]["name"]]["definitions.yaml"])

    def create_source(self) -> None:
        """The customer's table, with its stream."""
        (source,) = self.definitions()["sources"].values()
        self.table = source["table"]
        keys = list(SALES[self.table][3])
        aws.call(self.cluster.emulator, self.key, "CreateTable", {
            "TableName": self.table, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in keys],
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in zip(keys, ("HASH", "RANGE"))],
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}})

    def count(self) -> float:
        """Writes a record, and reads the number it makes through the API's Service: how long that took, in seconds."""
        tenant, metric, measure, key, rest = SALES[self.table]
        said = self.command("key", "create", "--tenant", tenant, "--json")
        issued = json.loads(said[said.index("{"):said.rindex("}") + 1])
        now = datetime.now(timezone.utc)
        days = f"from={now.date()}&to={now.date() + timedelta(days=1)}"
        item = json.loads(json.dumps(key | rest).replace("NOW", now.strftime("%Y-%m-%dT%H:%M:%SZ")))
        aws.call(self.cluster.emulator, self.key, "PutItem", {"TableName": self.table, "Item": item})
        began, expected = time.monotonic(), str(QUANTITY if measure == "units" else 1)
        while True:
            answer = self.get(f"/v1/metrics/{metric}/values?{days}", issued["key"])
            if [total["values"][measure] for total in answer["totals"]] == [expected]:
                return time.monotonic() - began
            if time.monotonic() - began > COUNTED_SECONDS:
                raise Failed(f"the API says {answer}, and never {measure} {expected}; ingest says:\n{self.pods['ingest'].logged()}")
            time.sleep(0.2)

    def get(self, path: str, key: str) -> dict:
        request = urllib.request.Request(f"http://{self.api}:80{path}", headers={"authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Failed(f"{path}: {error.code} {error.read().decode()}\n{self.pods['api'].logged()}") from None

