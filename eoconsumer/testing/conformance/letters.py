"""Dead letters are kept whole and removed once; a quarantine is written by all who rely on it."""

# ruff: noqa: D102, PT012 - a test's title is its docstring, and a transaction is a block

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from eoconsumer.core.capabilities import Capability
from eoconsumer.core.letters import DeadLetter, Hold, Letter, Selection
from eoconsumer.errors import DecodeError, LetterGone, QuarantineLifted, TransientStoreError
from eoconsumer.message import Message, MessageKey, Record, TopicPartition, Undecoded
from eoconsumer.protocols import Store, StoreSession, Transaction
from eoconsumer.testing.conformance.contract import ORDERS, RETURNS, Contract, needs, owner

KEY = MessageKey(ORDERS, b"\xff\x00key")
HEADERS = (("trace", b"\xff"), ("trace", b""), ("none", None))


@needs(Capability.LETTERS)
class LetterConformance(Contract):
    """What is buried can be read as it was, removed by one, and waited for."""

    @pytest.mark.requirement("N5")
    def test_a_dead_letter_is_read_as_it_was_buried(self, store: Store) -> None:
        record = Record("orders", 3, 2**40, b"\x00\xfe", b"", HEADERS, 1_700_000_000_000)
        error = ValueError("no such item")
        error.__cause__ = KeyError("tea")

        store.open("ledger", "first").bury([DeadLetter(Message(record, None), error, 3)])

        (letter,) = read(store)
        assert letter.record == record
        assert (letter.group, letter.attempts) == ("ledger", 3)
        assert letter.failure.type == "builtins.ValueError"
        assert letter.failure.text == "no such item; caused by KeyError: 'tea'"
        assert "ValueError: no such item" in letter.failure.traceback

    def test_what_a_message_does_not_have_is_none(self, store: Store) -> None:
        record = Record("orders", 0, 1)

        store.open("ledger", "first").bury([DeadLetter(Message(record, None), ValueError(), 1)])

        (letter,) = read(store)
        assert letter.record == record
        assert letter.key is None

    def test_headers_that_could_not_be_decoded_are_not_taken_for_none(self, store: Store) -> None:
        record = Record("orders", 0, 1, b"{}", None, Undecoded(ValueError()))

        store.open("ledger", "first").bury([DeadLetter(Message(record, None), ValueError(), 1)])

        (letter,) = read(store)
        assert letter.headers is None
        with pytest.raises(DecodeError):
            _ = letter.message.headers

    def test_letters_are_read_page_by_page_in_the_order_of_their_places(self, store: Store) -> None:
        places = [(RETURNS, 1), (ORDERS, 10), (ORDERS, 9), (TopicPartition("orders", 1), 0)]
        for partition, offset in [*places, (ORDERS, 9)]:
            bury(store, offset, partition)

        pages: list[list[Letter]] = [[]]
        while pages[-1] or len(pages) == 1:
            after = pages[-1][-1] if pages[-1] else None
            pages.append(list(store.letters(Selection("ledger"), after, 2)))

        found = [str(letter) for page in pages for letter in page]
        assert found == ["orders[0]@9"] * 2 + ["orders[0]@10", "orders[1]@0", "returns[0]@1"]

    def test_letters_can_be_asked_for_by_their_place_and_by_their_id(self, store: Store) -> None:
        bury(store, 1)
        bury(store, 2, RETURNS)
        store.open("another", "first").bury([letter(1)])
        first, second = read(store)

        assert read(store, topic="returns") == [second]
        assert read(store, partition=0, offset=1) == [first]
        assert read(store, id=first.id) == [first]
        assert read(store, id="nothing") == []
        assert len(store.letters(Selection(offset=1), None, 10)) == 2

    @pytest.mark.requirement("N5")
    def test_a_letter_is_removed_together_with_what_its_handler_wrote(self, store: Store) -> None:
        session = bury(store, 1)
        (found,) = read(store)

        with pytest.raises(ZeroDivisionError), session.transaction() as transaction:
            transaction.remove(found)
            self.write(store, transaction.session, "applied")
            raise ZeroDivisionError
        assert (read(store), self.read(store)) == ([found], [])

        with session.transaction() as transaction:
            transaction.remove(found)
            self.write(store, transaction.session, "applied")
        assert (read(store), self.read(store)) == ([], ["applied"])

    @pytest.mark.requirement("N5")
    def test_a_letter_that_is_gone_cannot_be_removed(self, store: Store) -> None:
        session = bury(store, 1)
        (found,) = read(store)
        session.remove(found)

        with pytest.raises(LetterGone):
            session.remove(found)
        with pytest.raises(LetterGone), session.transaction() as transaction:
            transaction.remove(found)

    @pytest.mark.requirement("N5")
    @needs(Capability.MANY_WRITERS)
    def test_of_two_that_remove_a_letter_at_once_one_commits(self, store: Store) -> None:
        session = bury(store, 1)
        (found,) = read(store)

        def remove_too() -> Transaction:
            transaction = store.open("ledger", "other").transaction()
            with suppress(TransientStoreError):  # here, or at the commit
                transaction.remove(found)
            return transaction

        with ThreadPoolExecutor(1) as elsewhere, session.transaction() as first:
            first.remove(found)
            self.write(store, first.session, "first")
            second = elsewhere.submit(remove_too).result()
            first.commit()
            assert elsewhere.submit(committed, second).result() is False

        assert read(store) == []
        assert self.read(store) == ["first"]

    def test_a_letter_that_failed_again_has_one_attempt_more_and_the_new_error(
        self, store: Store
    ) -> None:
        session = bury(store, 1)
        (found,) = read(store)

        session.note_failure(found, KeyError("tea"))

        (after,) = read(store)
        assert (after.id, after.record) == (found.id, found.record)
        assert (after.attempts, after.failure.type) == (found.attempts + 1, "builtins.KeyError")
        session.remove(found)
        session.note_failure(found, KeyError("tea"))
        assert read(store) == []

    @pytest.mark.requirement("N15")
    @needs(Capability.QUARANTINE)
    def test_a_claim_tells_the_keys_that_are_in_quarantine(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0, RETURNS: 0})
        with session.transaction() as transaction:
            transaction.bury([letter(1, Hold.BEGINS), letter(3, Hold.WAITS)])

        claims = store.open("ledger", "second").claim([ORDERS, RETURNS], {})

        assert claims.positions[ORDERS].quarantined == {KEY.key}
        assert claims.positions[RETURNS].quarantined == frozenset()

    @pytest.mark.requirement("N15")
    @needs(Capability.QUARANTINE)
    def test_a_quarantine_is_rolled_back_with_its_letter(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})
        transaction = session.transaction()
        transaction.bury([letter(1, Hold.BEGINS)])
        transaction.abort()

        assert session.claim([ORDERS], {}).positions[ORDERS].quarantined == frozenset()

    @pytest.mark.requirement("N15")
    @needs(Capability.QUARANTINE)
    def test_nothing_can_wait_for_a_key_that_is_free(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})

        with pytest.raises(QuarantineLifted) as lifted, session.transaction() as transaction:
            transaction.bury([letter(3, Hold.WAITS)])

        assert lifted.value.keys == (KEY,)
        assert read(store) == []

    @pytest.mark.requirement("N15")
    @needs(Capability.QUARANTINE)
    def test_outside_of_a_transaction_no_letter_holds_its_key(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})

        session.bury([letter(1, Hold.BEGINS), letter(3, Hold.WAITS)])

        assert [found.offset for found in read(store)] == [1, 3]
        assert session.claim([ORDERS], {}).positions[ORDERS].quarantined == frozenset()

    @pytest.mark.requirement("N15")
    @needs(Capability.QUARANTINE)
    def test_a_quarantine_is_over_with_the_last_letter_of_its_key(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})
        with session.transaction() as transaction:
            transaction.bury([letter(1, Hold.BEGINS), letter(3, Hold.WAITS)])

        over = []
        for found in read(store):
            with session.transaction() as transaction:
                transaction.remove(found)
                over.append(transaction.lift(KEY))

        assert over == [False, True]
        assert session.claim([ORDERS], {}).positions[ORDERS].quarantined == frozenset()
        with session.transaction() as transaction:
            assert transaction.lift(KEY)

    @pytest.mark.requirement("N15")
    @needs(Capability.QUARANTINE, Capability.MANY_WRITERS)
    @pytest.mark.parametrize("hold", [Hold.WAITS, Hold.BEGINS])
    @pytest.mark.parametrize("first", ["the letter", "the release"])
    def test_of_a_letter_that_holds_its_key_and_a_release_at_once_one_commits(
        self, store: Store, first: str, hold: Hold
    ) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})
        releasing = store.open("ledger", "redrive")
        with session.transaction() as transaction:
            transaction.bury([letter(1, Hold.BEGINS)])
        (found,) = read(store)

        def park() -> Transaction:
            transaction = session.transaction()
            with suppress(TransientStoreError):  # here, or at the commit
                transaction.bury([letter(3, hold)])
            return transaction

        def release() -> Transaction:
            transaction = releasing.transaction()
            with suppress(TransientStoreError):
                transaction.remove(found)
                transaction.lift(KEY)
            return transaction

        # A transaction belongs to the thread that opened it.
        with ThreadPoolExecutor(1) as here, ThreadPoolExecutor(1) as there:
            steps = [(here, park), (there, release)]
            if first == "the release":
                steps.reverse()
            opened = [(thread, thread.submit(step).result()) for thread, step in steps]
            outcomes = [thread.submit(committed, each).result() for thread, each in opened]

        assert sorted(outcomes) == [False, True]
        waiting = [found.offset for found in read(store)]
        held = session.claim([ORDERS], {}).positions[ORDERS].quarantined
        assert (waiting, held) in [([1, 3], {KEY.key}), ([], frozenset())]


def committed(transaction: Transaction) -> bool:
    """Commit; return whether that went well."""
    try:
        transaction.commit()
    except TransientStoreError:
        transaction.abort()
        return False
    return True


def read(store: Store, **which: object) -> list[Letter]:
    """Return the letters of the group "ledger" that everybody can see."""
    return list(store.letters(Selection("ledger", **which), None, 100))  # type: ignore[arg-type]  # names of fields


def bury(store: Store, offset: int, partition: TopicPartition = ORDERS) -> StoreSession:
    """Bury a letter; return the session."""
    session = store.open("ledger", "burier")
    session.bury([letter(offset, partition=partition)])
    return session


def letter(offset: int, hold: Hold = Hold.NONE, partition: TopicPartition = ORDERS) -> DeadLetter:
    """Return a dead letter with the key ``KEY``."""
    message = Message(Record(*partition, offset, b"?", KEY.key), b"?")
    return DeadLetter(message, ValueError("bad"), 0 if hold is Hold.WAITS else 3, hold)
