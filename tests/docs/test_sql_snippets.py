"""The SQL program of the documents does what they say, on each of the databases."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import markdown
import pytest
from confluent_kafka import Producer
from sqlalchemy import create_engine, inspect, text

from eoconsumer.servers import KafkaBroker

SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.requirement("N14")
@pytest.mark.parametrize("database", ["postgres_server", "mariadb_server", "sqlite"])
@pytest.mark.parametrize("consumer", ["Ledger", "FastLedger", "async"])
def test_the_ledger_on_sql_has_each_move_once(
    database: str,
    consumer: str,
    kafka_broker: KafkaBroker,
    topic: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    url = bare = f"sqlite:///{tmp_path}/shop.db"
    if database != "sqlite":
        server = request.getfixturevalue(database)
        url, bare = server.url, server.bare_url
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap_servers})
    item = topic[-8:]
    moves = [{"item": item, "quantity": n} for n in range(200)]
    for move in moves:
        producer.produce(topic, json.dumps(move).encode())
    assert producer.flush(SECONDS) == 0
    name = "ledger_sql_async.py" if consumer == "async" else "ledger_sql.py"
    program = (markdown.SNIPPETS / name).read_text("utf-8")
    for old, new in {
        "localhost:9092": kafka_broker.bootstrap_servers,
        "postgresql+psycopg://localhost/shop": url,
        "postgresql://localhost/shop": bare,
        '"stock-moves"': f'"{topic}"',
        'group = "ledger"': f'group = "{topic}"',
        '    Ledger("': f'    {consumer if consumer != "async" else "Ledger"}("',
    }.items():
        program = program.replace(old, new)
    (tmp_path / "program.py").write_text(program, "utf-8")
    log = tmp_path / "log"

    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "program.py"], cwd=tmp_path, stdout=output, stderr=output
        )
    engine = create_engine(url)
    written = text("SELECT quantity FROM ledger WHERE item = :item ORDER BY quantity")
    found: list[int] = []
    until = time.monotonic() + SECONDS
    while len(found) < len(moves):  # it makes the table, and may be slow to start
        assert time.monotonic() < until, log.read_text()
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
        if inspect(engine).has_table("ledger"):
            with engine.connect() as connection:
                found = [*connection.scalars(written, {"item": item})]
    process.terminate()
    assert process.wait(SECONDS) == 0, log.read_text()
    with engine.connect() as connection:
        assert [*connection.scalars(written, {"item": item})] == list(range(200))
    engine.dispose()
