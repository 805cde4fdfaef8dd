"""The command that makes a report again."""

import shlex

from streams.ledger.read.question import Question
from streams.model.hours.calendar import to_local


def reproducing(question: Question, *more: str) -> str:
    """Return the command that asks the same again."""
    words = ["portallink outages report"]
    for option, time_ms in (("--from", question.start_ms), ("--to", question.end_ms)):
        words.append(f"{option} {to_local(time_ms).isoformat(timespec='milliseconds')}")
    words.append(f"--calendar {question.calendar}")
    words += [
        f"--{name} {shlex.quote(value)}"
        for name in ("link", "portal", "agency", "service")
        if (value := getattr(question, name)) is not None
    ]
    if question.as_of_ms is not None:
        words.append(f"--as-of {to_local(question.as_of_ms).isoformat(timespec='milliseconds')}")
    if not question.second_person:
        words.append("--no-second-person")
    return " ".join((*words, *more))
