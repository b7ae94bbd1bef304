"""README's walk-through: units of each item, live and exact while orders are edited and moved."""

import datetime
import os

from check import check, client, put, wait_until, wanted
from tidemark_client.api.metrics import get_metric_values
from tidemark_client.models import Answer
from tidemark_client.types import Unset

TODAY = datetime.datetime.now(datetime.UTC).date()
demo = client(os.environ["KEY"])


def order(number: str, item: str, quantity: str) -> None:
    row = {"orderid": {"S": number}, "order_date": {"S": TODAY.isoformat()}, "item_number": {"S": item}, "quantity": {"N": quantity}}
    put("Order_by_item", row)


def values() -> Answer:
    # Without `from` it is what is today when it is asked; that may be past midnight.
    return wanted(Answer, get_metric_values.sync("sales", client=demo, group_by="item", from_=TODAY.isoformat()))


def units() -> dict[str | None, str | None]:
    answer = values()
    return {row.dimensions["item"]: row.values["units"] for row in answer.data if not isinstance(row.dimensions, Unset)}


order("178526", "item123", "10")
order("178527", "item123", "30")
order("172528", "item312", "10")
order("178529", "item312", "30")
wait_until({"item123": "40", "item312": "40"}, units)
order("178526", "item123", "12")
wait_until({"item123": "42", "item312": "40"}, units)
order("178526", "item312", "12")
wait_until({"item123": "30", "item312": "52"}, units)

totals = [total.values["units"] for total in values().totals]
check(totals == ["82"], f"the total is the sum of the rows: {totals}")
print("python: 40 and 40; edited: 42 and 40; moved: 30 and 52")
