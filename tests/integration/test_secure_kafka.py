"""TLS, logins and permissions of Kafka: right ones work, wrong ones are told at the start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from command_line import Shop
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from consuming import Keep, committed, kept, send
from cryptography.hazmat.primitives import serialization
from trial import DEADLINE

from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka.check import topics
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore

pytestmark = pytest.mark.slow

SECRET = "canary-of-the-login"
TOPIC = "moves"
TOPIC_SEEN = (ResourceType.TOPIC, TOPIC, AclOperation.DESCRIBE)
TOPIC_READ = (ResourceType.TOPIC, TOPIC, AclOperation.READ)
GROUP_SEEN = (ResourceType.GROUP, "ledger", AclOperation.DESCRIBE)
GROUP_READ = (ResourceType.GROUP, "ledger", AclOperation.READ)
#: What each user may do, besides "admin", who may do everything.
USERS = {
    "stranger": [],
    "reader": [TOPIC_READ],
    "watcher": [TOPIC_READ, GROUP_SEEN],
    "member": [TOPIC_SEEN, GROUP_READ],
    "ledger": [TOPIC_READ, GROUP_READ],
}


def keystore(authority: trustme.CA, name: str) -> bytes:
    """A certificate for ``name`` and its key, in the one form that Kafka reads."""
    made = authority.issue_cert(name)
    key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
    own = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return own + b"".join(pem.bytes() for pem in made.cert_chain_pems)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: of the broker, one of another host, and of two authorities."""
    made = tmp_path_factory.mktemp("certificates")
    ours, other = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(made / "ours.pem"))
    other.cert_pem.write_to_path(str(made / "other.pem"))
    (made / "broker.pem").write_bytes(keystore(ours, "127.0.0.1"))
    (made / "elsewhere.pem").write_bytes(keystore(ours, "kafka.example"))
    return made


@pytest.fixture(scope="module")
def broker(folder: Path) -> Iterator[KafkaBroker]:
    """A broker with ``USERS``; who has not logged in, in plain text or by TLS, may do all."""
    users = " ".join(f'user_{name}="{SECRET}"' for name in ("admin", *USERS))
    login = f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
    listeners = {"LOGIN": "SASL_PLAINTEXT", "BOTH": "SASL_SSL", "TLS": "SSL", "ELSEWHERE": "SSL"}
    settings = {
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": login,
        "listener.name.both.plain.sasl.jaas.config": login,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
        "listener.name.elsewhere.ssl.keystore.type": "PEM",
        "listener.name.elsewhere.ssl.keystore.location": str(folder / "elsewhere.pem"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:admin",
    }
    with KafkaBroker(listeners=listeners, settings=settings) as started:
        started.create_topic(TOPIC)
        send(started.bootstrap_servers, TOPIC, b"a", b"b", b"c")
        allow(started)
        yield started


def allow(broker: KafkaBroker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    literal, allowed = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    rights = [
        AclBinding(kind, name, literal, f"User:{user}", "*", operation, allowed)
        for user, rights in USERS.items()
        for kind, name, operation in rights
    ]
    for answer in admin.create_acls(rights).values():
        answer.result()


def consumer(broker: KafkaBroker, listener: str, **kafka: Any) -> Keep:
    settings = {name.replace("_", "."): value for name, value in kafka.items()}
    address = broker.bootstrap_servers if listener == "PLAIN" else broker.address(listener)
    return Keep(address, MemoryStore(), topics=[TOPIC], group="ledger", kafka=settings)


def login(user: str = "admin", **more: Any) -> dict[str, Any]:
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": user,
        "sasl_password": SECRET,
        **more,
    }


def tls(folder: Path, authority: str = "ours.pem") -> dict[str, Any]:
    return {"security_protocol": "SSL", "ssl_ca_location": str(folder / authority)}


def refusal(made: Keep, caplog: pytest.LogCaptureFixture) -> str:
    """Run until it is refused, at once and not when time is up; the secret is told nowhere."""
    began = time.monotonic()
    with pytest.raises(ConfigurationError) as refused:
        made.run_until(lambda _: time.monotonic() - began > DEADLINE)
    assert kept(made.store) == []
    said = str(refused.value)
    assert "No broker answered" not in said
    assert SECRET not in said + caplog.text + repr(made.config)
    return said


# --- logins and certificates ---------------------------------------------------------------------


@pytest.mark.parametrize("listener", ["LOGIN", "TLS", "BOTH"])
def test_right_settings_consume(broker: KafkaBroker, folder: Path, listener: str) -> None:
    both = login() | tls(folder) | {"security_protocol": "SASL_SSL"}
    broker_says = {"LOGIN": login(), "TLS": tls(folder), "BOTH": both}
    made = consumer(broker, listener, **broker_says[listener])
    made.run_until(committed(3))
    assert [m.value for m in kept(made.store)] == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sasl_password": SECRET + "!"}, "Invalid username or password"),
        ({"sasl_username": "nobody"}, "Invalid username or password"),
        ({"sasl_mechanism": "SCRAM-SHA-512"}, "supported mechanisms: PLAIN"),
    ],
    ids=["password", "user", "mechanism"],
)
def test_a_login_that_fails_is_told_with_what_the_broker_says(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any], told: str
) -> None:
    said = refusal(consumer(broker, "LOGIN", **login(**wrong)), caplog)
    assert told in said
    assert "sasl.*" in said


