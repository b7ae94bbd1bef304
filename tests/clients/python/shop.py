"""The rest of the API, by definitions/retail.yaml: numbers with filters, stock and alerts, webhooks, keys, pages, tenants, refusals."""

import datetime
import os
import uuid
from http import HTTPStatus

from check import check, client, put, refused, wait_until, wanted
from tidemark_client.api.admin import create_admin_tenant, delete_admin_tenant
from tidemark_client.api.alerts import acknowledge_alert, create_alert_rule, delete_alert_rule, get_alert, list_alert_rules, list_alerts
from tidemark_client.api.alerts import update_alert_rule
from tidemark_client.api.inventory import get_inventory_item, list_inventory
from tidemark_client.api.metrics import get_metric_values, list_metrics
from tidemark_client.api.tenant import create_api_key, delete_api_key, get_tenant, list_api_keys
from tidemark_client.api.webhooks import create_webhook_endpoint, delete_webhook_endpoint, rotate_webhook_secret, test_webhook_endpoint
from tidemark_client.models import (
    AdminTenant, Alert, AlertDetail, AlertList, AlertNote, AlertRule, AlertRuleList, AlertRulePatch, Answer, ApiKeyList,
    GetMetricValuesFilter, IssuedApiKey, ItemLevels, LevelList, MeasureKind, MetricList, NewAlertRule, NewApiKey, NewRuleScope, NewTenant,
    NewThreshold, NewWebhookEndpoint, Scope, SecretShown, Severity, Tenant, TestResult,
)
from tidemark_client.types import Unset

TODAY = datetime.datetime.now(datetime.UTC).date().isoformat()
demo = client(os.environ["KEY"])
operator = client(os.environ["OPERATOR"])


def order(number: str, item: str, unit_price: str, currency: str) -> None:
    row = {"orderid": {"S": number}, "order_date": {"S": TODAY}, "item_number": {"S": item}, "quantity": {"N": "2"}}
    put("Order_by_item", row | {"unit_price": {"N": unit_price}, "currency": {"S": currency}})


def stock(on_hand: str) -> None:
    put("Stock", {"item_number": {"S": "sku_tea"}, "location": {"S": "berlin-1"}, "on_hand": {"N": on_hand}})


def revenue_of_tea() -> list[tuple[object, str | None]]:
    # The generator knows no `deepObject`: the name in brackets is part of the key.
    only_tea = GetMetricValuesFilter.from_dict({"filter[item]": "sku_tea"})
    answer = get_metric_values.sync("sales", client=demo, group_by="item", filter_=only_tea, measures="revenue", from_=TODAY)
    return [(total.currency, total.values["revenue"]) for total in wanted(Answer, answer).totals]


def numbers() -> None:
    order("1", "sku_tea", "4.90", "EUR")
    order("2", "sku_tea", "5.25", "USD")
    order("3", "sku_mug", "12", "EUR")
    wait_until([("EUR", "9.8"), ("USD", "10.5")], revenue_of_tea)
    metrics = wanted(MetricList, list_metrics.sync(client=demo)).data
    ratios = [shape for metric in metrics for shape in metric.measures if shape.kind == MeasureKind.RATIO]
    parts = [(ratio.measure, ratio.numerator, ratio.denominator) for ratio in ratios]
    check(parts == [("average_order", "revenue", "orders")], f"the one ratio: {parts}")


def unchanged() -> None:
    first = get_tenant.sync_detailed(client=demo)
    zone = wanted(Tenant, first.parsed).time_zone
    again = get_tenant.sync_detailed(client=demo, if_none_match=first.headers["etag"])
    check(again.status_code == HTTPStatus.NOT_MODIFIED, f"{again}, in {zone}")


def low_rule() -> AlertRule:
    low = NewAlertRule(
        name="Low",
        scope=NewRuleScope(item="sku_tea"),
        levels=[NewThreshold(severity=Severity.WARNING, fires_at_or_below="10", clears_above="12")],
    )
    key = str(uuid.uuid4())
    made = [wanted(AlertRule, create_alert_rule.sync(client=demo, body=low, idempotency_key=key)) for _ in range(2)]
    check(made[0].id == made[1].id, f"one key, one rule: {made}")
    return made[0]


def firing() -> list[Alert]:
    return wanted(AlertList, list_alerts.sync(client=demo, filterstate="firing")).data


