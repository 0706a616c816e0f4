"""Run one server and end it when the process that asked for it is gone, however that one died.

Started as a script of its own (``python -I -S guard.py PARENT_PID USER FOLDER COMMAND...``), so it
imports the standard library only. USER is the uid to run the server as, or empty. It prints the
server's pid, waits for the server and ends with it; the server's output goes to the guard's
standard error. If the parent went first, the guard also removes FOLDER, since nobody else is left
to do it.

A guard between the two is needed because nothing else is both complete and safe: ``atexit`` does
not run after SIGKILL, and PR_SET_PDEATHSIG set by the parent itself fires when the *thread* that
started the server ends. Here the thread that starts the server is the guard's main thread, so the
signal is right: should somebody kill the guard, the server goes with it.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1
# The end of the pipe is noticed at once. Asking for the parent's pid catches the rest: a forked
# child of the parent may live on and hold a copy of the pipe's other end.
PARENT_CHECK_SECONDS = 1.0


def die_with_guard() -> None:
    """Ask the kernel to kill the server when the guard dies (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_after(parent: int, server: subprocess.Popen[bytes], orphaned: threading.Event) -> None:
    """Wait until the parent is gone, then kill the server."""
    while os.getppid() == parent:
        if select.select([0], [], [], PARENT_CHECK_SECONDS)[0]:
            break
    orphaned.set()
    server.kill()


def main(parent: int, user: int | None, folder: str, command: list[str]) -> None:
    """Start ``command``, report its pid and stay until it ends."""
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=2,
        stderr=2,
        preexec_fn=die_with_guard,  # after the change of user, which would undo it
        user=user,
        extra_groups=None if user is None else (),
    )
    os.write(1, f"{server.pid}\n".encode())
    orphaned = threading.Event()
    threading.Thread(target=kill_after, args=(parent, server, orphaned), daemon=True).start()
    server.wait()
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    uid = int(sys.argv[2]) if sys.argv[2] else None
    main(int(sys.argv[1]), uid, sys.argv[3], sys.argv[4:])
