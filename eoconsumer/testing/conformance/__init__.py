"""What every store must do, as tests: subclass ``StoreConformance`` and give it a store.

::

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self): ...            # empty, set up, closed afterwards

        def write(self, store, session, text): ...      # what a handler would write
        def read(self, store): ...                      # the texts that are visible

What a store may leave out, it declares in ``capabilities`` (``eoconsumer.core.capabilities``; one
that declares nothing does everything). Tests of what it does not do are skipped, and the report
says why (``pytest -rs``). Of what it does, they have to know more::

        def writes(self, store, texts): ...     # WRITES: what a handler would return, for each text
        def bad_write(self, store): ...         # WRITES: one that is refused, or None
        def letters(self, store): ...           # LETTERS: the offsets of visible dead letters

For a store of asyncio subclass ``AsyncStoreConformance``, which has a fixture ``loop``::

    class TestMyStore(AsyncStoreConformance):
        @pytest.fixture
        def async_store(self, loop): ...    # the same; loop.run(coroutine) awaits what it needs

        async def write_async(self, store, session, text): ...
        async def read_async(self, store): ...
        async def letters_async(self, store): ...           # LETTERS

Three more methods may be left out; what needs them is skipped then, with the same effect::

        def commit_answers_lost(self, store): ...           # a block in which answers are lost
        def swallow_an_error(self, store, session): ...     # a handler that swallows an error
        def end_the_transaction(self, store, session): ...  # a handler that commits

A class may also deny, with ``ends_former_owner = False`` and ``many_writers = False``, what its
store does not declare.
"""

from __future__ import annotations

from eoconsumer.testing.conformance.advances import AdvanceConformance
from eoconsumer.testing.conformance.applied import AppliedConformance
from eoconsumer.testing.conformance.claims import ClaimConformance
from eoconsumer.testing.conformance.commits import CommitConformance
from eoconsumer.testing.conformance.lanes import LaneConformance
from eoconsumer.testing.conformance.letters import LetterConformance
from eoconsumer.testing.conformance.on_a_loop import AsyncContract
from eoconsumer.testing.conformance.owners import OwnerConformance
from eoconsumer.testing.conformance.transactions import TransactionConformance
from eoconsumer.testing.conformance.upkeep import UpkeepConformance
from eoconsumer.testing.conformance.writes import WriteConformance


class StoreConformance(
    ClaimConformance,
    AdvanceConformance,
    TransactionConformance,
    WriteConformance,
    CommitConformance,
    OwnerConformance,
    LetterConformance,
    AppliedConformance,
    UpkeepConformance,
    LaneConformance,
):
    """The guarantees of a store, one test each. Only the contract is used, never the database."""


class AsyncStoreConformance(AsyncContract, StoreConformance):
    """The same guarantees, of a store that is awaited."""


__all__ = ["AsyncStoreConformance", "StoreConformance"]
