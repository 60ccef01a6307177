"""The Singer SDK: a tap that reads the list and prints its records. Argument: the vendor's address."""

import sys

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.streams import RESTStream

ADDRESS = sys.argv[1]

TEXT, TIME, INTEGER, NUMBER, BOOLEAN = th.StringType, th.DateTimeType, th.IntegerType, th.NumberType, th.BooleanType


def properties(**kinds):
    """Properties of these types; an object stands as a dictionary."""
    return [th.Property(name, th.ObjectType(*properties(**kind)) if isinstance(kind, dict) else kind)
            for name, kind in kinds.items()]


class Orders(RESTStream):
    """The list."""

    name = "orders"
    url_base = ADDRESS
    path = "/orders"
    primary_keys = ("id",)
    records_jsonpath = "$.data[*]"
    next_page_token_jsonpath = "$.next"
    schema = th.PropertiesList(*properties(
        id=TEXT, object=TEXT, number=INTEGER, reference=TEXT, status=TEXT, created_at=TIME, updated_at=TIME,
        closed_at=TIME, currency=TEXT, amount=INTEGER, amount_paid=INTEGER, tax=NUMBER, discount=NUMBER,
        exchange_rate=NUMBER, paid=BOOLEAN, livemode=BOOLEAN, attempt_count=INTEGER, description=TEXT, note=TEXT, url=TEXT,
        customer=dict(
            id=TEXT, name=TEXT, email=TEXT, phone=TEXT, locale=TEXT, created_at=TIME, score=NUMBER, orders=INTEGER,
            vip=BOOLEAN, company=TEXT,
            address=dict(line1=TEXT, line2=TEXT, city=TEXT, postal_code=TEXT, state=TEXT, country=TEXT, latitude=NUMBER,
                         longitude=NUMBER),
        ),
        shipping=dict(carrier=TEXT, tracking_number=TEXT, method=TEXT, cost=INTEGER, weight=NUMBER, insured=BOOLEAN,
                      shipped_at=TIME, delivered_at=TIME),
        payment=dict(id=TEXT, method=TEXT, brand=TEXT, last4=TEXT, exp_month=INTEGER, exp_year=INTEGER, fingerprint=TEXT,
                     captured=BOOLEAN, fee=INTEGER, risk_score=NUMBER, risk_level=TEXT, paid_at=TIME, failure_code=TEXT),
        metadata=dict(campaign=TEXT, source=TEXT, medium=TEXT, session=TEXT, agent=TEXT, ip=TEXT),
    )).to_dict()

    def get_url_params(self, context, next_page_token):
        """The page that is asked for."""
        return {"cursor": next_page_token} if next_page_token else {}


class TapOrders(Tap):
    """The tap."""

    name = "tap-orders"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self):
        """The one stream."""
        return [Orders(self)]


TapOrders(config={}).sync_all()
