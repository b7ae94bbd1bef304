"""What both walks are made of: the surroundings that live.py gives, a check, waiting, and writing to the source tables."""

import os
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from tidemark_client import AuthenticatedClient
from tidemark_client.models import Problem

# Longest that a change of a table may take to be seen; it takes half a second.
DEADLINE_SECONDS = 60

Answer = TypeVar("Answer")


def client(key: str) -> AuthenticatedClient:
    return AuthenticatedClient(base_url=os.environ["API_URL"], token=key, raise_on_unexpected_status=True)


def check(holds: bool, what: object) -> None:
    if not holds:
        raise SystemExit(f"error: {what}")


def wanted(kind: type[Answer], answer: object) -> Answer:
    """The answer, if it is no refusal."""
    if not isinstance(answer, kind):
        raise SystemExit(f"error: not a {kind.__name__}: {answer}")
    return answer


def refused(status: HTTPStatus, code: str, answer: object) -> Problem:
    problem = wanted(Problem, answer)
    check((problem.status, problem.code) == (status, code), f"{status} {code} expected: {problem}")
    return problem


def wait_until(expected: object, read: Callable[[], object]) -> None:
    """Reads until that gives what is expected."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := read()) != expected:
        check(time.monotonic() < deadline, f"{expected} expected, {found} found")
        time.sleep(0.1)


def put(table: str, item: Mapping[str, Any]) -> None:
    """Writes an item as any program does; of the AWS SDK only the signature is missing, which the embedded DynamoDB does not verify."""
    headers = {
        "x-amz-target": "DynamoDB_20120810.PutItem",
        "x-amz-date": "any",
        "authorization": "AWS4-HMAC-SHA256 Credential=any, SignedHeaders=any, Signature=any",
    }
    httpx.post(os.environ["DYNAMODB_URL"], headers=headers, json={"TableName": table, "Item": item}).raise_for_status()