def alerts() -> None:
    rule = low_rule()
    stock("8")
    wait_until([("sku_tea", "8")], lambda: [(alert.item, alert.available) for alert in firing()])
    alert = firing()[0]
    acknowledged = wanted(Alert, acknowledge_alert.sync(alert.id, client=demo, body=AlertNote(note="ordered")))
    check(acknowledged.acknowledged_at is not None, f"acknowledged: {acknowledged}")
    # A note is no must, and then nor is the body.
    wanted(Alert, acknowledge_alert.sync(alert.id, client=demo))
    detail = wanted(AlertDetail, get_alert.sync(alert.id, client=demo))
    check([action.note for action in detail.actions] == ["ordered"], f"who did what: {detail.actions}")

    levels = wanted(LevelList, list_inventory.sync(client=demo, filterstatus="low")).data
    check([level.alert_id for level in levels] == [alert.id], f"what is low: {levels}")
    item = wanted(ItemLevels, get_inventory_item.sync("sku_tea", client=demo))
    check(item.totals.available == "8", f"over all locations: {item.totals}")

    stock("50")
    wait_until([], firing)
    changed = AlertRulePatch(enabled=False)
    first = f'"{rule.version}"'
    wanted(AlertRule, update_alert_rule.sync(rule.id, client=demo, body=changed, if_match=first))
    late = update_alert_rule.sync(rule.id, client=demo, body=changed, if_match=first)
    refused(HTTPStatus.PRECONDITION_FAILED, "precondition_failed", late)
    check(delete_alert_rule.sync_detailed(rule.id, client=demo).status_code == HTTPStatus.NO_CONTENT, "deleted")


def webhooks() -> None:
    # Nobody listens there.
    made = wanted(SecretShown, create_webhook_endpoint.sync(client=demo, body=NewWebhookEndpoint(url="http://127.0.0.1:9/")))
    tested = wanted(TestResult, test_webhook_endpoint.sync(made.id, client=demo))
    check(tested.outcome == "connect" and tested.status is None, f"tested: {tested}")
    rotated = wanted(SecretShown, rotate_webhook_secret.sync(made.id, client=demo))
    check(rotated.secret != made.secret, "another secret")
    check(delete_webhook_endpoint.sync_detailed(made.id, client=demo).status_code == HTTPStatus.NO_CONTENT, "deleted")


def keys() -> None:
    made = wanted(IssuedApiKey, create_api_key.sync(client=demo, body=NewApiKey(name="numbers", scopes=[Scope.METRICSREAD])))
    numbers = client(made.key)
    check(wanted(Tenant, get_tenant.sync(client=numbers)).id == "demo", "a key is of its tenant")
    refused(HTTPStatus.FORBIDDEN, "missing_scope", list_alerts.sync(client=numbers))
    delete_api_key.sync_detailed(made.id, client=demo)
    refused(HTTPStatus.UNAUTHORIZED, "unauthenticated", get_tenant.sync(client=numbers))


def pages() -> None:
    for count in range(3):
        create_api_key.sync(client=demo, body=NewApiKey(name=f"page {count}", scopes=[Scope.METRICSREAD]))
    names, cursor = [], None
    while True:
        page = wanted(ApiKeyList, list_api_keys.sync(client=demo, limit=1, **({"cursor": cursor} if cursor else {})))
        names += [key.name for key in page.data]
        cursor = page.page.next_cursor
        if cursor is None:
            break
    everything = wanted(ApiKeyList, list_api_keys.sync(client=demo)).data
    check({"page 0", "page 1", "page 2"} <= set(names) and len(names) == len(everything), names)


def refusals() -> None:
    problem = refused(HTTPStatus.BAD_REQUEST, "invalid_parameters", get_metric_values.sync("sales", client=demo, limit=0, time_zone="Mars"))
    wrong = [] if isinstance(problem.errors, Unset) else [error.parameter for error in problem.errors]
    check(wrong == ["time_zone", "limit"], f"all that is wrong at once: {wrong}")
    refused(HTTPStatus.UNPROCESSABLE_ENTITY, "grouping_not_stored", get_metric_values.sync("sales", client=demo, group_by="channel,item"))
    refused(HTTPStatus.NOT_FOUND, "not_found", get_metric_values.sync("visits", client=demo))


def tenants() -> None:
    body = NewTenant(id="globex", time_zone="Asia/Kathmandu")
    wanted(AdminTenant, create_admin_tenant.sync(client=operator, body=body))
    refused(HTTPStatus.CONFLICT, "tenant_exists", create_admin_tenant.sync(client=operator, body=body))
    check(delete_admin_tenant.sync_detailed("globex", client=operator).status_code == HTTPStatus.NO_CONTENT, "deleted")


STEPS = [numbers, unchanged, alerts, webhooks, keys, pages, refusals, tenants]
for step in STEPS:
    step()
print("python: " + ", ".join(step.__name__ for step in STEPS))
