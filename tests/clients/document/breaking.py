"""What a program that was written for one OpenAPI document would trip over in another.

    python breaking.py BEFORE AFTER

Prints each break, and ends with 1 if there is any. What we take may only widen and what we give may only narrow, because unknown
parameters and fields are refused, and generated clients refuse an answer's unknown value. Answers gain fields and operations are added.
"""

import json
import sys

METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]
# Of what is taken these may only fall, and those only rise. Within them an answer may have any value.
LOWER_BOUNDS = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"]
UPPER_BOUNDS = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"]


class Document:
    def __init__(self, whole):
        self.whole = whole

    def resolve(self, part):
        """A part without a reference at its top."""
        while "$ref" in part:
            beside, target = {key: value for key, value in part.items() if key != "$ref"}, self.whole
            for name in part["$ref"].removeprefix("#/").split("/"):
                target = target[name.replace("~1", "/").replace("~0", "~")]
            part = target | beside
        return part

    def schema(self, part):
        """A schema as one: references followed, `allOf` merged, and null among its types rather than its alternatives."""
        part = self.resolve(part)
        types = part.get("type", [])
        flat = part | {"type": {types} if isinstance(types, str) else set(types)}
        for member in flat.pop("allOf", []):
            member = self.schema(member)
            flat["properties"] = flat.get("properties", {}) | member.get("properties", {})
            flat["required"] = [*flat.get("required", []), *member.get("required", [])]
            flat["type"] = flat["type"] | member["type"]
            flat = member | flat
        kinds = flat.get("oneOf") or flat.get("anyOf") or []
        others = [kind for kind in kinds if kind.get("type") != "null"]
        if len(others) == 1:
            only = self.schema(others[0])
            null = {"null"} if len(kinds) > 1 else set()
            return {key: value for key, value in flat.items() if key not in ("oneOf", "anyOf")} | only | {"type": only["type"] | null}
        return flat

    def operations(self):
        for path, item in self.whole.get("paths", {}).items():
            for method in METHODS:
                if method in item:
                    yield f"{method.upper()} {path}", item[method] | {"parameters": self.parameters(item) | self.parameters(item[method])}

    def parameters(self, part):
        found = [self.resolve(parameter) for parameter in part.get("parameters", [])]
        return {f"{parameter['in']} parameter {parameter['name']}": parameter for parameter in found}

    def webhooks(self):
        for name, item in self.whole.get("webhooks", {}).items():
            for method in METHODS:
                if method in item:
                    yield f"webhook {name}", item[method]


def suffices(was, now):
    return all(name in was and set(scopes) <= set(was[name]) for name, scopes in now.items())


def any_of(types):
    return " or ".join(sorted(types)) or "anything"


