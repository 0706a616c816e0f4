"""`eoconsumer offsets`: look at the positions of a group, and move them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from eoconsumer.cli import FAILED
from eoconsumer.cli.arguments import Bootstrap, StoreUrl
from eoconsumer.cli.exits import complain, reported
from eoconsumer.cli.offsets.view import figures, show_plan, show_standings
from eoconsumer.cli.subject import GroupName, TargetName, subject
from eoconsumer.errors import BrokerError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eoconsumer.cli.offsets.goals import Goal, Offsets
    from eoconsumer.cli.offsets.group import Group, Standing

offsets = typer.Typer(
    help="The positions of a group: look at them, and move them.", no_args_is_help=True
)

#: Spreadsheets begin a file with a byte order mark.
UTF8 = "utf-8-sig"

Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="TOPIC, or TOPIC:0,1 for partitions of it.")
]
Execute = Annotated[bool, typer.Option("--execute", help="Do it; without, it is only shown.")]
Fence = Annotated[
    bool,
    typer.Option("--fence", help="Do it although the group is live: its consumers are fenced."),
]


@offsets.command("list")
@reported
def list_(
    target: TargetName = None,
    group: GroupName = None,
    topic: Topics = None,
    bootstrap: Bootstrap = None,
    store: StoreUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Show the position of each partition, its owner, its lag, and what Kafka's group shows."""
    with _opened(target, bootstrap, store, group) as found:
        standings = found.standings(found.chosen(topic) if topic else None)
        members = found.kafka.members()
    if as_json:
        partitions = [figures(each) for each in standings]
        told = {"group": found.name, "members": members, "partitions": partitions}
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(f"group {found.name}: {members} members\n")
    show_standings(standings)


@offsets.command()
@reported
def reset(
    target: TargetName = None,
    group: GroupName = None,
    topic: Topics = None,
    all_topics: Annotated[
        bool, typer.Option("--all-topics", help="All topics that the group knows.")
    ] = False,
    to_earliest: Annotated[
        bool, typer.Option("--to-earliest", help="To the first message of the log.")
    ] = False,
    to_latest: Annotated[
        bool, typer.Option("--to-latest", help="Behind the last message.")
    ] = False,
    to_offset: Annotated[int | None, typer.Option(help="To this offset.")] = None,
    to_datetime: Annotated[
        str | None,
        typer.Option(help="To the first message from then on: 2026-01-31T08:00:00.000."),
    ] = None,
    by_duration: Annotated[
        str | None, typer.Option(help="To the first message of the time until now: P1DT2H30M.")
    ] = None,
    shift_by: Annotated[int | None, typer.Option(help="So many offsets on, or back (-5).")] = None,
    from_file: Annotated[
        typer.FileText | None,
        typer.Option(help="To those of a CSV file: topic,partition,offset.", encoding=UTF8),
    ] = None,
    execute: Execute = False,
    fence: Fence = False,
    bootstrap: Bootstrap = None,
    store: StoreUrl = None,
) -> None:
    """Move positions, with the words of kafka-consumer-groups; only shown without --execute.

    Refused while the group has members (exit 1). With --fence it is done all the same: the next
    write of the consumers is refused, and they go on from the new positions.
    """
    from eoconsumer.cli.offsets import goals

    asked: list[Goal] = []
    if to_earliest:
        asked.append(goals.earliest)
    if to_latest:
        asked.append(goals.latest)
    if to_offset is not None:
        asked.append(goals.exactly(to_offset))
    if to_datetime is not None:
        asked.append(goals.since(goals.moment(to_datetime)))
    if by_duration is not None:
        asked.append(goals.since(goals.ago(by_duration)))
    if shift_by is not None:
        asked.append(goals.shifted(shift_by))
    if len(asked) + (from_file is not None) != 1:
        raise ConfigurationError(
            "Where to? Give exactly one of --to-earliest, --to-latest, --to-offset, --to-datetime, "
            "--by-duration, --shift-by and --from-file. Nothing was changed."
        )
    if bool(topic) + all_topics + (from_file is not None) != 1:
        raise ConfigurationError(
            "Which partitions? Give --topic (once or more) or --all-topics, or a file that names "
            "them. Nothing was changed."
        )
    with _opened(target, bootstrap, store, group) as found:
        if from_file is not None:
            _import(found, from_file, execute, fence)
        else:
            standings = found.standings(found.chosen(topic) if topic else None)
            _move(found, standings, asked[0], execute, fence)


