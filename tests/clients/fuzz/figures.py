"""What came of a run of schemathesis, by its NDJSON report: the answers by status, and the operations that never succeeded.

    python figures.py DOCUMENT PATHS REPORT

PATHS is the regular expression of those that were asked.

Ends with 1 if requests were refused for who sent them rather than for what they were: too often, or with a key that was no more.
"""

import collections
import json
import re
import sys

# So much of the answers may be 401: schemathesis leaves the key out at times.
UNAUTHENTICATED_MAX = 0.05


def interactions(report):
    """Operations by method and path, each with the status of an answer."""
    with open(report) as lines:
        for line in lines:
            scenario = json.loads(line).get("ScenarioFinished")
            recorded = scenario["recorder"] if scenario else {}
            for case, interaction in recorded.get("interactions", {}).items():
                request = recorded["cases"][case]["value"]
                yield (request["method"].lower(), request["path"]), (interaction["response"] or {}).get("status_code", 0)


def main(document, asked, report):
    with open(document) as file:
        paths = {path: item for path, item in json.load(file)["paths"].items() if re.search(asked, path)}
    statuses, succeeded = collections.Counter(), set()
    for operation, status in interactions(report):
        statuses[status] += 1
        if 200 <= status < 400:
            succeeded.add(operation)
    never = [operation["operationId"] for path in paths for method, operation in paths[path].items() if (method, path) not in succeeded]
    print(f"{statuses.total()} requests: " + ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())))
    print(f"never successful: {', '.join(never) or 'none'}")
    raise SystemExit(statuses[429] > 0 or statuses[401] > statuses.total() * UNAUTHENTICATED_MAX)


main(*sys.argv[1:])
