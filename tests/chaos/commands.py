"""What a worker asks MongoDB for: every shape of command and transaction, told once.

This is evidence for the check "concerns": read and write concern, read preference, and which
collections one transaction wrote to, in order.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

WATCHED = {"insert", "update", "delete", "find", "aggregate", "findAndModify", "bulkWrite"}
ENDS = {"commitTransaction", "abortTransaction"}
REMEMBERED = 100  # transactions


class Commands(CommandListener):
    """Says each shape the first time that it is seen."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._seen: set[str] = set()
        self._transactions: OrderedDict[tuple[bytes, int], dict[str, Any]] = OrderedDict()

    def started(self, event: CommandStartedEvent) -> None:
        command = event.command
        if event.command_name in ENDS:
            if event.command_name == "commitTransaction":
                known = self._transactions.get(_transaction(command), {"writes": ["?"]})
                commit = {"command": "commitTransaction", "commit": command.get("writeConcern")}
                self._tell(known | commit)
        elif event.command_name in WATCHED:
            shape = _shape(event.command_name, command)
            if "autocommit" in command:
                self._note(_transaction(command), shape, command)
            self._tell(shape)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing is told of answers."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing is told of answers."""

    def _note(
        self, key: tuple[bytes, int], shape: dict[str, Any], command: Mapping[str, Any]
    ) -> None:
        if command.get("startTransaction"):
            self._transactions[key] = {"first": shape, "writes": []}
            if len(self._transactions) > REMEMBERED:
                self._transactions.popitem(last=False)
        known = self._transactions.get(key)
        if known and shape["command"] not in ("find", "aggregate"):
            written = f"{shape['collection']} {shape['what']}".strip()
            if written in known["writes"]:
                known["writes"].remove(written)
            known["writes"].append(written)

    def _tell(self, shape: dict[str, Any]) -> None:
        text = json.dumps(shape, sort_keys=True)
        if text not in self._seen:
            self._seen.add(text)
            self._say("command", shape=shape)


def _transaction(command: Mapping[str, Any]) -> tuple[bytes, int]:
    return bytes(command["lsid"]["id"]), int(command["txnNumber"])


def _shape(name: str, command: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "command": name,
        "collection": command[name],
        "what": _what(command) if name == "update" else "",
        "transaction": "autocommit" in command,
        "read": command.get("readConcern", {}).get("level"),
        "write": command.get("writeConcern"),
        "preference": command.get("$readPreference", {}).get("mode", "primary"),
    }


def _what(command: Mapping[str, Any]) -> str:
    """Tell an advance, which sets the position, from a claim, which computes the row anew."""
    kinds = set()
    for update in command.get("updates", ()):
        change = update["u"]
        if isinstance(change, list):
            kinds.add("claim")
        elif "next_offset" in change.get("$set", {}):
            kinds.add("advance")
    return "+".join(sorted(kinds))
