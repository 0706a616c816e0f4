"""The settings of a consumer, checked as a whole before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from eoconsumer.core.lanes import MOST_LANES
from eoconsumer.core.modes import Mode
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.core.settings import OnDataLoss, OnIdentityChange, OnPoison, Positions, Settings
from eoconsumer.errors import ConfigurationError

#: What ``start`` may be, if it is no moment.
Word = Literal["earliest", "latest", "error", "group"]
WORDS = get_args(Word)
#: Characters of a group's name: the column of SQL databases has so many.
MOST_GROUP = 255


class Config(BaseModel):
    """All settings of a ``Consumer`` but its handlers; see there for their meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    bootstrap_servers: str = Field(min_length=1)
    group: str = Field(min_length=1)
    mode: Mode = Mode.EXACTLY_ONCE
    start: Word | int = "earliest"
    batch_size: int = Field(10_000, ge=1)
    batch_bytes: int = Field(16 * 1024 * 1024, ge=1)
    max_partitions: int | None = Field(None, ge=1)
    readers: int = Field(2, ge=1)
    lanes: int = Field(0, ge=0, le=MOST_LANES)
    retry: RetryPolicy = RetryPolicy()
    on_poison: OnPoison = "stop"
    restart: RetryPolicy = RetryPolicy(attempts=10, minimum=0.5, maximum=30.0)
    commit_batch: int = Field(1_000, ge=1)
    commit_interval: float = Field(1.0, ge=0)
    positions: Positions = "store"
    applied_log: bool = False
    on_identity_change: OnIdentityChange = "stop"
    on_data_loss: OnDataLoss = "stop"
    identity_interval: float = Field(5.0, gt=0)
    mirror: bool = True
    kafka: Mapping[str, Any] = Field({}, repr=False)  # may hold passwords

    @field_validator("group")
    @classmethod
    def _group(cls, value: str) -> str:
        """Refuse names that a database, or librdkafka, takes for those of other groups."""
        if value != value.strip():
            raise ValueError("it begins or ends with a blank, which some databases do not see")
        if "\0" in value:
            raise ValueError("it has a NUL, at which librdkafka cuts it")
        if len(value) > MOST_GROUP:
            raise ValueError(f"it has more than {MOST_GROUP} characters")
        return value

    @field_validator("start", mode="before")
    @classmethod
    def _moment(cls, value: object) -> object:
        """Take a moment as milliseconds since the epoch."""
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError("a start without a time zone could be any of 24 moments")
            return int(value.timestamp() * 1000)
        if value in WORDS or (type(value) is int and 0 <= value < 2**63):
            return value
        raise ValueError(
            f"{value!r} is no start; give {', '.join(map(repr, WORDS))}, a datetime with a time "
            "zone, or milliseconds since the epoch"
        )

    @model_validator(mode="after")
    def _together(self) -> Config:
        if self.positions == "kafka" and self.mode is Mode.EXACTLY_ONCE:
            raise ValueError(
                'positions="kafka" cannot be exactly-once: an offset in Kafka is not in the '
                'database\'s transaction; use positions="store", or another mode'
            )
        if self.lanes:
            self._with_lanes()
        if self.on_poison == "quarantine" and self.mode is not Mode.EXACTLY_ONCE:
            raise ValueError(
                'on_poison="quarantine" needs mode="exactly_once": the messages that wait are '
                'written in the transaction of the offset; use on_poison="bury", or that mode'
            )
        return self

    def _with_lanes(self) -> None:
        """Refuse what cannot be kept where one partition is handled in lanes."""
        if self.positions == "kafka":
            raise ValueError(
                'lanes= needs positions="store": each lane has a position of its own, and Kafka\'s '
                "group has room for one in each partition; use that, or lanes=0"
            )
        if self.max_partitions is not None:
            raise ValueError(
                "lanes= and max_partitions= exclude each other: each lane works on the partitions "
                "that its messages come from; use readers= and lanes= to bound the work"
            )
        if self.applied_log:
            raise ValueError(
                "lanes= and applied_log=True exclude each other: the log tells one order for each "
                "partition, and lanes have one for each key; use lanes=0, or verify your own rows"
            )
        if self.mode is not Mode.EXACTLY_ONCE and self.commit_batch < self.lanes:
            raise ValueError(
                f"commit_batch={self.commit_batch} cannot be shared by {self.lanes} lanes: each "
                "has a message in hand; use a larger one, or fewer lanes"
            )

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Config:
        """Return the settings; raises ``ConfigurationError`` naming each wrong one."""
        try:
            return cls(**values)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            wrong = "; ".join(": ".join((*map(str, e["loc"]), _said(e))) for e in errors)
            raise ConfigurationError(f"{wrong}. Nothing was consumed.") from None

    @property
    def reader_count(self) -> int:
        """How many readers there are: never more than there may be partitions or open messages.

        ``commit_batch`` bounds the messages that a kill repeats in the whole process, so its
        share for each reader must be one at least.
        """
        bounds = [self.readers]
        if self.max_partitions is not None:
            bounds.append(self.max_partitions)
        if self.mode is not Mode.EXACTLY_ONCE:
            bounds.append(self.commit_batch // max(1, self.lanes))
        return min(bounds)

    def of_reader(self, number: int) -> Settings:
        """Return the share of reader ``number`` (from 0)."""
        readers = self.reader_count
        partitions = self.max_partitions
        return Settings(
            group=self.group,
            mode=self.mode,
            start=self.start,
            batch_size=self.batch_size,
            batch_bytes=self.batch_bytes,
            max_partitions=partitions and partitions // readers + (number < partitions % readers),
            retry=self.retry,
            on_poison=self.on_poison,
            commit_batch=self.commit_batch // readers,
            commit_interval=self.commit_interval,
            positions=self.positions,
            applied_log=self.applied_log,
            on_identity_change=self.on_identity_change,
            on_data_loss=self.on_data_loss,
            identity_interval=self.identity_interval,
            mirror=self.mirror,
        )

    def of_lane(self, number: int) -> Settings:
        """Return the share of each lane of reader ``number``."""
        whole = self.of_reader(number)
        return replace(whole, commit_batch=max(1, whole.commit_batch // self.lanes))


def _said(error: ErrorDetails) -> str:
    if error["type"] == "string_too_short":
        return "it is missing or empty"
    return error["msg"].removeprefix("Value error, ")  # pydantic's words before our own
