"""breaking.py, by changes of the committed document: one at a time, with what is to be said of it."""

import copy
import json
import pathlib
import types
import unittest

from breaking import Comparison

DOCUMENT = json.loads((pathlib.Path(__file__).parents[3] / "openapi/openapi.json").read_text())


def breaks(change):
    after = copy.deepcopy(DOCUMENT)
    change(types.SimpleNamespace(whole=after, paths=after["paths"], schemas=after["components"]["schemas"]))
    return Comparison(DOCUMENT, after).breaks


class Breaking(unittest.TestCase):
    def broken(self, change, expected):
        self.assertIn(expected, breaks(change))

    def unbroken(self, change):
        self.assertEqual(breaks(change), [])

    def test_nothing_changed(self):
        self.assertEqual(Comparison(DOCUMENT, DOCUMENT).breaks, [])

    def test_operations_are_added_and_never_go(self):
        self.unbroken(lambda now: now.paths.update({"/v1/live": {"get": now.paths["/v1/status"]["get"]}}))
        self.broken(lambda now: now.paths.pop("/v1/status"), "GET /v1/status: the operation is gone")
        self.broken(lambda now: now.paths["/v1/tenant"].pop("patch"), "PATCH /v1/tenant: the operation is gone")

    def test_an_operation_keeps_its_name_and_asks_for_no_more(self):
        def rename(now):
            now.paths["/v1/status"]["get"]["operationId"] = "read_status"

        def guard(now):
            now.paths["/v1/status"]["get"]["security"] = [{"api_key": ["keys:write"]}]

        self.broken(rename, "GET /v1/status: is named read_status, was get_status")
        self.broken(guard, "GET /v1/status: asks for [{'api_key': ['keys:write']}], was [{'api_key': ['metrics:read']}]")

    def test_parameters_are_added_but_not_required(self):
        def add(required):
            parameter = {"name": "depth", "in": "query", "required": required, "schema": {"type": "integer"}}
            return lambda now: now.paths["/v1/status"]["get"]["parameters"].append(parameter)

        def remove(now):
            parameters = now.paths["/v1/metrics"]["get"]["parameters"]
            parameters[:] = [parameter for parameter in parameters if parameter["name"] != "cursor"]

        def lower(now):
            parameters = now.paths["/v1/metrics"]["get"]["parameters"]
            next(parameter for parameter in parameters if parameter["name"] == "limit")["schema"]["maximum"] = 100

        self.unbroken(add(required=False))
        self.broken(add(required=True), "GET /v1/status: query parameter depth is required")
        self.broken(remove, "GET /v1/metrics: query parameter cursor is gone")
        self.broken(lower, "GET /v1/metrics query parameter limit: maximum is 100, was 200")

    def test_what_is_taken_only_widens(self):
        body = "POST /v1/api-keys body"
        self.unbroken(lambda now: now.schemas["NewApiKey"]["properties"].update(note={"type": "string"}))
        self.unbroken(lambda now: now.schemas["NewApiKey"].pop("required"))
        self.unbroken(lambda now: now.schemas["NewWebhookEndpoint"]["properties"]["url"].update(maxLength=4096))
        self.broken(lambda now: now.schemas["NewApiKey"]["required"].append("name"), f"{body}: name is required")
        self.broken(lambda now: now.schemas["NewApiKey"]["properties"].pop("name"), f"{body}: name is gone")
        self.broken(
            lambda now: now.schemas["HeaderValues"].update(additionalProperties=False),
            "POST /v1/webhook-endpoints body.headers: no other fields are taken",
        )
        self.broken(
            lambda now: now.schemas["NewApiKey"]["properties"]["name"].update(type="string"),
            f"{body}.name: is string, was null or string",
        )
        self.broken(
            lambda now: now.paths["/v1/tenant"]["patch"]["requestBody"]["content"].pop("application/merge-patch+json"),
            "PATCH /v1/tenant body: application/merge-patch+json is gone",
        )

    def test_what_is_given_only_narrows(self):
        answer = "GET /v1/alerts 200"
        self.unbroken(lambda now: now.schemas["Alert"]["properties"].update(note={"type": "string"}))
        self.unbroken(lambda now: now.schemas["Freshness"]["properties"]["lag_ms"].update(type="integer"))
        self.broken(lambda now: now.schemas["Alert"]["properties"].pop("item"), f"{answer}.data[]: item is gone")
        self.broken(lambda now: now.schemas["Alert"]["required"].remove("item"), f"{answer}.data[]: item may be missing")
        self.broken(
            lambda now: now.schemas["Alert"]["properties"]["item"].update(type=["string", "null"]),
            f"{answer}.data[].item: is null or string, was string",
        )
        self.broken(lambda now: now.schemas["AlertState"]["enum"].append("muted"), f"{answer}.data[].state: muted is new to who reads it")
        self.broken(lambda now: now.schemas["AlertState"]["enum"].remove("firing"), f"{answer}.data[].state: firing is gone")
        self.broken(lambda now: now.paths["/v1/alerts"]["get"]["responses"].pop("304"), "GET /v1/alerts: 304 is gone")
        self.broken(lambda now: now.paths["/v1/alerts"]["get"]["responses"]["200"]["headers"].pop("ETag"), f"{answer}: header ETag is gone")

    def test_enums_of_requests_grow(self):
        scopes = "POST /v1/api-keys body.scopes[]"
        more = breaks(lambda now: now.schemas["Scope"]["enum"].append("live:read"))
        self.assertNotIn(f"{scopes}: live:read is new to who reads it", more)
        # Scopes are answered, too.
        self.assertIn("GET /v1/api-keys 200.data[].scopes[]: live:read is new to who reads it", more)
        self.broken(lambda now: now.schemas["Scope"]["enum"].remove("keys:write"), f"{scopes}: keys:write is gone")

    def test_the_form_of_a_value_stays(self):
        def spread(now):
            parameters = now.paths["/v1/metrics/{metric}/values"]["get"]["parameters"]
            next(parameter for parameter in parameters if parameter["name"] == "filter")["explode"] = False

        name = "POST /v1/api-keys body.name"
        self.broken(spread, "GET /v1/metrics/{metric}/values: query parameter filter is written differently")
        self.broken(
            lambda now: now.schemas["Alert"]["properties"]["fired_at"].pop("format"),
            "GET /v1/alerts 200.data[].fired_at: has the format None, was date-time",
        )
        self.broken(lambda now: now.schemas["NewApiKey"]["properties"]["name"].update(enum=["a"]), f"{name}: is one of ['a'], was anything")
        self.broken(lambda now: now.schemas["NewApiKey"]["properties"]["name"].update(pattern="^a"), f"{name}: has the pattern ^a, was None")
        self.broken(
            lambda now: now.schemas["AlertState"].pop("enum"),
            "GET /v1/alerts 200.data[].state: is anything, was one of ['firing', 'resolved']",
        )

    def test_a_body_that_may_be_left_out_may_be_left_out(self):
        self.broken(
            lambda now: now.paths["/v1/alerts/{id}/acknowledge"]["post"]["requestBody"].update(required=True),
            "POST /v1/alerts/{id}/acknowledge: a body is required",
        )

    def test_an_answer_has_no_more_alternatives(self):
        before = {"openapi": "3.1.0", "paths": {"/": {"get": {"responses": {"200": {"content": {"text/plain": {"schema": {"oneOf": []}}}}}}}}}
        kinds = before["paths"]["/"]["get"]["responses"]["200"]["content"]["text/plain"]["schema"]["oneOf"]
        kinds += [{"type": "string"}, {"type": "integer"}]
        after = copy.deepcopy(before)
        kinds.append({"type": "boolean"})
        self.assertEqual(Comparison(after, before).breaks, ["GET / 200: 3 alternatives, was 2"])
        self.assertEqual(Comparison(before, after).breaks, [])

    def test_parts_in_common_and_parts_that_may_be_null_are_seen_through(self):
        self.broken(lambda now: now.schemas["Tenant"]["properties"].pop("name"), "GET /v1/admin/tenants/{id} 200: name is gone")
        self.broken(
            lambda now: now.schemas["NewThreshold"]["properties"].update(clears_above={"$ref": "#/components/schemas/Quantity"}),
            "POST /v1/alert-rules body.levels[].clears_above: is string, was null or string",
        )

    def test_webhooks_go_on_saying_what_they_said(self):
        name = "webhook inventory.alert.fired"
        self.broken(lambda now: now.whole["webhooks"].pop("inventory.alert.fired"), f"{name}: is gone")
        self.broken(lambda now: now.schemas["AlertEventData"]["properties"].pop("sequence"), f"{name}.data: sequence is gone")


if __name__ == "__main__":
    unittest.main()
