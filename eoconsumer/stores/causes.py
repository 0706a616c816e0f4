"""What stores have in common when they tell what an error of a driver means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from eoconsumer.errors import TransientStoreError


def causes(
    error: BaseException, within: Callable[[BaseException], Iterable[BaseException]] = lambda _: ()
) -> Iterator[BaseException]:
    """Yield ``error`` and all that caused it; ``within`` tells which others an error holds."""
    seen: set[int] = set()
    links = [error]
    while links:
        link = links.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        context = None if link.__suppress_context__ else link.__context__
        links += [each for each in (link.__cause__, context) if each is not None]
        links += within(link)


def asks_again(error: BaseException, said: str) -> TransientStoreError:
    """Return the error that asks for another try because of ``error``, of which ``said`` tells."""
    answer = TransientStoreError(
        f"The database asks for another try; nothing was committed. It said: {said}"
    )
    answer.__cause__ = error
    return answer