@pytest.mark.parametrize(
    ("listener", "authority"), [("TLS", "other.pem"), ("ELSEWHERE", "ours.pem")]
)
def test_a_broker_that_cannot_prove_who_it_is_is_told(
    broker: KafkaBroker,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    listener: str,
    authority: str,
) -> None:
    said = refusal(consumer(broker, listener, **tls(folder, authority)), caplog)
    assert "certificate verify failed" in said
    assert "ssl.*" in said


@pytest.mark.parametrize("listener", ["LOGIN", "TLS"])
def test_a_listener_that_wants_more_than_it_is_given_is_told_when_time_is_up(
    broker: KafkaBroker, listener: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"No broker answered .* TLS and SASL in kafka="):
        topics({"bootstrap.servers": broker.address(listener)}, seconds=1.0)


# --- permissions ---------------------------------------------------------------------------------


def test_to_read_the_topic_and_the_group_is_all_that_is_needed(broker: KafkaBroker) -> None:
    made = consumer(broker, "LOGIN", **login("ledger"))
    made.run_until(committed(3))
    assert len(kept(made.store)) == 3


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("stranger", f"may not see the topic '{TOPIC}'"),
        ("reader", "Group authorization failed"),
        ("watcher", "Group authorization failed"),
        ("member", "Topic authorization failed"),
    ],
)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_permission_that_is_missing_is_named(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture, user: str, told: str, protocol: str
) -> None:
    settings = login(user, group_protocol=protocol)
    said = refusal(consumer(broker, "LOGIN", **settings), caplog)
    assert told in said
    assert "Read the group" in said


# --- the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["nobody", "stranger", "reader"])
def test_the_command_line_exits_78_and_tells_no_secret(
    broker: KafkaBroker, tmp_path: Path, user: str
) -> None:
    shop = Shop(tmp_path, broker.address("LOGIN"), "memory://", TOPIC)
    names = {name.replace("_", "."): value for name, value in login(user).items()}
    with (tmp_path / "shop.py").open("a") as module:
        module.write(f"\nclass Secured(Ledger):\n    group, kafka = 'ledger', {names!r}\n")
    code, out, complaint = shop.call("run", "shop:Secured")
    assert (code, out) == (78, "")
    assert "kafka-acls" in complaint or "login failed" in complaint
    assert SECRET not in complaint
    code, out, complaint = shop.call("doctor", "shop:Secured")
    assert code == 78
    assert "FAILED" in out
    assert SECRET not in out + complaint
