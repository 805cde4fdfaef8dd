"""A detection rule in a file: JSON, TOML or YAML, naming the values that differ from the built-in rule."""

import re
from pathlib import Path
from typing import Any

import msgspec

from streams.detect.rule.definition import Rule
from streams.model.border import UNREADABLE


class RuleFileError(ValueError):
    """A rule file that cannot be used; the message names the file, the line and the field."""


def read_rule(path: Path, *, kept: bool = False) -> Rule:
    """Return the rule in a file; raise `RuleFileError` if it is unreadable or a field is wrong.

    A rule that differs from the built-in one needs its own ``version``, which results carry. That is not
    required of a rule ``kept`` with a result, since the built-in one may have changed since.
    """
    decode: Any = {
        ".toml": msgspec.toml.decode,
        ".yaml": msgspec.yaml.decode,
        ".yml": msgspec.yaml.decode,
    }.get(path.suffix, msgspec.json.decode)
    text = b""
    try:
        text = path.read_bytes()
        rule: Rule = decode(text, type=Rule)
    except OSError as error:
        raise RuleFileError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, *UNREADABLE) as error:
        raise RuleFileError(f"{path}{_line(text, str(error))}: {error}") from error
    if not kept and rule != Rule() and rule.version == Rule().version:
        raise RuleFileError(f"{path}: differs from rule {rule.version} and needs its own `version`")
    return rule


def _line(text: bytes, message: str) -> str:
    """Return ``:LINE`` of the field that an error names, if the file contains it."""
    for name in re.findall(r"`(?:\$\.)?(\w+)`", message):
        for number, line in enumerate(text.decode(errors="replace").splitlines(), start=1):
            if re.search(rf"\b{name}\b", line):
                return f":{number}"
    return ""
