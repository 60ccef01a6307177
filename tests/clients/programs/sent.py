"""What a library sent, taken from its own requests: one JSON line for each call, as the library built it."""

import gzip
import json
import os
import sys
from collections import Counter

from requests.adapters import HTTPAdapter

# Where the test tells the programs what to do.
WRITE_KEY, ENDPOINT, SENT = (os.environ[name] for name in ("WRITE_KEY", "URL", "SENT"))
COUNT = int(os.environ["COUNT"])

lines = {}
answers = Counter()
post = HTTPAdapter.send


def send(self, request, *args, **options):
    """The one way by which these libraries reach the network."""
    text = request.body if isinstance(request.body, bytes) else request.body.encode()
    whole = json.loads(gzip.decompress(text) if text[:2] == b"\x1f\x8b" else text)
    for call in whole["batch"]:
        line = json.dumps({"sentAt": call.get("sentAt", whole.get("sentAt")), "call": call})
        lines.setdefault(call["messageId"], line)
    response = post(self, request, *args, **options)
    answers[response.status_code] += 1
    return response


HTTPAdapter.send = send


def fail(why):
    print(why, file=sys.stderr, flush=True)
    os._exit(1)


def finish():
    """Writes the file, unless the library sent another number of calls than it was given."""
    if len(lines) != COUNT:
        fail(f"{COUNT} calls were made and {len(lines)} sent; answers: {dict(answers)}")
    if set(answers) != {200}:
        fail(f"not every request was answered 200: {dict(answers)}")
    with open(SENT, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines.values())
    print(f"{COUNT} calls sent")
