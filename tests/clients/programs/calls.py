"""The calls that every Python library sends: all six kinds, with values that are easy to lose on the way.

The same number always makes the same calls.
"""

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

KINDS = ["identify", "track", "page", "screen", "group", "alias"]

LONG = "Lange Wörter, 長い文 und 🚀 — " * 120
STRINGS = [
    "plain", "größe", "日本語 テキスト", "👩‍👩‍👧‍👦 family", "مرحبا بالعالم", "O'Brien said \"hi\" \\ bye", "line\nbreak\ttab\r",
    "nul\0byte", "", "  spaces  ", "<script>alert(1)</script>", "'; DROP TABLE tracks; --", "007", "1e5", "true", "None",
    "e\u0301 combined", "\u2028 separator", "\ufeffbom", "cut emoji \ud83d", "12:30", "-", '{"not":"an object"}', LONG,
]
NUMBERS = [
    0, -1, 1, 42, 0.1, 0.1 + 0.2, 1.5, -2.75, 10**30, 1e21, 1e-07, 5e-324, 1.7976931348623157e308, 2**63 - 1, -(2**63), 2**64,
    2**53 + 1, 1234567.891, 100.0, Decimal("12.34"),
]
TIMES = [
    "2024-05-06", "2024-05-06T12:00:00Z", "2024-05-06T12:00:00+02:00", "2024-02-29T23:59:59.999Z", "2024-13-45",
    datetime(2023, 12, 31, 23, 59, 59, 123456, tzinfo=timezone.utc), datetime(2024, 5, 6, 7, 8, 9), date(2024, 2, 29),
]
# What a column of Headwater's own or of a call is named too.
RESERVED = [
    "id", "received_at", "uuid_ts", "user_id", "timestamp", "sent_at", "event", "event_text", "context_ip", "_headwater_extra", "select",
    "table", "rowid", "oid", "order", "group_id", "type", "previous_id", "is_deleted", "name_",
]
EVENTS = [
    "Order Completed", "order_completed", "Ünïcode Ereignis", "注文 完了", "tracks", "users", "2fa enabled", "Select", "sqlite_master",
    "long " + "event name " * 9, "Order.Refunded!", "clicked",
]


def pick(values, i):
    return values[i % len(values)]


def anything(i):
    return [pick(STRINGS, i), pick(NUMBERS, i), i % 2 == 0, None, [i, "x"], {"deep": {"deeper": i}}][i % 6]


def deep(levels, i):
    return {"leaf": i, "text": "tief"} if levels == 0 else {"level": deep(levels - 1, i), "at": levels}


def body(i):
    """Properties or traits."""
    made = {
        "plan": pick(STRINGS, i),
        "Plan Name": f"spaced {i}",
        "planName": i,
        "plan_name": i % 2 == 0,
        "amount": pick(NUMBERS, i),
        "fraction": i / 7,
        "ok": i % 3 == 0,
        "nothing": None,
        "mixed": anything(i),
        "when": pick(TIMES, i),
        "nested": {"a": {"b": {"c": pick(STRINGS, i + 5)}}, "list": [1, [2, [3, {"four": "vier"}]], None], "Ärger": i},
        "list": [pick(NUMBERS, i), pick(STRINGS, i + 1), None, True, {"x": []}],
        "products": [{"sku": "a-1", "price": 9.99, "qty": 1}, {"sku": "ü-2", "price": 0.1 + 0.2, "qty": 20}],
        "empty_list": [],
        "empty_object": {},
        "größe": f"L{i}",
        "日本": i,
        "$special": "dollar",
        "UPPER": "case",
        "very long name " * 6 + str(i % 3): i,
        pick(RESERVED, i): f"reserved {i}",
    }
    if i % 37 == 0:
        made["deep"] = deep(12, i)
    if i % 41 == 0:
        made["text"] = LONG * 2
    if i % 43 == 0:
        made |= {"a.b": i, "a": {"b": -i}}
    if i % 47 == 0:
        made["context"] = {"library": {"name": f"not the library {i}"}, "custom": {"active": "no"}}
    return made


def context(i):
    """What libraries let their users say about the surroundings."""
    if i % 4 == 0:
        return None
    return {
        "ip": f"203.0.113.{i % 250}",
        "locale": "de-DE",
        "timezone": "Europe/Berlin",
        "active": i % 2 == 0,
        "campaign": {"name": "Frühling", "source": "newsletter", "medium": None, "content": i},
        "device": {"id": f"d-{i}", "token": pick(STRINGS, i), "adTrackingEnabled": False},
        "traits": {"email": f"user{i}@example.com", "plan": "größer"},
        "custom": {"tags": ["a", {"b": 1}], "Ganz Eigenes": anything(i + 2)},
        "externalIds": [{"id": str(i), "type": "crm", "collection": "users", "encoding": "none"}],
    }


def integrations(i):
    return [None, {"All": True}, {"All": False, "Mixpanel": True}, {"Amplitude": {"session_id": 1700000000000 + i}}, {}][i % 5]


def calls(count, prefix):
    """Every call: its kind, and what its library is told."""
    for i in range(count):
        kind = KINDS[i % len(KINDS)]
        call = {"context": context(i), "integrations": integrations(i)}
        # The same users come back, so that what is known of them grows.
        call["user_id"] = None if i % 7 == 3 and kind != "alias" else f"user-{i % 90}-ü"
        if kind != "alias":
            call["anonymous_id"] = f"anon-{i}" if call["user_id"] is None or i % 2 == 0 else None
            call["traits" if kind in ("identify", "group") else "properties"] = body(i)
        if i % 2 == 1:
            call["message_id"] = f"{prefix}-{i}"
        if i % 3 == 1:
            call["timestamp"] = datetime(2001, 2, 3, tzinfo=timezone.utc) + timedelta(days=i, microseconds=i * 1001)
        if kind == "track":
            call["event"] = pick(EVENTS, i // 6)
        if kind in ("page", "screen"):
            call["name"] = f"Seite {i % 11}"
            call["category"] = "Docs & Hilfe" if i % 4 == 0 else None
        if kind == "group":
            call["group_id"] = f"group-{i % 40}"
        if kind == "alias":
            call["previous_id"] = f"before-{i}"
        yield kind, {name: value for name, value in call.items() if value is not None}
