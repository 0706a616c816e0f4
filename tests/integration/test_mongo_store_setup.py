"""What the store refuses at start, and what it says then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme
from mongo_stores import ORDERS, fresh_store, owner, step
from pymongo import MongoClient

from eoconsumer.errors import ConfigurationError, TransientStoreError
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.servers.mongo import REPLICA_SET, MongoNode
from eoconsumer.servers.process import free_port
from eoconsumer.stores.mongo import MongoStore, deployment

pytestmark = pytest.mark.slow

OWN = (
    "eoconsumer_offsets",
    "eoconsumer_dead_letters",
    "eoconsumer_quarantine",
    "eoconsumer_applied",
)
SECRET = "hunter2"


@pytest.fixture(scope="module")
def standalone() -> Iterator[MongoNode]:
    with MongoNode(replica_set=None) as node:
        yield node


def refusal(url: str) -> str:
    store = MongoStore.connect(url)
    try:
        with pytest.raises(ConfigurationError) as refused:
            store.setup()
    finally:
        store.close()
    return str(refused.value)


@pytest.mark.requirement("S3-20")
@pytest.mark.parametrize("options", ["", "?directConnection=true", f"?replicaSet={REPLICA_SET}"])
def test_a_standalone_is_refused_with_the_way_to_a_replica_set(
    standalone: MongoNode, options: str
) -> None:
    began = time.monotonic()

    said = refusal(f"mongodb://127.0.0.1:{standalone.port}/shop{options}")

    assert time.monotonic() - began < 25  # the driver itself would wait for 30
    for part in ("standalone", "replica set", "--replSet rs0", "rs.initiate()", "?replicaSet=rs0"):
        assert part in said


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "SERVER_SECONDS", 0.5)
    port = free_port()

    said = refusal(f"mongodb://127.0.0.1:{port}/shop")

    assert f"No MongoDB server answered at 127.0.0.1:{port}" in said


def test_a_replica_set_that_was_never_initiated_is_told_from_a_missing_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deployment, "SERVER_SECONDS", 5.0)
    with MongoNode() as node:
        said = refusal(f"mongodb://127.0.0.1:{node.port}/shop")

    assert "rs.initiate()" in said or "rs.status()" in said


def test_a_set_that_has_no_primary_at_present_is_worth_another_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deployment, "SERVER_SECONDS", 5.0)
    with MongoReplicaSet(nodes=2) as mongo, closing(MongoStore.connect(mongo.url_for("shop"))) as s:
        former = mongo.wait_for_primary()
        former.kill()

        with pytest.raises(TransientStoreError, match="has no primary; nothing was consumed"):
            s.setup()
        assert [(name, passed) for name, passed, _ in s.diagnose()] == [("replica set", False)]

        former.restart()
        mongo.wait_for_primary()
        monkeypatch.undo()
        s.setup()


def test_an_old_server_is_refused(
    mongo_replica_set: MongoReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "OLDEST", (99, 0, 0))

    assert "too old" in refusal(mongo_replica_set.url_for("shop"))


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("mongodb://127.0.0.1:27017", "names no database"),
        ("mongodb://127.0.0.1:27017/?replicaSet=rs0", "names no database"),
        ("http://127.0.0.1/shop", "cannot be used"),
        ("127.0.0.1:27017/shop", "cannot be used"),
        ("mongodb://127.0.0.1:port/shop", "cannot be used"),
        ("mongodb://127.0.0.1/sh$op", "cannot be used"),
        (f"mongodb://user:{SECRET}/slash@127.0.0.1/shop", "percent-encoded"),
        (f"mongodb://user:{SECRET}@x@127.0.0.1/shop", "percent-encoded"),
        (f"mongodb://user:x?{SECRET}=y@127.0.0.1/shop", "percent-encoded"),
        (f"mongodb://user:{SECRET}:y@127.0.0.1:port/shop", "percent-encoded"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_a_word_of_its_password(
    url: str, part: str
) -> None:
    with pytest.raises(ConfigurationError, match=part) as refused:
        MongoStore.connect(url)

    assert "mongodb://host:27017/shop?replicaSet=rs0" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("option", ["tls=yes", "tlsss=true", "tlsCAFile=/nowhere.pem"])
def test_an_option_that_the_driver_does_not_take_is_refused_by_its_name(option: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        MongoStore.connect(f"mongodb://user:{SECRET}@127.0.0.1/shop?replicaSet=rs0&{option}")

    assert f"does not take {option.partition('=')[0]} as given" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_no_password_is_shown_by_a_store_or_by_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "SERVER_SECONDS", 0.5)
    url = f"mongodb://user:{SECRET}@127.0.0.1:{free_port()}/shop"
    store = MongoStore.connect(url)

    assert SECRET not in repr(store)
    assert repr(store) == "MongoStore('shop.eoconsumer_offsets', 'shop.eoconsumer_dead_letters')"
    assert SECRET not in refusal(url)
    store.close()


def test_a_transaction_gets_three_quarters_of_what_the_server_allows(
    mongo_replica_set: MongoReplicaSet,
) -> None:
    with fresh_store(mongo_replica_set) as store:
        assert store.transaction_seconds == 45.0


def test_the_names_of_the_collections_can_be_chosen(mongo_replica_set: MongoReplicaSet) -> None:
    with MongoClient[dict[str, Any]](mongo_replica_set.url) as client:
        names = {
            "offsets": "places",
            "dead_letters": "graves",
            "quarantine": "waiting",
            "applied": "done",
        }
        store = MongoStore(client, "chosen", **names)
        store.setup()
        owner(store)
        try:
            assert set(store.database.list_collection_names()) == set(names.values())
            assert store.database["places"].count_documents({"owner": "first"}) == 1
        finally:
            client.drop_database("chosen")
        store.close()
        assert client.admin.command("ping")["ok"] == 1  # the caller's client stays open


def test_diagnose_tells_each_check_in_a_line(mongo_replica_set: MongoReplicaSet) -> None:
    with fresh_store(mongo_replica_set) as store:
        checks = store.diagnose()

    assert [(name, passed) for name, passed, _ in checks] == [
        ("replica set", True),
        ("version", True),
        ("members", True),
        ("privileges", True),
    ]
    assert all("\n" not in text for _, _, text in checks)


def test_diagnose_goes_on_after_a_check_that_failed(standalone: MongoNode) -> None:
    store = MongoStore.connect(f"mongodb://127.0.0.1:{standalone.port}/shop")

    checks = {name: passed for name, passed, _ in store.diagnose()}

    assert checks["replica set"] is False
    assert checks["version"] is True
    store.close()


def wait_for_primary(client: MongoClient[dict[str, Any]]) -> None:
    while not client.admin.command("hello")["isWritablePrimary"]:
        time.sleep(0.02)


def test_an_arbiter_beside_two_data_nodes_is_refused_with_the_reason() -> None:
    with MongoNode() as one, MongoNode() as two, MongoNode() as arbiter:
        members = [
            {"_id": number, "host": f"127.0.0.1:{node.port}", "arbiterOnly": node is arbiter}
            for number, node in enumerate((one, two, arbiter))
        ]
        with MongoClient[dict[str, Any]](one.url) as client:
            settings = {"electionTimeoutMillis": 1000}
            config = {"_id": REPLICA_SET, "members": members, "settings": settings}
            client.admin.command("replSetInitiate", config)
            wait_for_primary(client)
        said = refusal(f"mongodb://127.0.0.1:{one.port}/shop?replicaSet={REPLICA_SET}")

    assert "arbiter and only 2 data nodes" in said
    assert "third data node" in said


class TlsNode(MongoNode):
    """A mongod with a certificate of ``authority`` for ``name``; it takes plain text as well."""

    def __init__(self, authority: trustme.CA, name: str) -> None:
        super().__init__()
        self._certificate, self._authority = authority.issue_cert(name), authority

    def command(self) -> list[str]:
        own, trusted = self.folder / "own.pem", self.folder / "trusted.pem"
        self._certificate.private_key_and_cert_chain_pem.write_to_path(str(own))
        self._authority.cert_pem.write_to_path(str(trusted))
        tls = ["--tlsMode", "preferTLS", "--tlsAllowConnectionsWithoutCertificates"]
        files = ["--tlsCertificateKeyFile", str(own), "--tlsCAFile", str(trusted)]
        return [*super().command(), *tls, *files]


@pytest.mark.slow
def test_a_certificate_is_looked_at_and_what_is_wrong_with_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "SERVER_SECONDS", 10.0)
    ours, other = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ours.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with TlsNode(ours, "127.0.0.1") as node, MongoClient[dict[str, Any]](node.url) as client:
        member = {"_id": 0, "host": f"127.0.0.1:{node.port}"}
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        wait_for_primary(client)
        client.admin.command("setParameter", 1, tlsMode="requireTLS")
        url = f"mongodb://127.0.0.1:{node.port}/shop?replicaSet={REPLICA_SET}"

        store = MongoStore.connect(f"{url}&tls=true&tlsCAFile={tmp_path}/ours.pem")
        store.setup()
        store.close()
        strange = refusal(f"{url}&tls=true&tlsCAFile={tmp_path}/other.pem")
        plain = refusal(url)
    with TlsNode(ours, "db.example") as node:
        elsewhere = refusal(
            f"mongodb://127.0.0.1:{node.port}/shop?tls=true&tlsCAFile={tmp_path}/ours.pem"
        )

    assert "self-signed certificate" in strange
    assert "not valid for '127.0.0.1'" in elsewhere
    assert "connection closed" in plain
    for said in (strange, elsewhere, plain):
        assert "TLS" in said
        assert "Topology" not in said


class GuardedNode(MongoNode):
    """A mongod that asks for a login."""

    def command(self) -> list[str]:
        key = Path(self.folder, "key")
        key.write_text("bm90IGEgc2VjcmV0" * 2)
        key.chmod(0o600)
        return [*super().command(), "--auth", "--keyFile", str(key)]


@pytest.fixture(scope="module")
def guarded() -> Iterator[MongoNode]:
    """A replica set of one node with the users admin, reader and worker."""
    with GuardedNode() as node, MongoClient[dict[str, Any]](node.url) as client:
        member = {"_id": 0, "host": f"127.0.0.1:{node.port}"}
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        wait_for_primary(client)
        client.admin.command("createUser", "admin", pwd=SECRET, roles=["root"])
        with MongoClient[dict[str, Any]](node.url, username="admin", password=SECRET) as admin:
            for name in OWN:
                admin["made"].create_collection(name)
            actions = ["find", "insert", "update"]
            rights = [
                {"resource": {"db": "made", "collection": name}, "actions": actions} for name in OWN
            ]
            admin["made"].command("createRole", "least", privileges=rights, roles=[])
            admin["made"].command("createUser", "worker", pwd=SECRET, roles=["least"])
            admin["made"].command("createUser", "reader", pwd=SECRET, roles=["read"])
        yield node


def test_a_missing_privilege_is_named(guarded: MongoNode) -> None:
    said = refusal(f"mongodb://reader:{SECRET}@127.0.0.1:{guarded.port}/made")

    assert "insert on made.eoconsumer_offsets" in said
    assert "update on made.eoconsumer_offsets" in said
    assert "find on" not in said
    assert SECRET not in said


@pytest.mark.parametrize("login", ["", f"nobody:{SECRET}@", "worker:wrong@"])
def test_a_user_that_may_not_log_in_is_told_so(guarded: MongoNode, login: str) -> None:
    said = refusal(f"mongodb://{login}127.0.0.1:{guarded.port}/made")

    assert "database user" in said
    assert SECRET not in said


def test_find_insert_and_update_on_three_collections_are_all_that_is_needed(
    guarded: MongoNode,
) -> None:
    store = MongoStore.connect(f"mongodb://worker:{SECRET}@127.0.0.1:{guarded.port}/made")
    store.setup()
    session, rows = owner(store)
    blocked = session.transaction()
    blocked.advance([step(rows)])

    # Ends the session of the former owner: the same user may.
    taken = store.open("ledger", "next").claim([ORDERS], {})

    assert taken.positions[ORDERS].owner == "next"
    blocked.abort()
    store.close()
