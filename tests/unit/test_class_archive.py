"""The archive of Kafka's classes: made once, for the JVM at hand, and never in anybody's way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers.class_archive import class_archive
from eoconsumer.servers.jars import KAFKA_VERSION


@pytest.fixture(autouse=True)
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kafka's jars, as if they had been fetched."""
    monkeypatch.setenv("EOCONSUMER_CACHE", str(tmp_path))
    folder = tmp_path / f"kafka-{KAFKA_VERSION}"
    folder.mkdir()
    return folder


def java(home: Path, version: str = "17.0.1", *, archive: bool = True) -> Path:
    """Return a program that tells its version as a JVM does."""
    for name in ("bin", "lib/server"):
        (home / name).mkdir(parents=True)
    if archive:
        (home / "lib/server/classes.jsa").touch()
    program = home / "bin/java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return program


def rehearsed(archive: Path) -> None:
    with archive.open("x") as file:
        file.write("classes")


def never(archive: Path) -> None:
    pytest.fail(f"{archive} is made again")


def test_of_many_that_want_it_at_once_one_makes_it(tmp_path: Path, jars: Path) -> None:
    program = java(tmp_path / "jvm")
    with ThreadPoolExecutor() as threads:
        wanted = [threads.submit(class_archive, program, rehearsed) for _ in range(8)]
    (archive,) = {each.result() for each in wanted}
    assert archive is not None
    assert (archive.parent, archive.read_text()) == (jars, "classes")
    assert class_archive(program, never) == archive


def test_another_jvm_has_one_of_its_own(tmp_path: Path) -> None:
    old, new = java(tmp_path / "old", "17.0.1"), java(tmp_path / "new", "21.0.2")
    assert class_archive(old, rehearsed) != class_archive(new, rehearsed)


def test_a_jvm_without_an_archive_of_javas_classes_gets_none(tmp_path: Path) -> None:
    assert class_archive(java(tmp_path / "jvm", archive=False), never) is None


def test_a_jvm_that_writes_none_is_not_asked_again(tmp_path: Path) -> None:
    program = java(tmp_path / "jvm")
    assert class_archive(program, lambda _: None) is None
    assert class_archive(program, never) is None


def test_a_broker_that_cannot_be_rehearsed_with_is_told_of_and_started_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = java(tmp_path / "jvm")

    def fails(archive: Path) -> None:
        archive.write_text("half of the cl")
        raise ConfigurationError("It did not come up.")

    assert class_archive(program, fails) is None
    assert "Brokers will start more slowly" in caplog.text
    assert class_archive(program, never) is None


def test_a_cache_that_cannot_be_written_to_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / f"kafka-{KAFKA_VERSION}.lock").mkdir()  # even root cannot open it
    assert class_archive(java(tmp_path / "jvm"), never) is None
