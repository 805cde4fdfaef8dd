"""Conditions on the fields of a call, and ordered rules for its outcome.

A map's rules are tried in order, so those about flags must come before those about the status. If none
matches, the HTTP status decides as in all imports (`ingest.status`). The result depends on few values, so it
is cached for each combination.
"""

from collections.abc import Callable, Sequence
from re import fullmatch
from typing import Any, Final

from streams.ingest.mapping.names import LONGEST_LOOKED_AT
from streams.ingest.mapping.patterns import PatternError, compiled
from streams.ingest.mapping.places import Places, Values, at, remember
from streams.ingest.mapping.said import OutcomeRule, SubmissionRule, TestSaid, When
from streams.ingest.values import text_of

OWN_FIELDS: Final = ("status", "duration_ms", "timed_out")
"""Fields of the call itself that a map's rules may name; they take precedence over the source's."""

Check = Callable[[str], bool]


class RuleSaidError(ValueError):
    """A condition that cannot be used; the message says why."""


def spelt(value: Any) -> str:
    """Return a value in the canonical spelling used by conditions, empty for no value.

    >>> spelt(502.0), spelt("-"), spelt(True), spelt(" UH ")
    ('502', '', 'true', 'UH')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    return text_of(value)


class Condition:
    """A map's ``when``: it holds if every field passes its check."""

    def __init__(self, when: When, places: Places, own: Sequence[str] = OWN_FIELDS) -> None:
        self.needs = [(name if name in own else places.of(name), _check(test)) for name, test in when.items()]
        """Pairs of a value (a field's place, or the name of one of the call's own fields) and its check."""

    def holds(self, values: Sequence[Any], own: dict[str, Any]) -> bool:
        """Return whether the values of a call pass all checks."""
        return all(
            check(spelt(values[place] if isinstance(place, int) else own.get(place)))
            for place, check in self.needs
        )


def _check(test: Any) -> Check:
    if isinstance(test, TestSaid):
        return _test(test)
    wanted = test if isinstance(test, list) else [test]
    if not wanted:
        raise RuleSaidError("a list of values is empty, so it could never match")
    classes = {text[0] for one in wanted if fullmatch("[1-5]xx", text := spelt(one))}
    texts = {spelt(one) for one in wanted}
    if "" in texts:
        raise RuleSaidError("a value is empty; to match a field without a value write {present: false}")
    if not classes:
        return texts.__contains__
    return lambda text: text in texts or (len(text) == 3 and text[0] in classes and text.isdigit())


def _test(test: TestSaid) -> Check:
    checks: list[Check] = []
    if test.present is not None:
        present = test.present
        checks.append(lambda text: bool(text) is present)
    if test.match is not None:
        try:
            shape = compiled(test.match)
        except PatternError as error:
            raise RuleSaidError(f"a pattern is not a valid regular expression: {error}") from None
        checks.append(lambda text: shape.search(text[:LONGEST_LOOKED_AT]) is not None)
    if (least := test.at_least) is not None:
        checks.append(lambda text: (number := _number(text)) is not None and number >= least)
    if (most := test.below) is not None:
        checks.append(lambda text: (number := _number(text)) is not None and number < most)
    if not checks:
        raise RuleSaidError("a test is empty; it needs match, at_least, below or present")
    return lambda text: all(check(text) for check in checks)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class Rules:
    """Ordered rules, with a cache of their results by the values they use."""

    def __init__(
        self, said: Sequence[OutcomeRule | SubmissionRule], places: Places, path: tuple[str, ...]
    ) -> None:
        self.said = said
        self._rules: list[tuple[Condition, str]] = []
        for number, rule in enumerate(said):
            with at(*path, number, "when"):
                self._rules.append((Condition(rule.when, places), rule.outcome))
        needed = [place for condition, _ in self._rules for place, _ in condition.needs]
        self.places = list(dict.fromkeys(place for place in needed if isinstance(place, int)))
        self.own = [name for name in OWN_FIELDS if name in needed]
        """The call's own fields that the rules use."""
        self._names = places.names
        self._known: dict[Any, str | None] = {}

    def of(self, values: Values, own: dict[str, Any]) -> str | None:
        """Return the outcome of the first rule that holds, None if none does."""
        key = (*[values[place] for place in self.places], *[own[name] for name in self.own])
        if key in self._known:
            return self._known[key]
        found = next((outcome for condition, outcome in self._rules if condition.holds(values, own)), None)
        remember(self._known, key, found)
        return found

    def asked(self, values: Values) -> list[tuple[str, Any]]:
        """Return the names and values of the fields that the rules use."""
        return [(self._names[place], values[place]) for place in self.places]
