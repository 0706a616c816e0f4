"""`eoconsumer doctor`, `setup` and `dev` on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Shop
from pymongo.database import Database
from trial import Document, Fill

from eoconsumer.core.positions import Identity, Start
from eoconsumer.message import TopicPartition
from eoconsumer.servers import KafkaBroker, jars
from eoconsumer.stores.mongo import MongoStore

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(tmp_path: Path, kafka_broker: KafkaBroker, store_url: str, topic: str) -> Shop:
    return Shop(tmp_path, kafka_broker.bootstrap_servers, store_url, topic)


def lines(output: str) -> dict[str, tuple[str, str]]:
    """Return what is said of each check, and whether it passed, by its name."""
    return {line[8:19].strip(): (line[:6].strip(), line[21:]) for line in output.splitlines()}


def test_the_doctor_tries_each_thing_and_says_ok(shop: Shop, fill: Fill, topic: str) -> None:
    fill(topic, 10)
    code, out, complaint = shop.call("doctor", "shop:Ledger")
    found = lines(out)
    assert (code, complaint) == (0, "")
    assert {passed for passed, _ in found.values()} == {"ok"}
    assert {"broker", "replica set", "privileges", "transaction", "take-over"} < found.keys()
    assert found["topic"] == ("ok", f"{topic}: 1 partitions")
    assert found["positions"] == ("ok", "0 of 1 partitions stored, 0 messages behind")


def test_the_doctor_leaves_nothing_but_its_own_row(
    shop: Shop, topic: str, database: Database[Document]
) -> None:
    for _ in range(2):
        assert shop.call("doctor", "--topic", topic)[0] == 0
    groups = {row["_id"]["group"] for row in database["eoconsumer_offsets"].find()}
    assert groups == {"eoconsumer-doctor"}
    assert {row.get("next_offset", 0) for row in database["eoconsumer_offsets"].find()} == {0}


def refused_positions(shop: Shop, store: MongoStore, topic: str, start: Start) -> str:
    """Store ``start`` as the position of the topic; return what the doctor finds wrong with it."""
    store.setup()
    place = TopicPartition(topic, 0)
    session = store.open(topic, "somebody")
    session.claim([place], {place: start})
    session.close()
    code, out, _ = shop.call("doctor", "shop:Ledger")
    passed, said = lines(out)["positions"]
    assert (code, passed) == (78, "FAILED")
    return said


def test_the_doctor_finds_positions_that_do_not_fit_the_topic(
    shop: Shop, fill: Fill, topic: str, store: MongoStore
) -> None:
    fill(topic, 10)
    said = refused_positions(shop, store, topic, Start(500, 1))
    assert f"{topic}[0] is at 500, the topic has 0 to 10" in said


def test_the_doctor_finds_positions_of_a_topic_that_was_created_again(
    shop: Shop, fill: Fill, topic: str, store: MongoStore
) -> None:
    fill(topic, 10)
    said = refused_positions(shop, store, topic, Start(5, 1, identity=Identity("of-another-life")))
    assert "was deleted and created anew" in said


def test_the_doctor_names_what_is_missing_and_goes_on(shop: Shop) -> None:
    code, out, _ = shop.call("doctor", "--topic", "nowhere")
    found = lines(out)
    assert code == 78
    assert [name for name, (passed, _) in found.items() if passed != "ok"] == ["topic"]
    assert "Create it" in found["topic"][1]


def test_the_doctor_examines_the_database_also_without_a_broker(shop: Shop) -> None:
    code, out, _ = shop.call("doctor", "-b", "127.0.0.1:1")
    found = lines(out)
    assert code == 78
    assert [name for name, (passed, _) in found.items() if passed != "ok"] == ["broker"]
    assert found["transaction"][0] == "ok"


def test_setup_makes_what_the_store_needs_and_can_be_repeated(
    shop: Shop, database: Database[Document]
) -> None:
    for _ in range(2):
        code, out, _ = shop.call("setup")
        assert code == 0
        assert f"{database.name}.eoconsumer_offsets" in out
    made = {"eoconsumer_offsets", "eoconsumer_dead_letters", "eoconsumer_quarantine"}
    made.add("eoconsumer_applied")
    assert made <= set(database.list_collection_names())


def test_the_development_servers_are_started_shown_used_and_stopped(
    shop: Shop, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    fetched = jars.kafka_jars()
    (cache / fetched.name).symlink_to(fetched)
    shop.environment["EOCONSUMER_CACHE"] = str(cache)
    assert shop.call("dev", "status")[:2] == (1, "not running; start with: eoconsumer dev up\n")
    try:
        code, shown, _ = shop.call("dev", "up")
        assert code == 0
        assert shop.call("dev", "status")[:2] == (0, shown)
        exported = [line.split("=", 1) for line in shown.splitlines() if line.startswith("export")]
        addresses = {name.removeprefix("export "): value.strip("'") for name, value in exported}
        shop.environment |= addresses
        code, out, _ = shop.call("doctor")
        assert code == 0, out
    finally:
        assert shop.call("dev", "down")[:2] == (0, "stopped, data removed\n")
    assert shop.call("dev", "down")[:2] == (0, "nothing was running\n")
