"""A URL opens the store of the package that has its scheme; what goes wrong says whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eoconsumer import ConfigurationError
from eoconsumer.stores import open_async_store, open_store
from eoconsumer.stores.memory import MemoryStore

ACME = """
from eoconsumer.stores.memory import MemoryStore

class Store(MemoryStore):
    @classmethod
    def connect(cls, url):
        return cls()

class Other(Store): ...

class Failing:
    @classmethod
    def connect(cls, url):
        raise RuntimeError(f"no route to {url}")

class Nothing:
    @classmethod
    def connect(cls, url):
        return None

class Unconnected: ...
"""
STORES = """
[eoconsumer.stores]
acme = acme:Store
twice = acme:Store
failing = acme:Failing
nothing = acme:Nothing
unconnected = acme:Unconnected
absent = acme:Absent
needy = acme_needy:Store
wrong = eoconsumer.stores.memory_async:AsyncMemoryStore
"""


def install(folder: Path, name: str, stores: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(stores)


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install two distributions with stores."""
    (tmp_path / "acme.py").write_text(ACME)
    (tmp_path / "acme_needy.py").write_text("import a_driver_that_nobody_has")
    install(tmp_path, "acme-stores", STORES)
    install(tmp_path, "rival", "[eoconsumer.stores]\ntwice = acme:Other\nmongodb = acme:Other\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_the_class_of_the_package_makes_the_store() -> None:
    assert isinstance(open_store("acme+tls://host/shop"), MemoryStore)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("twice://host", r"acme-stores \(acme:Store\) and rival \(acme:Other\) both have a store"),
        ("mongodb://host/shop", r"eoconsumer \(.*MongoStore\) and rival \(acme:Other\) both have"),
        ("failing://me:secret@host", r"RuntimeError: no route to failing://\*\*\*@host\. Nothing"),
        ("nothing://host", r"is a NoneType, which lacks.*the package acme-stores to mend"),
        ("unconnected://host", r"has no attribute 'connect'.*the package acme-stores to mend"),
        ("absent://host", r"has no attribute 'Absent'.*the package acme-stores to mend"),
        ("needy://host", r"needs 'a_driver_that_nobody_has'.*pip install 'acme-stores\[needy\]'"),
        (None, "is not a URL"),
        (b"mongodb://host/shop", "is not a URL"),
    ],
)
def test_what_keeps_a_store_from_being_opened_is_told_with_its_package(url: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_store(url)


def test_a_store_for_threads_is_none_of_asyncio() -> None:
    with pytest.raises(ConfigurationError, match="No store of asyncio is known for acme://"):
        open_async_store("acme://host")
