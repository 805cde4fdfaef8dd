"""Log lines of structlog, and of every library that uses the standard library's logging.

JSON for machines, coloured columns for a person at a terminal; on stderr, since stdout is for results.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal, TextIO

import msgspec
import structlog

from streams.model.text import one_line, visible

LogFormat = Literal["auto", "json", "console"]
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

MOST_MESSAGES: Final = 1_000
"""How many distinct messages the flood gate remembers."""
_SHARED: Final[list[structlog.typing.Processor]] = [
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


class _Lines:
    """Writes lines to the stream it was made with, or to the process's stderr once that is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        target = self._stream if not self._stream.closed else sys.__stderr__
        if target is not None:
            target.write(text)

    def flush(self) -> None:
        if not self._stream.closed:
            self._stream.flush()

    def msg(self, line: str) -> None:
        """Write one line at once; a single write, so that lines of threads do not mix."""
        self.write(line + "\n")
        self.flush()

    debug = info = warning = error = msg


class BrokerSilence(logging.Filter):
    """Suppresses the Kafka client's messages about an absent broker; the stage reports that once itself.

    A suppressed message makes the stage check whether a broker answers (`take_suspicion`).
    """

    SAID: Final = (
        "Unable connect to",
        "Unable to request metadata",
        "Unable to update metadata",
        "Error sending ",
        "Failed fetch messages",
        "Got error produce response",
        "Group Coordinator Request failed",
        "Heartbeat failed",
        "Heartbeat send request failed",
        "Heartbeat session expired",
        "LeaveGroup request failed",
        "Marking the coordinator dead",
        "OffsetCommit failed before join",
        "Failed to commit on finallization",
    )
    _suspected: ClassVar[bool] = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line may pass."""
        if not record.name.startswith("aiokafka") or not str(record.msg).startswith(self.SAID):
            return True
        self.suspect()
        return False

    @classmethod
    def suspect(cls) -> None:
        """Make the stage check whether a broker answers."""
        cls._suspected = True

    @classmethod
    def take_suspicion(cls) -> bool:
        """Return whether anything was suppressed since the last call."""
        suspected, cls._suspected = cls._suspected, False
        return suspected


class FloodGate(logging.Filter):
    """Limits how often a library repeats a message, and adds how many repetitions were suppressed.

    A client that cannot reach its broker would otherwise write up to a hundred lines a second. Messages count
    as the same if logger and text without arguments are equal.
    """

    def __init__(self, every_seconds: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every, self._clock = every_seconds, clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line may pass; add to it how many like it were suppressed."""
        now, what = self._clock(), (record.name, str(record.msg)[:200])
        said_at, held = self._said.get(what, (float("-inf"), 0))
        if now - said_at < self._every:
            self._said[what] = said_at, held + 1
            return False
        if len(self._said) >= MOST_MESSAGES:
            self._said.clear()
        self._said[what] = now, 0
        if held:
            record.msg, record.args = f"{record.getMessage()} (and {held} times more since)", ()
        return True


def make_logger(stage: str, log_format: LogFormat, level: str, stream: TextIO) -> Any:
    """Return a structlog logger bound to the stage, and route the standard library's logging to it.

    Raises ValueError for an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} must be one of {', '.join(LEVELS)}")
    as_json = log_format == "json" or (log_format == "auto" and not stream.isatty())
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer(serializer=_to_json)]
        if as_json
        else [_shown, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    )
    lines = _Lines(stream)
    handler = logging.StreamHandler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    handler.addFilter(BrokerSilence())
    handler.addFilter(FloodGate())
    # Libraries log too much below warnings; what matters at info level is an occurrence of ours.
    logging.basicConfig(handlers=[handler], level=max(LEVELS[level], LEVELS["warning"]), force=True)
    return structlog.wrap_logger(
        lines,
        processors=[*_SHARED, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        stage=stage,
    ).bind()


def _shown(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Return an event whose values cannot control the terminal or look like another line.

    A traceback keeps its lines.
    """
    return {
        name: value
        if not isinstance(value, str)
        else visible(value)
        if name in ("exception", "stack")
        else one_line(value)
        for name, value in event.items()
    }


def _to_json(event: object, **_: object) -> str:
    # json accepts a lone surrogate, which msgspec refuses; `visible` escapes it.
    return visible(
        json.dumps(msgspec.to_builtins(event, enc_hook=str), ensure_ascii=False, separators=(",", ":"))
    )
