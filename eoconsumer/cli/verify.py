"""`eoconsumer verify`: compare what a topic holds with what was applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from eoconsumer.cli import FOUND
from eoconsumer.cli.arguments import Bootstrap, StoreUrl
from eoconsumer.cli.exits import complain
from eoconsumer.cli.subject import GroupName, TargetName, subject
from eoconsumer.errors import ConfigurationError

if TYPE_CHECKING:
    from eoconsumer.core.verify import Verdict

#: How many findings of a kind are shown.
SHOWN = 20
_FIELD = "Column, or dotted name of the field, with the {} of the message."
_MEANING = {
    "applied": "have their effect",
    "buried": "are dead letters",
    "passed": "passed the handler by: skipped, or their dead letter was dropped",
    "not_yet": "are not applied yet, from the stored position on",
    "lost": "have no effect",
    "doubled": "were applied more than once",
    "out_of_order": "were applied before the message that stands before them",
    "unknown": "have an effect, and are not in the topic",
}


def verify(
    target: TargetName = None,
    group: GroupName = None,
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", help="TOPIC, or TOPIC:0,1; without, all topics of the group."),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option("--from", min=0, help="From this offset on; else where the log starts."),
    ] = None,
    upto: Annotated[
        int | None,
        typer.Option("--to", min=0, help="Up to this offset; else to the stored position."),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(help="Collection or table of your rows; else the applied-log is believed."),
    ] = None,
    topic_field: Annotated[str, typer.Option(help=_FIELD.format("topic"))] = "topic",
    partition_field: Annotated[str, typer.Option(help=_FIELD.format("partition"))] = "partition",
    offset_field: Annotated[str, typer.Option(help=_FIELD.format("offset"))] = "offset",
    line_field: Annotated[
        str | None, typer.Option(help="What tells the rows of one message apart.")
    ] = None,
    order_field: Annotated[
        str | None, typer.Option(help="What grows from one message to the next, as a time.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All that was found, as JSON.")] = False,
    bootstrap: Bootstrap = None,
    store: StoreUrl = None,
) -> None:
    """Compare a topic with what was applied: lost, doubled, out of order; exit 3 if there is any.

    The topic itself is read, up to the stored positions of the group. What was applied is told by
    your own rows, where they name topic, partition and offset of their message (--collection), or
    by the applied-log of a consumer with applied_log=True. Dead letters are not lost.
    """
    from eoconsumer.cli.witness import Bounds, Witness
    from eoconsumer.core.verify import Marker, Verdict

    marker = None
    if collection is not None:
        fields = (topic_field, partition_field, offset_field, line_field, order_field)
        marker = Marker(collection, *fields)
    verdict = Verdict(keep=None if as_json else SHOWN)
    with subject(target, bootstrap, store, group) as about:
        witness = Witness(about, marker)
        partitions = witness.compare(verdict, topic, Bounds(first, upto))
        name = about.group
    if verdict.counts["lost"] and not verdict.counts["applied"]:
        _doubt(marker is None)
    if as_json:
        _print_json(name, verdict)
    else:
        _print(name, partitions, verdict)
    if not verdict.right:
        raise typer.Exit(FOUND)


def _doubt(from_log: bool) -> None:
    """Say that the question may be wrong where nothing at all was applied."""
    if from_log:
        raise ConfigurationError(
            "The applied-log has nothing of these messages; nothing was compared. It is written by "
            "a consumer with applied_log=True, from then on: see --from. To compare your own rows, "
            "give --collection."
        )
    complain("no row names any of these messages. Check --collection and the names of the fields")


def _print(group: str, partitions: int, verdict: Verdict) -> None:
    from eoconsumer.core.verify import KINDS

    typer.echo(f"group {group}, {partitions} partitions\n")
    for kind, meaning in _MEANING.items():
        typer.echo(f"{kind.replace('_', ' '):12}  {verdict.counts[kind]:>9}  {meaning}")
    for kind in KINDS:
        findings = verdict.findings[kind]
        if findings:
            typer.echo(f"\n{kind.replace('_', ' ')}")
        for finding in findings:
            typer.echo(f"  {finding.partition}@{finding.offset}  {finding.detail}".rstrip())
        more = verdict.counts[kind] - len(findings)
        if more:
            typer.echo(f"  and {more} more: --json has them all")
    typer.echo("\nright" if verdict.right else "\nWRONG")


def _print_json(group: str, verdict: Verdict) -> None:
    found = {
        kind: [
            {"topic": f.partition.topic, "partition": f.partition.partition, "offset": f.offset}
            | ({"detail": f.detail} if f.detail else {})
            for f in findings
        ]
        for kind, findings in verdict.findings.items()
    }
    counts = {kind: verdict.counts[kind] for kind in _MEANING}
    told = {"group": group, "right": verdict.right, "counts": counts, "findings": found}
    typer.echo(json.dumps(told, indent=2))
