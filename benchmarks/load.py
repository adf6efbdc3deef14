"""The load generator: a process of its own, so that its CPU is not counted as the cloud's.

Reads one JSON object on stdin: {"address", "requests": [{"method", "path", "headers", "body"}], "count"}; sends `count`
requests in turn on one kept-alive connection and prints {"seconds": [each request's], "statuses": {status: how often}}.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections import Counter
from typing import Any


def send(address: str, requests: list[dict[str, Any]], count: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.connect()
    seconds, statuses = [], Counter[int]()
    for number in range(count):
        request = requests[number % len(requests)]
        body = request.get("body")
        started = time.perf_counter()
        connection.request(request["method"], request["path"], body and body.encode(), request["headers"])
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - started)
        statuses[answer.status] += 1
    return {"seconds": seconds, "statuses": statuses}


if __name__ == "__main__":
    json.dump(send(**json.load(sys.stdin)), sys.stdout)
