"""From one integer to the whole schedule: which fault comes when, to whom, and with what.

Four lanes run side by side: workers, database, Kafka, and a topic of its own that is destroyed.
Faults of one lane come one after the other; those that would make any other meaningless (a killed
broker, a killed primary) take all lanes. A plan is made of blocks of three minutes. Each block
holds every kind of its store at least once. A run goes through the three protocols of consumer
groups, KIP-848 last: when a group has gone back from it, a broker that restarts may be unable to
load the group, and then nobody can join it any more (seen on 4.1; KAFKA-21117).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from typing import Any

BLOCK = 180.0  # seconds
PROTOCOLS = ("cooperative-sticky", "range", "consumer")
LANES = ("workers", "database", "kafka", "side")
STORES = ("mongodb", "postgresql", "mariadb", "sqlite")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: its lanes, how often it comes in a block, and how long it takes (s)."""

    lanes: tuple[str, ...]
    times: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the plan; ``at`` is in seconds from the start of the run."""

    number: int
    at: float
    kind: str
    target: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)

    def as_line(self) -> dict[str, Any]:
        return asdict(self)


WORKERS, DATABASE, KAFKA, SIDE = (("workers",), ("database",), ("kafka",), ("side",))

KINDS: dict[str, Kind] = {
    # workers
    "kill": Kind(WORKERS, 2, 5),
    "kill in the handler": Kind(WORKERS, 2, 5),
    "kill after the offset write": Kind(WORKERS, 2, 5),
    "kill before the commit's reply": Kind(WORKERS, 2, 5),
    "kill after the commit": Kind(WORKERS, 2, 5),
    "zombie": Kind(WORKERS, 5, 7),
    "terminate": Kind(WORKERS, 1, 3),
    "churn": Kind(WORKERS, 3, 3),
    "clock jump": Kind(WORKERS, 1, 1),
    # the database
    "step-down": Kind(DATABASE, 2, 5),
    "no majority": Kind(DATABASE, 1, 5),
    "transient error": Kind(DATABASE, 4, 2),
    "unknown commit": Kind(DATABASE, 4, 2),
    "write conflict": Kind(DATABASE, 2, 3),
    "lost commit reply": Kind(DATABASE, 4, 3),
    "replies dropped": Kind(DATABASE, 1, 4),
    "requests dropped": Kind(DATABASE, 1, 4),
    "connection reset": Kind(DATABASE, 3, 2),
    # Kafka and its messages
    "poison": Kind(KAFKA, 2, 2),
    "tombstones": Kind(KAFKA, 1, 2),
    "aborted transactions": Kind(KAFKA, 2, 2),
    "open transaction": Kind(KAFKA, 1, 4),
    "partitions added": Kind(KAFKA, 1, 6),
    # a topic of its own, which is destroyed
    "topic re-created": Kind(SIDE, 1, 12),
    "topic re-created under a worker": Kind(SIDE, 1, 12),
    "retention passes the position": Kind(SIDE, 1, 12),
    # alone
    "primary kill": Kind(LANES, 1, 10),
    "primary pause": Kind(LANES, 1, 14),
    "server restart": Kind(LANES, 2, 8),
    "broker kill": Kind(LANES, 1, 14),
    "broker pause": Kind(LANES, 1, 8),
    "protocol": Kind(LANES, 0, 5),  # once at the start of each phase but the first
}

MONGODB, SERVERS, SQL = STORES[:1], STORES[1:3], STORES[1:]
#: The stores of the kinds that not all stores have. SQLite has no server, and no way to it. For SQL
#: there is no topic that is destroyed: what is done then is not the store's business.
STORES_OF: dict[str, tuple[str, ...]] = {
    "kill before the commit's reply": (*MONGODB, *SERVERS),
    "kill after the commit": SQL,
    **dict.fromkeys(("lost commit reply", "server restart"), SERVERS),
    **dict.fromkeys(
        ("replies dropped", "requests dropped", "connection reset"), (*MONGODB, *SERVERS)
    ),
    **dict.fromkeys(("step-down", "no majority", "primary kill", "primary pause"), MONGODB),
    **dict.fromkeys(("transient error", "unknown commit", "write conflict"), MONGODB),
    **{kind: MONGODB for kind, its in KINDS.items() if its.lanes == SIDE},
}

#: Where a worker is stopped in its tracks.
STOP_POINTS = ("handling", "written", "advancing", "advanced")
#: Outside of a transaction: nobody can end the only writer that SQLite has.
SQLITE_STOP_POINTS = ("committed",)
#: Added partitions stay for the rest of the run: not in every block of a long one.
BLOCKS_PER_PARTITION = 4


def kinds_of(store: str) -> dict[str, Kind]:
    """Return the kinds of fault that a run on this store has."""
    return {kind: its for kind, its in KINDS.items() if store in STORES_OF.get(kind, STORES)}


def make_plan(
    seed: int,
    minutes: float,
    kinds: Sequence[str] = (),
    workers: int = 3,
    store: str = STORES[0],
) -> list[Fault]:
    """Return the faults of a run, by time; the same for the same arguments.

    ``kinds``: only these, again and again; else all of the store, in whole blocks.
    """
    chance = random.Random(seed)
    if kinds:
        return _only(kinds, minutes * 60, chance, workers, store)
    blocks = max(1, round(minutes * 60 / BLOCK))
    phases = len(PROTOCOLS)
    protocols = _protocols(blocks * phases, chance)
    faults: list[Fault] = []
    for block in range(blocks):
        deck = [kind for kind, its in kinds_of(store).items() for _ in range(its.times)]
        if block % BLOCKS_PER_PARTITION:
            deck.remove("partitions added")
        hands = _phases(deck, chance)
        _spare_the_broker(hands, protocols[block * phases :])
        for phase, kinds in enumerate(hands):
            begin = (block + phase / phases) * BLOCK
            for at, kind in _timed(kinds, chance, first=not faults):
                protocol = protocols[block * phases + phase]
                parameters = _parameters(kind, protocol, chance, store)
                target = chance.randrange(workers)
                faults.append(Fault(len(faults), round(begin + at, 2), kind, target, parameters))
    return sorted(faults, key=lambda fault: fault.at)


def first_protocol(plan: Iterable[Fault]) -> str:
    """Return the protocol that the workers start with."""
    named = (fault.parameters.get("protocol", "") for fault in plan)
    return next(filter(None, named), PROTOCOLS[0])


def _only(
    kinds: Sequence[str], seconds: float, chance: random.Random, workers: int, store: str
) -> list[Fault]:
    """Fill the time with these kinds, in turn, with one protocol."""
    protocol = chance.choice(PROTOCOLS)
    many = list(islice(cycle(kinds), int(seconds)))
    timed = [(at, kind) for at, kind in _placed(many, chance) if at < seconds]
    return [
        Fault(
            number,
            round(at, 2),
            kind,
            chance.randrange(workers),
            _parameters(kind, protocol, chance, store),
        )
        for number, (at, kind) in enumerate(sorted(timed))
    ]


def _protocols(phases: int, chance: random.Random) -> list[str]:
    """Return the protocol of each phase: the classic ones in turn, KIP-848 in the last third."""
    classic = list(PROTOCOLS[:-1])
    chance.shuffle(classic)
    until = phases - phases // len(PROTOCOLS)
    return [*islice(cycle(classic), until), *[PROTOCOLS[-1]] * (phases - until)]


def _phases(deck: list[str], chance: random.Random) -> list[list[str]]:
    """Deal the deck out to the phases: one churn to each, the rest by chance and evenly."""
    rest = [kind for kind in deck if kind != "churn"]
    chance.shuffle(rest)
    rest.sort(key=lambda kind: -len(KINDS[kind].lanes))  # those that take long are spread first
    hands: list[list[str]] = [["churn"] for _ in PROTOCOLS]
    for number, kind in enumerate(rest):
        hands[number % len(hands)].append(kind)
    for hand in hands:
        chance.shuffle(hand)
    return hands


def _spare_the_broker(hands: list[list[str]], protocols: Sequence[str]) -> None:
    """Kill the broker in a phase with a classic group, or pause it instead.

    A broker that is killed while a KIP-848 group is being rebalanced may come back with members
    that are gone and never time out, and gives their partitions to nobody (Kafka 4.1).
    """
    phases = list(zip(hands, protocols, strict=False))
    classic = [hand for hand, protocol in phases if protocol != PROTOCOLS[-1]]
    for hand, protocol in phases:
        if protocol == PROTOCOLS[-1] and "broker kill" in hand:
            hand.remove("broker kill")
            if classic:
                classic[0].append("broker kill")
            else:
                hand.append("broker pause")


def _timed(kinds: list[str], chance: random.Random, *, first: bool) -> Iterable[tuple[float, str]]:
    """Fit the faults of a phase into its time; a phase begins with its protocol."""
    placed = _placed(kinds if first else ["protocol", *kinds], chance)
    length = max(at + KINDS[kind].seconds for at, kind in placed)
    scale = min(1.0, BLOCK / len(PROTOCOLS) / length)
    return [(at * scale, kind) for at, kind in placed]


def _placed(kinds: Sequence[str], chance: random.Random) -> list[tuple[float, str]]:
    """Put faults one behind the other, each as soon as its lanes are free."""
    free = dict.fromkeys(LANES, 0.0)
    placed: list[tuple[float, str]] = []
    for kind in kinds:
        at = max(free[lane] for lane in KINDS[kind].lanes)
        placed.append((at, kind))
        length = KINDS[kind].seconds * chance.uniform(0.8, 1.2)
        for lane in KINDS[kind].lanes:
            free[lane] = at + length
    return placed


def _parameters(kind: str, protocol: str, chance: random.Random, store: str) -> dict[str, Any]:
    match kind:
        case "zombie":
            points = SQLITE_STOP_POINTS if store == "sqlite" else STOP_POINTS
            return {"point": chance.choice(points)}
        case "churn" | "protocol" | "broker pause":
            return {"protocol": protocol}
        case "clock jump":
            return {"seconds": chance.choice((-3600, 3600, 86400))}
        case "transient error":
            return {"command": chance.choice(("insert", "update", "commitTransaction"))}
        case "unknown commit":
            return {"how": chance.choice(("applied", "cut", "time limit"))}
        case "replies dropped" | "requests dropped":
            return {"seconds": round(chance.uniform(0.5, 2.5), 2)}
        case _:
            return {}
