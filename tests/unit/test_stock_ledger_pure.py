"""The pure parts of the stock ledger: documents, their rows, the folds, the generator."""

import random
from collections import Counter
from datetime import UTC, datetime
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stock_ledger.documents import BizDoc, Kind, Line
from stock_ledger.generate import documents
from stock_ledger.ledger import LedgerRow, Source, expand
from stock_ledger.stock import Cost, Derived

seeds = st.integers(0, 2**32)
AT = datetime(2026, 1, 5, tzinfo=UTC)


def document(kind: Kind = Kind.SALE, *lines: tuple[str, int, int], **given: str) -> BizDoc:
    return BizDoc(
        id="D1",
        kind=kind,
        family="tea",
        store="north",
        to_store=given.get("to_store"),
        vendor=given.get("vendor"),
        lines=tuple(Line(item=item, quantity=n, price=price) for item, n, price in lines),
        at=AT,
    )


def partitioned_rows(seed: int, count: int = 150, partitions: int = 3) -> list[list[LedgerRow]]:
    """Give the rows of each partition, in offset order, as a producer keyed by family does."""
    rows: list[list[LedgerRow]] = [[] for _ in range(partitions)]
    ends = [0] * partitions
    for each in documents(count, seed):
        partition = sum(each.key) % partitions
        source = Source("stock-documents", partition, ends[partition])
        ends[partition] += 1
        rows[partition].extend(expand(each, source, handled_at=0).ledger)
    return rows


def interleaved(partitions: list[list[LedgerRow]], chance: random.Random) -> list[LedgerRow]:
    turns = [number for number, rows in enumerate(partitions) for _ in rows]
    chance.shuffle(turns)
    queues = [iter(rows) for rows in partitions]
    return [next(queues[turn]) for turn in turns]


def derived(rows: list[LedgerRow]) -> Derived:
    result = Derived()
    result.add(rows)
    return result


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_same_seed_gives_the_same_documents(seed: int) -> None:
    assert list(documents(40, seed)) == list(documents(40, seed))
    assert list(documents(20, seed)) == list(documents(40, seed))[:20]


def test_another_seed_gives_other_documents() -> None:
    assert list(documents(20, 1)) != list(documents(20, 2))


def test_generated_documents_mix_all_kinds_and_prefer_some_items() -> None:
    made = list(documents(20_000, 7))
    assert {each.kind for each in made} == set(Kind)
    assert {len(each.lines) for each in made} == {1, 2, 3, 4, 5, 6}
    popularity = Counter(line.item.rpartition("-")[2] for each in made for line in each.lines)
    assert popularity["001"] > 5 * popularity["020"]


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_document_survives_the_way_through_the_topic(seed: int) -> None:
    for each in documents(10, seed):
        assert BizDoc.model_validate_json(each.model_dump_json(exclude_none=True)) == each


@pytest.mark.parametrize(
    "build",
    [
        lambda: document(Kind.SALE, ("wine-001", 1, 1)),
        lambda: document(Kind.SALE, ("tea-001", -1, 1)),
        lambda: document(Kind.ADJUSTMENT, ("tea-001", 0, 1)),
        lambda: document(Kind.TRANSFER, ("tea-001", 1, 1)),
        lambda: document(Kind.TRANSFER, ("tea-001", 1, 1), to_store="north"),
        lambda: document(Kind.PURCHASE, ("tea-001", 1, 1)),
        lambda: document(Kind.SALE, ("tea-001", 1, 1), vendor="acme"),
        lambda: document(Kind.SALE),
    ],
    ids=["mixed", "negative", "zero", "nowhere", "onto itself", "no vendor", "vendor", "empty"],
)
def test_a_document_that_makes_no_sense_is_refused(build) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValidationError):
        build()


def test_a_purchase_writes_a_row_for_each_line_and_a_payable_for_its_vendor() -> None:
    purchase = document(Kind.PURCHASE, ("tea-001", 10, 300), ("tea-002", 2, 50), vendor="acme")
    ledger, payables = expand(purchase, Source("t", 3, 42), handled_at=9)
    assert [(row["item"], row["quantity"]) for row in ledger] == [("tea-001", 10), ("tea-002", 2)]
    assert [(row["vendor"], row["amount"]) for row in payables] == [("acme", 3100)]
    assert [row["line"] for row in (*ledger, *payables)] == [0, 1, 2]
    assert {(row["topic"], row["partition"], row["offset"]) for row in (*ledger, *payables)} == {
        ("t", 3, 42)
    }


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_a_transfer_moves_goods_and_makes_none(seed: int) -> None:
    for each in documents(200, seed):
        rows = expand(each, Source("t", 0, 0), handled_at=0).ledger
        if each.kind is Kind.TRANSFER:
            assert sum(row["quantity"] for row in rows) == 0
            assert sum(row["quantity"] * row["price"] for row in rows) == 0


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(0, 10_000))
def test_any_interleaving_of_the_partitions_gives_the_same_stock_and_cost(
    seed: int, order: int
) -> None:
    partitions = partitioned_rows(seed)
    shuffled = interleaved(partitions, random.Random(order))
    in_turn = [row for rows in partitions for row in rows]
    assert derived(shuffled) == derived(in_turn)


@settings(max_examples=25, deadline=None)
@given(seeds, st.lists(st.integers(0, 400), max_size=5))
def test_folding_in_pieces_gives_what_a_rebuild_gives(seed: int, cuts: list[int]) -> None:
    rows = [row for rows in partitioned_rows(seed) for row in rows]
    in_pieces = Derived()
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), len(rows)], strict=True):
        in_pieces.add(rows[low:high])
    assert in_pieces == derived(rows)
    assert in_pieces.differing(derived(rows)) == 0


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_right_stock_is_never_negative_and_empty_stock_is_worth_nothing(seed: int) -> None:
    state = Derived()
    rows = [row for rows in partitioned_rows(seed) for row in rows]
    for _, one_document in groupby(rows, key=lambda row: (row["partition"], row["offset"])):
        state.add(one_document)
        assert all(stock.quantity >= 0 for stock in state.stock.values())
        assert all(cost.value == 0 for cost in state.cost.values() if cost.quantity == 0)


def moved(*moves: tuple[int, int]) -> Cost:
    cost = Cost()
    for quantity, price in moves:
        kind = Kind.ADJUSTMENT
        (row,) = expand(
            document(kind, ("tea-001", quantity, price)), Source("t", 0, 0), handled_at=0
        ).ledger
        cost = cost.after(row)
    return cost


def test_goods_that_come_in_move_the_average_and_goods_that_go_out_leave_it() -> None:
    assert moved((10, 100)) == Cost(10, 1000, 100)
    assert moved((10, 100), (30, 200)) == Cost(40, 7000, 175)
    assert moved((10, 100), (30, 200), (-20, 999)) == Cost(20, 3500, 175)


def test_the_last_unit_takes_what_rounding_left() -> None:
    assert moved((1, 100), (2, 101), (-1, 0), (-1, 0)) == Cost(1, 100, 100)
    assert moved((1, 100), (2, 101), (-3, 0)) == Cost(0, 0, 100)


def test_stock_sold_short_is_restated_by_the_next_purchase() -> None:
    assert moved((2, 100), (-2, 0), (-3, 0)) == Cost(-3, -300, 100)
    assert moved((2, 100), (-2, 0), (-3, 0), (10, 120)) == Cost(7, 840, 120)
