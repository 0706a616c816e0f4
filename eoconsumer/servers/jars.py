"""Kafka's jars, fetched once from Maven Central into the cache folder."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from eoconsumer.errors import ConfigurationError

KAFKA_VERSION = "4.3.1"
ARTIFACTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
    # The broker's log goes to standard error. The version is that of Kafka's own slf4j-api.
    "org.slf4j:slf4j-simple:1.7.36",
)
# Kafka Connect and its web server: more jars than all the rest, and no tool that we run needs them.
LEFT_OUT = ("org.apache.kafka", "connect-runtime")
HTTP_TIMEOUT = 60

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """``$EOCONSUMER_CACHE``, or ``eoconsumer`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    if named := os.environ.get("EOCONSUMER_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eoconsumer"


def kafka_jars() -> Path:
    """Return the folder with Kafka's jars; the first call ever downloads 45 MB.

    Several processes may call this at once: one downloads, the others wait for it.

    Raises:
        ConfigurationError: when the jars are not there and cannot be fetched.
    """
    jars = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if not jars.is_dir():
        jars.parent.mkdir(parents=True, exist_ok=True)
        with alone_with(jars):
            if not jars.is_dir():
                _fetch(jars)
    return jars


@contextmanager
def alone_with(jars: Path) -> Iterator[None]:
    """Keep other processes waiting that want to fill ``jars``, too."""
    with (jars.parent / f"{jars.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(jars: Path) -> None:
    """Fill a folder beside ``jars`` and rename it: ``jars`` is there whole or not at all."""
    _log.info("Fetching Apache Kafka %s from Maven Central, once, into %s", KAFKA_VERSION, jars)
    failures = []
    for name, download in {"jgo": _with_jgo, "mvn": _with_mvn}.items():
        with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetch-") as work:
            fetched = Path(work, "jars")
            fetched.mkdir()
            try:
                download(fetched, Path(work))
            except Exception as error:  # whatever stops one way, the other may work
                failures.append(f"{name}: {error!r}")
            else:
                fetched.rename(jars)
                return
    raise ConfigurationError(
        f"Apache Kafka {KAFKA_VERSION} could not be fetched from Maven Central; no broker was "
        "started. Check the network, and run: pip install 'eoconsumer[servers]' - or put mvn on "
        "PATH. What was tried:\n  " + "\n  ".join(failures)
    )


def _with_jgo(jars: Path, work: Path) -> None:
    from jgo.maven import Dependency, MavenContext

    # A repository of our own: a download that breaks off must leave nothing behind in ~/.m2.
    maven = MavenContext(repo_cache=work / "repository", timeout=HTTP_TIMEOUT)
    left_out = [maven.project(*LEFT_OUT)]
    wanted = []
    for coordinates in ARTIFACTS:
        group, artifact, version = coordinates.split(":")
        component = maven.project(group, artifact).at_version(version)
        wanted.append(Dependency(component.artifact(), exclusions=left_out))
    named, needed = maven.resolver.resolve(wanted)
    with ThreadPoolExecutor(8) as threads:
        for jar in threads.map(lambda dependency: dependency.artifact.resolve(), named + needed):
            jar.rename(jars / jar.name)


def _with_mvn(jars: Path, work: Path) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise FileNotFoundError("mvn is not on PATH")
    pom = work / "pom.xml"
    pom.write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>eoconsumer</groupId>"
        "<artifactId>servers</artifactId><version>1</version><dependencies>"
        + "".join(_dependency_xml(*coordinates.split(":")) for coordinates in ARTIFACTS)
        + "</dependencies></project>"
    )
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    ran = subprocess.run(
        [mvn, "-B", "-q", "-f", str(pom), *goal], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise RuntimeError((ran.stdout + ran.stderr)[-1000:])


def _dependency_xml(group: str, artifact: str, version: str) -> str:
    exclusion = "<groupId>{}</groupId><artifactId>{}</artifactId>".format(*LEFT_OUT)
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version>"
        f"<exclusions><exclusion>{exclusion}</exclusion></exclusions></dependency>"
    )