@offsets.command()
@reported
def export(
    target: TargetName = None,
    group: GroupName = None,
    topic: Topics = None,
    bootstrap: Bootstrap = None,
    store: StoreUrl = None,
) -> None:
    """Print the positions as CSV: topic,partition,offset, which Kafka's own tool takes as well."""
    with _opened(target, bootstrap, store, group) as found:
        standings = found.standings(found.chosen(topic) if topic else None)
    rows = [(*each.partition, each.position) for each in standings if each.position is not None]
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows)


@offsets.command("import")
@reported
def import_(
    from_file: Annotated[
        typer.FileText,
        typer.Option(help="A CSV file: topic,partition,offset; - for the input.", encoding=UTF8),
    ],
    target: TargetName = None,
    group: GroupName = None,
    execute: Execute = False,
    fence: Fence = False,
    bootstrap: Bootstrap = None,
    store: StoreUrl = None,
) -> None:
    """Set positions to those of a file that `export`, or Kafka's own tool, has written.

    The same as `reset --from-file`.
    """
    with _opened(target, bootstrap, store, group) as found:
        _import(found, from_file, execute, fence)


@contextmanager
def _opened(
    target: str | None, bootstrap: str | None, store: str | None, group: str | None
) -> Iterator[Group]:
    from eoconsumer.cli.offsets.group import Group

    with subject(target, bootstrap, store, group) as about:
        yield Group(about)


def _import(group: Group, lines: Iterable[str], execute: bool, fence: bool) -> None:
    from eoconsumer.cli.offsets import goals

    wanted = goals.read_csv(lines)
    group.chosen(f"{key.topic}:{key.partition}" for key in wanted)
    _move(group, group.standings(sorted(wanted)), goals.listed(wanted), execute, fence)


def _move(
    group: Group, standings: Sequence[Standing], goal: Goal, execute: bool, fence: bool
) -> None:
    """Show what is to happen, and let it happen if it was asked for and may be done."""
    from eoconsumer.cli.offsets.goals import within_the_log

    there = [each for each in standings if each.end is not None]
    for gone in [each for each in standings if each.end is None]:
        complain(f"{gone.partition} does not exist any more and is left alone")
    if not there:
        raise ConfigurationError(
            f"The group {group.name} has no position here in a topic that exists; nothing was "
            "changed. Check --group and --store, or name partitions with --topic."
        )
    wanted, said = within_the_log(there, goal(group.kafka, there))
    for warning in said:
        complain(warning)
    show_plan(there, wanted)
    members = group.kafka.members()
    refused = _refused(group, there, members, fence)
    if refused and execute:
        complain(refused)
        raise typer.Exit(FAILED)
    if not execute:
        typer.echo("\nonly shown; nothing was changed. To do it, add --execute")
        if refused:
            complain(f"and it would be refused at present. {refused}")
        return
    group.move(there, wanted)
    typer.echo(f"\n{len(wanted)} positions stored")
    if not members:
        _mirror(group, wanted)


def _refused(group: Group, standings: Sequence[Standing], members: int, fence: bool) -> str:
    """Return why positions must not be moved now; nothing where they may."""
    if members and not fence:
        return (
            f"The group {group.name} is live: it has {members} members; nothing was changed. Stop "
            "its consumers, or add --fence: their next write is refused then, and they go on from "
            "the new positions."
        )
    in_kafka = [str(e.partition) for e in standings if e.handed_over]
    if members and in_kafka:
        return (
            f'The positions of {", ".join(in_kafka)} are in Kafka (positions="kafka"), where '
            "nothing fences a consumer; nothing was changed. Stop the consumers of the group."
        )
    return ""


def _mirror(group: Group, positions: Offsets) -> None:
    """Show the positions to Kafka's group; the next claim would do it, too."""
    try:
        group.kafka.commit(positions)
    except BrokerError as error:
        complain(f"the offsets in Kafka's group still show what was before. {error}")
