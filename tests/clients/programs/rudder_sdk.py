"""Sends with rudder-sdk-python."""

from sent import COUNT, ENDPOINT, WRITE_KEY, fail, finish
from calls import calls
from rudderstack.analytics.client import Client

client = Client(WRITE_KEY, host=ENDPOINT, on_error=lambda error, batch: fail(f"the library says: {error}"), upload_interval=0.2)
for kind, call in calls(COUNT, "rudder-python"):
    taken, _ = getattr(client, kind)(**call)
    if not taken:
        fail("the library's queue is full")
client.shutdown()
finish()
