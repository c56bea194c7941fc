"""Parsers for values of options, with errors in plain words."""

import math
from datetime import UTC, datetime, timedelta

import typer

from messaging.common.errors import InvalidInput
from messaging.common.suggestions import did_you_mean
from messaging.sending.message_status import MessageStatus
from messaging.times.durations import parse_duration

__all__ = ["read_count", "read_duration", "read_seconds", "read_since", "read_status"]


def read_seconds(text: str) -> float:
    """A number of seconds. Raises BadParameter."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise typer.BadParameter(f"{text!r} is not a number of seconds, write e.g. 5 or 0.2")
    return seconds


def read_count(text: str) -> int:
    """A whole number. Raises BadParameter."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number, write e.g. 100") from None


def read_duration(text: str | timedelta) -> timedelta:
    """A length of time, such as 10m. Raises BadParameter."""
    if isinstance(text, timedelta):  # a default
        return text
    try:
        return parse_duration(text)
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from error


def read_status(text: str) -> MessageStatus:
    """A status of a message. Raises BadParameter."""
    statuses = [status.value for status in MessageStatus]
    if text.lower() not in statuses:
        raise typer.BadParameter(f"{text!r} is no status of a message: {did_you_mean(text, statuses)}")
    return MessageStatus(text.lower())


def read_since(text: str) -> datetime:
    """A moment: so long ago (2d, 3h), or a date, or a date and a time, both in UTC. Raises BadParameter."""
    try:
        return datetime.now(UTC) - parse_duration(text)
    except InvalidInput:
        pass
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no moment: write how long ago, e.g. 2d or 3h, or a date, e.g. 2035-11-23 or '2035-11-23 10:00' (UTC)"
        ) from None
