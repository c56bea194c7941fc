"""Sets up the worker's log."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from temporalio import activity, workflow

from messaging.common.log_context import MESSAGE
from runtime.logs.discretion import error_words, mask, mask_foreign, traceback_words
from runtime.logs.outages import LeaveOutNoise
from runtime.process import tell
from runtime.settings import CHECKOUT, Settings

__all__ = ["complain", "set_up_logs"]

OUR_PACKAGES = frozenset(
    ("drumbeat", *(path.name for path in CHECKOUT.iterdir() if (path / "__init__.py").exists()))
)
"""The first parts of the names of our own loggers. What others log is masked more strictly."""

_FATAL = logging.getLogger("drumbeat")


def set_up_logs(settings: Settings) -> None:
    """All of this process goes to standard error from now on, one line for each event; in text, tracebacks follow."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text())
    handler.addFilter(LeaveOutNoise())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Below this level, it logs inputs and results of workflows: names and texts.
    logging.getLogger("temporalio").setLevel(max(level, logging.INFO))
    # The same details as the line has anyway, and the phone in the workflow's ID.
    for adapter in (activity.logger, workflow.logger):
        if isinstance(adapter, activity.LoggerAdapter):
            adapter.activity_info_on_message = False
        else:
            adapter.workflow_info_on_message = False
    logging.captureWarnings(True)


def complain(line: str) -> None:
    """The last line of a process that fails: in JSON, if the log is; else as a command says it."""
    if any(isinstance(handler.formatter, _Json) for handler in logging.getLogger().handlers):
        _FATAL.critical("%s", line)
    else:
        tell(mask(line))


def _line(record: logging.LogRecord) -> str:
    """What the line says. Errors among its arguments are put in words first."""
    ours = record.name.partition(".")[0] in OUR_PACKAGES
    if isinstance(record.args, tuple) and any(isinstance(one, BaseException) for one in record.args):
        arguments = tuple(error_words(one) if isinstance(one, BaseException) else one for one in record.args)
        text = str(record.msg) % arguments
    else:
        text = record.getMessage()
    # What Temporal's core says quotes its own words only.
    return mask(text) if ours or hasattr(record, "temporal_log") else mask_foreign(text)


def _about(record: logging.LogRecord) -> dict[str, Any]:
    """The workflow, the activity and the message that the line is about, as far as that is known."""
    about: dict[str, Any] = {}
    details = getattr(record, "temporal_activity", None) or getattr(record, "temporal_workflow", None)
    if isinstance(details, dict):
        about["workflow_id"] = details.get("workflow_id")
        about["activity"] = details.get("activity_type")
        about["attempt"] = details.get("attempt")
    elif activity.in_activity():
        info = activity.info()
        about = {"workflow_id": info.workflow_id, "activity": info.activity_type, "attempt": info.attempt}
    elif workflow.in_workflow():
        about["workflow_id"] = workflow.info().workflow_id
    if about.get("workflow_id"):
        *parts, last = str(about["workflow_id"]).split(":")
        about["workflow_id"] = ":".join((*parts, mask(last) if last.startswith("+") else last))
    message = MESSAGE.get()
    if message is not None:
        about["message_id"] = str(message)
    elif str(about.get("workflow_id", "")).startswith("message:"):
        about["message_id"] = about["workflow_id"].removeprefix("message:")
    return {name: value for name, value in about.items() if value is not None}


def _traceback(record: logging.LogRecord) -> str | None:
    error = record.exc_info[1] if record.exc_info else None
    return None if error is None else traceback_words(error)


class _Text(logging.Formatter):
    """``2026-11-30 12:00:00,000 WARNING webhooks.endpoint: words [workflow_id=… message_id=…]``."""

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        about = " ".join(f"{name}={value}" for name, value in _about(record).items())
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {_line(record)}"
        parts = (f"{line} [{about}]" if about else line, _traceback(record))
        return "\n".join(part for part in parts if part)


class _Json(logging.Formatter):
    """One JSON object for each line."""

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        error = record.exc_info[1] if record.exc_info else None
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _line(record),
            **_about(record),
            "error": None if error is None else f"{type(error).__name__}: {error_words(error)}",
            "traceback": _traceback(record),
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None})
