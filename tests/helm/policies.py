"""The IAM policies: sound by parliament, and no action that no call needs, or that a call needs and none allows."""

import json
from pathlib import Path

import parliament
from parliament.statement import get_privilege_info

# What whoever installs Tidemark fills in.
PLACEHOLDERS = {"REGION": "eu-central-1", "ACCOUNT": "111122223333", "SOURCE_TABLE": "Orders"}


def faults(folder: Path, called: set[str]) -> list[str]:
    """What is wrong with the policies in a folder, given the actions that the code calls."""
    found, allowed = [], set()
    for file in sorted(folder.glob("*.json")):
        text = file.read_text()
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        found += [f"{file.name}: {finding}" for finding in parliament.analyze_policy_string(text).findings]
        for statement in json.loads(text)["Statement"]:
            actions = statement["Action"]
            allowed |= {actions} if isinstance(actions, str) else set(actions)
    found += [f"no call needs {action}, which a policy allows" for action in sorted(allowed - called)]
    return found + [f"the code calls {action}, which no policy allows" for action in sorted(called - allowed)]


def actions(calls: set[str]) -> set[str]:
    """The calls that are actions: functions of our own have names like the SDK's."""
    return {call for call in calls if is_action(call)}


def is_action(name: str) -> bool:
    try:
        get_privilege_info(*name.split(":"))
    except parliament.UnknownActionException:
        return False
    return True
