"""`eoconsumer dlq` on a real replica set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import Shop
from pymongo.database import Database
from trial import Document
from typer.testing import CliRunner

from eoconsumer import Message, Record
from eoconsumer.cli.app import app
from eoconsumer.core.letters import DeadLetter, Hold
from eoconsumer.errors import KeyInQuarantine
from eoconsumer.stores.mongo import MongoStore

GROUP = TOPIC = "moves"
pytestmark = [pytest.mark.slow, pytest.mark.requirement("N5")]
HEADERS = (("trace", b"\xff"), ("from", b"shop"), ("none", None))


@pytest.fixture(autouse=True)
def _buried(store: MongoStore) -> None:
    """Three letters: one that failed, one that waits behind it, one of another group."""
    store.setup()
    bad = Record(TOPIC, 0, 7, b"\x1b[2J", b"tea", HEADERS, 1_700_000_000_123)
    behind = Record(TOPIC, 0, 9, b'{"n": 9}', b"tea", (), 2**62)
    session = store.open(GROUP, "burier")
    with session.transaction() as transaction:
        transaction.bury(
            [
                DeadLetter(Message(bad, None), ValueError("no \x1b[31mcoffee"), 3, Hold.BEGINS),
                DeadLetter(Message(behind, None), KeyInQuarantine(), 0, Hold.WAITS),
            ]
        )
    other = DeadLetter(Message(Record("other", 1, 1, None), None), ValueError("x"), 1)
    store.open("another", "burier").bury([other])


def dlq(url: str, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Call the command; return what it prints, and what it says beside that."""
    result = CliRunner().invoke(app, ["dlq", *arguments, "--store", url])
    assert result.exit_code == code, result.output
    assert "\x1b" not in result.output, "what a producer sent must not steer the terminal"
    return result.stdout, result.stderr


def test_list_shows_a_line_for_each_letter(store_url: str) -> None:
    out, said = dlq(store_url, "list")
    first, second, third = out.splitlines()
    assert re.search(r"another  other\[1\]@1  none  1 tries, ValueError: x", first)
    assert re.search(r"moves  moves\[0\]@7  tea  3 tries, ValueError: no .*coffee", second)
    assert re.search(r"moves  moves\[0\]@9  tea  waits behind another of its key", third)
    assert said == "3 dead letters\n"

    assert len(dlq(store_url, "list", "--group", GROUP)[0].splitlines()) == 2
    assert len(dlq(store_url, "list", "--topic", TOPIC, "--offset", "9")[0].splitlines()) == 1
    assert "--limit 2" in dlq(store_url, "list", "--limit", "2")[1]
    (found,) = json.loads(dlq(store_url, "list", "--partition", "1", "--json")[0])
    assert (found["group"], found["topic"], found["offset"]) == ("another", "other", 1)


def test_show_prints_all_of_a_letter(store_url: str) -> None:
    place = ("--topic", TOPIC, "--partition", "0", "--offset", "7")
    out, _ = dlq(store_url, "show", *place)
    for line in (
        "moves[0]@7 of group moves",
        "attempts   3",
        "timestamp  2023-11-14T22:13:20.123+00:00 (1700000000123)",
        "key        tea",
        "header     trace: base64 /w==",
        "header     from: shop",
        "header     none: none",
        "value      base64 G1sySg==",
        r"error      builtins.ValueError: no \x1b[31mcoffee",
    ):
        assert line in out.splitlines()
    assert "ValueError" in out.split("\n\n", 1)[1]

    (found,) = json.loads(dlq(store_url, "show", "--json", *place)[0])
    assert found["value"] == {"text": "\x1b[2J"}
    assert found["headers"][0] == ["trace", {"base64": "/w=="}]
    assert dlq(store_url, "show", "--id", found["id"])[0] == out
    assert "4611686018427387904" in dlq(store_url, "show", "--offset", "9")[0]
    assert dlq(store_url, "show", "--offset", "8", code=1)[1] == "no such dead letter\n"
    assert dlq(store_url, "show", "--id", "nothing", code=1)


def test_drop_shows_what_it_would_do_and_does_it_when_told(
    store_url: str, database: Database[Document]
) -> None:
    out, said = dlq(store_url, "drop", "--group", GROUP)
    assert (len(out.splitlines()), said) == (
        2,
        "2 dead letters would be dropped. Add --execute to do it.\n",
    )
    assert database["eoconsumer_dead_letters"].count_documents({}) == 3

    out, _ = dlq(store_url, "drop", "--group", GROUP, "--offset", "9", "--execute")
    assert out.startswith("1 dropped, 0 gone meanwhile, 0 failed again, 0 wait")
    assert database["eoconsumer_quarantine"].count_documents({}) == 1
    dlq(store_url, "drop", "--group", GROUP, "--execute")
    assert database["eoconsumer_quarantine"].count_documents({}) == 0
    (left,) = database["eoconsumer_dead_letters"].find()
    assert left["group"] == "another"


def test_redrive_applies_through_the_consumer_and_exits_1_if_any_stays(
    store_url: str, tmp_path: Path, database: Database[Document]
) -> None:
    shop = Shop(tmp_path, "localhost:1", store_url, TOPIC)
    failing = ("redrive", "shop:Failing", "--group", GROUP)

    code, out, said = shop.call("dlq", *failing)
    assert (code, out) == (
        1,
        "0 applied, 0 gone meanwhile, 1 failed again, 1 wait behind others of their keys\n",
    )
    assert said == "failed again: moves[0]@7: ValueError: no coffee\n"

    code, out, said = shop.call("dlq", "redrive", "shop:Ledger")
    assert (code, said) == (0, "")
    assert out.startswith("2 applied")
    assert [row["offset"] for row in database["effects"].find()] == [7, 9]
    assert database["eoconsumer_quarantine"].count_documents({}) == 0


@pytest.mark.parametrize("command", ["list", "show"])
def test_a_database_that_does_not_answer_is_told_without_a_stack_trace(command: str) -> None:
    url = "mongodb://me:hunter2@127.0.0.1:1/shop?serverSelectionTimeoutMS=100"
    arguments = {"list": [], "show": ["--offset", "1"]}
    _, said = dlq(url, command, *arguments[command], code=1)
    assert "127.0.0.1:1" in said
    assert "hunter2" not in said
