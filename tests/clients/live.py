"""Runs commands against a live `tidemark dev` of their own.

    python live.py TIDEMARK DEFINITIONS COMMAND...

It has no sample data, unless DEFINITIONS is `sample`: then it is the sample shop. Each command finds `API_URL`, `DYNAMODB_URL`, the `KEY`
of tenant `demo` and the `OPERATOR`'s key in its environment. The first that fails ends it all, and what `tidemark dev` logged is shown.
"""

import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import tempfile
import threading

# Longest that `tidemark dev` may take to start, and to stop; it takes a moment.
DEADLINE_SECONDS = 60
# How much of the log is shown, in characters.
LOG_SHOWN_MAX = 8000


def first_line(process):
    lines = queue.Queue()
    threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()
    try:
        return json.loads(lines.get(timeout=DEADLINE_SECONDS))
    except (queue.Empty, json.JSONDecodeError):
        raise SystemExit("error: tidemark dev has not started") from None


def environment(dev):
    return os.environ | {
        "API_URL": dev["api_url"],
        "DYNAMODB_URL": dev["dynamodb_url"],
        "KEY": dev["keys"]["demo"],
        "OPERATOR": dev["operator_key"],
        # Straight to this machine, whatever proxy the environment names.
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def run(process, commands):
    surroundings = environment(first_line(process))
    for command in commands:
        code = subprocess.run(shlex.split(command), env=surroundings, check=False).returncode
        if code != 0:
            raise SystemExit(f"error: `{command}` ended with {code}")
    process.send_signal(signal.SIGINT)
    code = process.wait(DEADLINE_SECONDS)
    if code != 0:
        raise SystemExit(f"error: tidemark dev ended with {code}")


def main(tidemark, definitions, *commands):
    dev = [tidemark, "dev", "--json", "--port", "0", "--dynamodb-port", "0"]
    if definitions != "sample":
        dev += ["--no-sample-data", "--definitions", definitions]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(dev, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            run(process, commands)
        except BaseException:
            log.seek(0)
            print(log.read()[-LOG_SHOWN_MAX:], file=sys.stderr)
            raise
        finally:
            process.kill()


main(*sys.argv[1:])
