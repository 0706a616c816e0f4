"""What handlers returned waits in a form that takes less, and comes back as it was."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pymongo import DeleteOne, InsertOne, UpdateOne

from eoconsumer.stores.mongo.operations import Buffer, Place, planned

SPACES = st.sampled_from(["ledger", "shop.ledger", "shop.items", None])
OPERATIONS = st.one_of(
    st.builds(lambda n, space: InsertOne({"n": n}, space), st.integers(0, 9), SPACES),
    st.builds(lambda n: UpdateOne({"_id": n}, {"$inc": {"n": 1}}), st.integers(0, 9)),
    st.just(DeleteOne({"_id": 1}, namespace="ledger")),
)
INSERTS = st.integers(0, 9).map(lambda n: InsertOne({"n": n}, "ledger"))
PARTS = st.lists(st.lists(st.one_of(INSERTS, OPERATIONS), max_size=4), max_size=6)


def filled(parts: list[list[Any]]) -> Buffer:
    buffer = Buffer()
    for part in parts:
        buffer.extend(part)
    return buffer


@given(PARTS, st.slices(20))
def test_a_buffer_returns_what_was_put_into_it_in_order(
    parts: list[list[Any]], some: slice
) -> None:
    buffer, everything = filled(parts), [write for part in parts for write in part]
    assert list(buffer) == everything
    assert len(buffer) == len(everything)
    assert buffer[some] == everything[some]


@given(st.lists(st.lists(INSERTS, min_size=1, max_size=4), min_size=1, max_size=6))
def test_the_documents_of_inserts_are_sent_as_the_handlers_made_them(
    parts: list[list[InsertOne[Any]]],
) -> None:
    documents = [write._doc for part in parts for write in part]
    plan = planned(filled(parts), "shop", inside=True)
    ((part,),) = plan.values()
    assert list(plan) == [Place("shop", "ledger")]
    assert all(sent is made for sent, made in zip(part.documents, documents, strict=True))
    assert list(part.indexes) == list(range(len(documents)))


def test_of_inserts_into_one_collection_only_the_documents_are_kept() -> None:
    write = InsertOne({"n": 1}, "ledger")
    buffer = filled([[write]])
    assert buffer[0] == write
    assert buffer[0] is not write


def test_what_is_in_a_buffer_is_not_looked_at_with_each_part_that_comes() -> None:
    class Watched(Buffer):
        looks = 0

        def __getitem__(self, part: Any) -> Any:
            self.looks += 1
            return super().__getitem__(part)

    buffer = Watched()
    buffer.extend([InsertOne({}, "ledger")])
    for number in range(100):
        buffer.extend([DeleteOne({"_id": number}, namespace="ledger")])
    assert buffer.looks == 1, "of the insert, before it is no longer alone"
    assert len(buffer) == 101
