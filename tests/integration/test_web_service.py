"""The example of a web service: requests and a consumer on one event loop, under a real server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from consuming import send
from pymongo.database import Database
from trial import DEADLINE, Document, eventually

from eoconsumer.servers import KafkaBroker

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N14")]


@pytest.fixture
def address(
    kafka_broker: KafkaBroker, topic: str, store_url: str, tmp_path: Path
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "web_service.app:app", "--port", str(port)]
    settings = {"BOOTSTRAP": kafka_broker.bootstrap_servers, "STORE": store_url, "TOPIC": topic}
    log = tmp_path / "uvicorn.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, cwd=EXAMPLES, env=os.environ | settings, stdout=out, stderr=out
        )
    yield f"http://127.0.0.1:{port}", server
    server.kill()
    server.wait()
    print(log.read_text())  # noqa: T201 - pytest shows it where the test failed


def get(url: str) -> Any:
    """Return the answer, or None where there is none yet."""
    try:
        answer = httpx.get(url, timeout=5)
    except httpx.TransportError:
        return None
    return answer.json() if answer.status_code == 200 else None


def test_it_answers_requests_while_it_consumes_and_drains_when_the_server_is_stopped(
    address: tuple[str, subprocess.Popen[bytes]],
    kafka_broker: KafkaBroker,
    topic: str,
    database: Database[Document],
) -> None:
    url, server = address
    eventually(lambda: get(f"{url}/health"), lambda seen: seen == {"committed": 0})
    moves = [json.dumps({"item": "apples", "quantity": n}).encode() for n in range(1, 11)]
    send(kafka_broker.bootstrap_servers, topic, *moves)

    stock = eventually(
        lambda: get(f"{url}/stock/apples"), lambda seen: seen and seen["quantity"] == 55
    )
    assert stock == {"item": "apples", "quantity": 55}
    assert get(f"{url}/health") == {"committed": 10}
    assert get(f"{url}/stock/pears") is None

    server.send_signal(signal.SIGINT)
    assert server.wait(DEADLINE) in (0, -signal.SIGINT)  # uvicorn raises it again when it is done
    (row,) = database["eoconsumer_offsets"].find({"_id.partition": 0})
    assert (row["next_offset"], row.get("owner")) == (10, None), "it did not let go in order"
