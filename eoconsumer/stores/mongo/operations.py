"""What handlers return: the write operations of pymongo, seen from inside, and merged.

pymongo keeps what an operation holds in private attributes. This is the one file that reads them;
``test_mongo_writes.py`` fails when they change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias, overload

from bson import ObjectId
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

from eoconsumer.errors import HandlerMisuse
from eoconsumer.stores.mongo.concerns import Document

Operation: TypeAlias = (
    InsertOne[Document] | UpdateOne | UpdateMany | ReplaceOne[Document] | DeleteOne | DeleteMany
)
OPERATIONS = (InsertOne, UpdateOne, UpdateMany, ReplaceOne, DeleteOne, DeleteMany)

#: Sums beyond this would not fit MongoDB's 64-bit integers.
LONGEST = 2**63 - 1


class Place(NamedTuple):
    """Where a write goes."""

    database: str
    collection: str


class Part(NamedTuple):
    """Operations of one kind, sent together; ``indexes`` are those among all of the batch.

    ``documents`` are what is inserted; empty for ``operations`` of other kinds.
    """

    indexes: Sequence[int | None]
    documents: list[Document]
    operations: list[Operation]


class Inserts(NamedTuple):
    """Documents that all go into one collection, which handlers called by this name."""

    namespace: str | None
    documents: list[Document]


def inserts(writes: Sequence[Any]) -> Inserts | None:
    """Return what ``writes`` insert, if they do nothing else and into one collection."""
    if {*map(type, writes)} != {InsertOne}:
        return None
    names = {write._namespace for write in writes}
    return Inserts(names.pop(), [write._doc for write in writes]) if len(names) == 1 else None


class Buffer(Sequence[Any]):
    """What handlers returned, in order, until it is sent.

    Most batches insert into one collection. An ``InsertOne`` for each of their messages would live
    as long as the batch, and Python's garbage collector would visit it several times; of documents
    with plain values it keeps away. Who looks at such a write gets one that is made anew.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.inserts: Inserts | None = None
        self._writes: list[Any] = []  # everything, where it is not all one kind of insert

    def extend(self, writes: Sequence[Any]) -> None:
        """Hold ``writes`` behind what is here."""
        more = None if self._writes else inserts(writes)
        if more is not None and self.inserts is None:
            self.inserts = more
        elif more is not None and self.inserts is not None and more[0] == self.inserts[0]:
            self.inserts.documents.extend(more.documents)
        else:
            if self.inserts is not None:
                self._writes, self.inserts = list(self[:]), None
            self._writes.extend(writes)

    def __len__(self) -> int:
        """Count the writes."""
        return len(self._writes) if self.inserts is None else len(self.inserts.documents)

    @overload
    def __getitem__(self, part: int) -> Operation: ...
    @overload
    def __getitem__(self, part: slice) -> Sequence[Operation]: ...
    def __getitem__(self, part: int | slice) -> Operation | Sequence[Operation]:
        """Return one of them, or some."""
        if self.inserts is None:
            return self._writes[part]
        name, documents = self.inserts
        if isinstance(part, int):
            return InsertOne(documents[part], name)
        return [InsertOne(document, name) for document in documents[part]]


def planned(writes: Sequence[Any], database: str, *, inside: bool) -> dict[Place, list[Part]]:
    """Return what is to be sent to each collection, in order; refuse what is no write.

    ``database`` is meant where a namespace names only a collection. ``inside``: in a transaction,
    where increments are added up. Outside of one that would take the part of a later message along
    with an earlier one, and apply it again should one in between be refused.
    """
    found = writes.inserts if isinstance(writes, Buffer) else inserts(writes)
    if found is not None:  # as in most batches, and by far quicker
        place = _place(InsertOne({}, found.namespace), database)
        return {place: [Part(range(len(writes)), found.documents, [])]}
    places = by_place(writes, database)
    split = {place: parts(writes, indexes) for place, indexes in places.items()}
    if not inside:
        return split
    return {
        place: [merged(part) if part.operations else part for part in found]
        for place, found in split.items()
    }


def by_place(writes: Sequence[Any], database: str) -> dict[Place, list[int]]:
    """Return the indexes of ``writes`` by collection, in order; refuse what is no write."""
    found: dict[Place, list[int]] = {}
    known: dict[str | None, list[int]] = {}
    for index, write in enumerate(writes):
        if type(write) not in OPERATIONS:
            raise HandlerMisuse(
                f"The handler returned a {type(write).__name__}, which is no write operation of "
                "pymongo; the batch was given up, nothing of it was written. Return InsertOne, "
                "UpdateOne and the like."
            )
        if write._namespace not in known:
            known[write._namespace] = found.setdefault(_place(write, database), [])
        known[write._namespace].append(index)
    return found