class Comparison:
    """Of two documents; `breaks` says what is found."""

    def __init__(self, before, after):
        self.before, self.after = Document(before), Document(after)
        self.breaks = []
        # Pairs of referenced schemas that are being compared, as schemas may hold themselves.
        self.under_way = set()
        self.compare()

    def found(self, where, what):
        if (found := f"{where}: {what}") not in self.breaks:
            self.breaks.append(found)

    def compare(self):
        after = dict(self.after.operations())
        for name, operation in self.before.operations():
            if name not in after:
                self.found(name, "the operation is gone")
                continue
            self.operation(name, operation, after[name])
        after = dict(self.after.webhooks())
        for name, webhook in self.before.webhooks():
            if name not in after:
                self.found(name, "is gone")
                continue
            self.contents(name, webhook.get("requestBody", {}), after[name].get("requestBody", {}), taken=False)

    def operation(self, name, before, after):
        if before.get("operationId") != after.get("operationId"):
            self.found(name, f"is named {after.get('operationId')}, was {before.get('operationId')}")
        security = [part.get("security", whole.whole.get("security", [])) for part, whole in ((before, self.before), (after, self.after))]
        # A key with what sufficed suffices.
        if not all(any(suffices(was, now) for now in security[1] or [{}]) for was in security[0] or [{}]):
            self.found(name, f"asks for {security[1]}, was {security[0]}")
        self.parameters(name, before["parameters"], after["parameters"])
        self.body(name, before.get("requestBody"), after.get("requestBody"))
        for status, answer in before.get("responses", {}).items():
            if status not in after.get("responses", {}):
                self.found(name, f"{status} is gone")
                continue
            self.answer(f"{name} {status}", self.before.resolve(answer), self.after.resolve(after["responses"][status]))

    def parameters(self, name, before, after):
        for parameter, was in before.items():
            if parameter not in after:
                self.found(name, f"{parameter} is gone")
                continue
            now = after[parameter]
            if [was.get("style"), was.get("explode")] != [now.get("style"), now.get("explode")]:
                self.found(name, f"{parameter} is written differently")
            self.schemas(f"{name} {parameter}", was.get("schema", {}), now.get("schema", {}), taken=True)
        for parameter, now in after.items():
            if now.get("required") and not before.get(parameter, {}).get("required"):
                self.found(name, f"{parameter} is required")

    def body(self, name, before, after):
        before, after = self.before.resolve(before or {}), self.after.resolve(after or {})
        if after.get("required") and not before.get("required"):
            self.found(name, "a body is required")
        self.contents(f"{name} body", before, after, taken=True)

    def answer(self, name, before, after):
        for header in before.get("headers", {}):
            if header not in after.get("headers", {}):
                self.found(name, f"header {header} is gone")
        self.contents(name, before, after, taken=False)

    def contents(self, name, before, after, taken):
        before, after = self.before.resolve(before).get("content", {}), self.after.resolve(after).get("content", {})
        for kind, was in before.items():
            if kind not in after:
                self.found(name, f"{kind} is gone")
                continue
            self.schemas(name, was.get("schema", {}), after[kind].get("schema", {}), taken)

    def schemas(self, where, before, after, taken):
        pair = (before.get("$ref"), after.get("$ref"), taken)
        if all(pair[:2]):
            if pair in self.under_way:
                return
            self.under_way.add(pair)
        self.flat_schemas(where, self.before.schema(before), self.after.schema(after), taken)
        self.under_way.discard(pair)

    def flat_schemas(self, where, before, after, taken):
        self.types(where, before, after, taken)
        self.bounds(where, before, after, taken)
        self.properties(where, before, after, taken)
        for inner, name in (("items", "[]"), ("additionalProperties", ".*")):
            was, now = before.get(inner), after.get(inner)
            if isinstance(was, dict) and isinstance(now, dict):
                self.schemas(where + name, was, now, taken)
        if taken and after.get("additionalProperties") is False and before.get("additionalProperties") is not False:
            self.found(where, "no other fields are taken")
        alternatives = [schema.get("oneOf") or schema.get("anyOf") or [] for schema in (before, after)]
        gone, new = len(alternatives[0]) > len(alternatives[1]), len(alternatives[0]) < len(alternatives[1])
        if (gone and taken) or (new and not taken):
            self.found(where, f"{len(alternatives[1])} alternatives, was {len(alternatives[0])}")
        for was, now in zip(*alternatives, strict=False):
            self.schemas(where, was, now, taken)

    def types(self, where, before, after, taken):
        # No type at all is any.
        narrow, wide = (after["type"], before["type"]) if not taken else (before["type"], after["type"])
        if wide and not (narrow and narrow <= wide):
            self.found(where, f"is {any_of(after['type'])}, was {any_of(before['type'])}")
        if before.get("format") != after.get("format"):
            self.found(where, f"has the format {after.get('format')}, was {before.get('format')}")
        was, now = before.get("enum"), after.get("enum")
        if was is not None and now is not None:
            # A client may wait for a value that never comes any more, or refuse one that it does not know.
            for value in was:
                if value not in now:
                    self.found(where, f"{value} is gone")
            for value in now if not taken else []:
                if value not in was:
                    self.found(where, f"{value} is new to who reads it")
        elif (was is None) == taken and was is not now:
            self.found(where, f"is one of {now}, was anything" if taken else f"is anything, was one of {was}")

    def bounds(self, where, before, after, taken):
        if not taken:
            return
        for name, sign in [*((name, 1) for name in LOWER_BOUNDS), *((name, -1) for name in UPPER_BOUNDS)]:
            was, now = before.get(name), after.get(name)
            if now is not None and (was is None or now * sign > was * sign):
                self.found(where, f"{name} is {now}, was {was}")
        if "pattern" in after and before.get("pattern") != after["pattern"]:
            self.found(where, f"has the pattern {after['pattern']}, was {before.get('pattern')}")

    def properties(self, where, before, after, taken):
        was, now = before.get("properties", {}), after.get("properties", {})
        for name in was:
            if name not in now:
                self.found(where, f"{name} is gone")
                continue
            self.schemas(f"{where}.{name}", was[name], now[name], taken)
        required = [set(schema.get("required", [])) for schema in (before, after)]
        for name in sorted(required[1] - required[0] if taken else (required[0] - required[1]) & now.keys()):
            self.found(where, f"{name} is required" if taken else f"{name} may be missing")


def main(before, after):
    documents = []
    for path in (before, after):
        with open(path) as file:
            documents.append(json.load(file))
    breaks = Comparison(*documents).breaks
    print("\n".join(breaks) or "no change breaks a client", file=sys.stderr if breaks else sys.stdout)
    raise SystemExit(bool(breaks))


if __name__ == "__main__":
    main(*sys.argv[1:])