def _place(write: Any, database: str) -> Place:
    """Return database and collection: "shop.ledger" names both, "ledger" the collection."""
    name, dot, collection = (write._namespace or "").partition(".")
    place = Place(name, collection) if dot else Place(database, name)
    if not all(place):
        raise HandlerMisuse(
            f"The handler returned a {type(write).__name__} with the namespace "
            f"{write._namespace!r}; the batch was given up, nothing of it was written. Give "
            'namespace="ledger", or "shop.ledger" with the database.'
        )
    return place


def as_call(operation: Operation) -> tuple[str, list[Any], dict[str, Any]]:
    """Return the method of a collection that does the same as ``operation``, and its arguments.

    For mongomock, which does not know all that a bulk write may have.
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(operation).__name__).lower()
    if isinstance(operation, InsertOne):
        return name, [dict(operation._doc)], {}
    given: list[Any] = [operation._filter]
    options: dict[str, Any] = {"collation": operation._collation, "hint": operation._hint}
    if not isinstance(operation, DeleteOne | DeleteMany):
        given.append(operation._doc)
        options["upsert"] = bool(operation._upsert)
    if isinstance(operation, UpdateOne | UpdateMany):
        options["array_filters"] = operation._array_filters
    return name, given, {option: value for option, value in options.items() if value is not None}


def parts(writes: Sequence[Any], indexes: Iterable[int]) -> list[Part]:
    """Split the writes of one collection where inserts and others meet; order is kept."""
    found: list[Part] = []
    for inserts, group in groupby(indexes, lambda index: type(writes[index]) is InsertOne):
        own = list(group)
        if inserts:
            found.append(Part(own, [writes[index]._doc for index in own], []))
        else:
            found.append(Part(own, [], [writes[index] for index in own]))
    return found


def inserted(operations: Sequence[Operation]) -> list[Document]:
    """Return what ``operations`` insert, where all of them do."""
    found = [operation._doc for operation in operations if isinstance(operation, InsertOne)]
    return found if len(found) == len(operations) else []


def merged(part: Part) -> Part:
    """Add up increments of the same document, where nothing in between could see the difference.

    Ten increments of one key in a batch are one: the server's work is by operation. Only whole
    numbers are added (a sum of fractions depends on its order), to the same fields, by ``_id``, and
    only where all in between are increments by ``_id`` as well. Of what stands for several there is
    no index: any of them may be to blame, should it be refused.
    """
    indexes: list[int | None] = []
    operations: list[Operation] = []
    last: dict[Any, tuple[int, _Increment]] = {}
    for index, operation in zip(part.indexes, part.operations, strict=True):
        increment = _increment(operation)
        if increment is None:
            last.clear()
        else:
            place, before = last.get(increment.document, (-1, None))
            both = before and before.plus(increment)
            if both:
                operations[place], indexes[place] = both.operation(), None
                last[increment.document] = place, both
                continue
            last[increment.document] = len(operations), increment
        indexes.append(index)
        operations.append(operation)
    return Part(indexes, [], operations)


class _Increment(NamedTuple):
    """An ``UpdateOne`` that does nothing but add whole numbers to the document with an ``_id``."""

    document: Any
    found: Mapping[str, Any]
    upsert: bool | None
    namespace: str | None
    steps: Mapping[str, int]

    def plus(self, other: _Increment) -> _Increment | None:
        """Return both in one; None where that would be something else than one after the other."""
        if self.upsert != other.upsert or self.steps.keys() != other.steps.keys():
            return None
        steps = {field: step + other.steps[field] for field, step in self.steps.items()}
        fits = all(-LONGEST <= step <= LONGEST for step in steps.values())
        return self._replace(steps=steps) if fits else None

    def operation(self) -> UpdateOne:
        change = {"$inc": self.steps}
        return UpdateOne(self.found, change, upsert=self.upsert, namespace=self.namespace)


def _increment(operation: Operation) -> _Increment | None:
    """Return ``operation`` as an increment, if it is one."""
    if type(operation) is not UpdateOne:
        return None
    found, change = operation._filter, operation._doc
    options = operation._collation, operation._array_filters, operation._hint, operation._sort
    if any(option is not None for option in options) or not isinstance(change, Mapping):
        return None
    if found.keys() != {"_id"} or change.keys() != {"$inc"}:
        return None
    document, steps = _frozen(found["_id"]), change["$inc"]
    if document is None or not steps or any(type(step) is not int for step in steps.values()):
        return None
    return _Increment(document, found, operation._upsert, operation._namespace, steps)


def _frozen(value: object) -> Any:
    """Return what is equal for equal keys of documents only; None for what is no plain key."""
    if type(value) in (str, int, bytes, ObjectId):
        return type(value), value
    if type(value) is dict and not any(name.startswith("$") for name in value):
        fields = tuple((name, _frozen(field)) for name, field in value.items())
        return None if any(field is None for _, field in fields) else fields
    return None
