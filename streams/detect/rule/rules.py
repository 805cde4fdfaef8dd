"""Determines which rule judges a link at a time, from the revisions on `link.rules`, in event time.

A revision states from when its values judge the links it names. It never changes earlier judgements: a late
fact about an earlier slot is judged by the rule in force at that time. Of the rules that name a link the most
specific applies: a name precedes any pattern, and a pattern with more literal characters one with fewer. If
none names it, the built-in rule applies.

Two things make the answer the same for a live worker, one that was killed, and `analyze`:

* A revision takes effect at the start of a block of ten minutes, within which the normal does not change.
* It takes effect at least ``lead_ms`` after the broker accepted it, whatever it states. The lead is longer
  than an event may be ahead of the broker's clock, so every worker knows a revision before it takes effect.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, structs

from streams.detect.rule.definition import Rule
from streams.model.events import Identifier

GRID_MS: Final = 600_000
"""A rule takes effect at a multiple of this: the length of `normal.BLOCK_MS`."""
EVER: Final = -(1 << 62)

RuleId = Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[^@\s]+$")]
Words = Annotated[str, Meta(min_length=1, max_length=2000)]
Patterns = Annotated[list[Identifier], Meta(min_length=1, max_length=1000)]


class RuleRevision(Struct, frozen=True):
    """One revision of one rule, as recorded on `link.rules`.

    ``links`` are names or patterns, in which ``*`` stands for any characters. ``values`` is the complete
    rule; its ``version`` names the rule and revision (``RULE@REVISION``), as outages do. After a
    ``withdrawn`` revision, from ``effective_from_ms`` on, the next rule that names the links applies.
    ``author`` names an office or an account, never a citizen.
    """

    rule_id: RuleId
    revision: Annotated[int, Meta(ge=1)]
    links: Patterns
    values: Rule
    effective_from_ms: int
    author: Identifier
    reason: Words
    recorded_at_ms: int
    withdrawn: bool = False

    def __post_init__(self) -> None:
        if self.effective_from_ms % GRID_MS:
            raise ValueError(f"`effective_from_ms` {self.effective_from_ms} is not a multiple of {GRID_MS}")
        if self.values.version != version_of(self.rule_id, self.revision):
            expected = version_of(self.rule_id, self.revision)
            raise ValueError(f"`values.version` is {self.values.version!r}, not {expected!r}")

    @property
    def key(self) -> bytes:
        """The record's key, unique to the revision so that compaction keeps them all."""
        digest = blake2b(msgspec.json.encode(self), digest_size=4).hexdigest()
        return f"{self.values.version} {digest}".encode()


def version_of(rule_id: str, revision: int) -> str:
    """Return the name that outages use for the rule and revision that judged them.

    >>> version_of("patient", 3)
    'patient@3'
    """
    return f"{rule_id}@{revision}"


decode: Final = msgspec.json.Decoder(RuleRevision).decode
"""Decodes a revision from a record's bytes; raises `msgspec.ValidationError` that names the invalid field."""


def next_revision(
    known: Iterable[RuleRevision],
    rule_id: str,
    values: Rule,
    links: list[str],
    *,
    effective_from_ms: int,
    author: str,
    reason: str,
    recorded_at_ms: int,
    withdrawn: bool = False,
) -> RuleRevision:
    """Return the next revision of a rule after those ``known``.

    Raises `msgspec.ValidationError` that names the invalid field.
    """
    number = 1 + max((one.revision for one in known if one.rule_id == rule_id), default=0)
    values = structs.replace(values, version=version_of(rule_id, number))
    revision = {
        "rule_id": rule_id,
        "revision": number,
        "links": links,
        "values": structs.asdict(values),
        "effective_from_ms": effective_from_ms,
        "author": author,
        "reason": reason,
        "recorded_at_ms": recorded_at_ms,
        "withdrawn": withdrawn,
    }
    return msgspec.convert(revision, RuleRevision)


def grid_after_ms(at_ms: int) -> int:
    """Return the first time at or after ``at_ms`` at which a rule can take effect.

    >>> grid_after_ms(600_001), grid_after_ms(600_000)
    (1200000, 600000)
    """
    return -(-at_ms // GRID_MS) * GRID_MS


class LinkRules:
    """The rules of one link over time; the object is updated when revisions arrive."""

    def __init__(self, first: Rule) -> None:
        self.changes: list[tuple[int, Rule]] = [(EVER, first)]
        """The rules with the time from which each applies, ascending; the first has always applied."""
        self._from_ms, self._to_ms, self._rule = EVER, -EVER, first

    def at(self, at_ms: int) -> Rule:
        """Return the rule that judges outcomes that became known at a time."""
        if self._from_ms <= at_ms < self._to_ms:
            return self._rule
        self._to_ms = -EVER
        for from_ms, rule in reversed(self.changes):
            if from_ms <= at_ms:
                self._from_ms, self._rule = from_ms, rule
                break
            self._to_ms = from_ms
        return self._rule

    def replace(self, changes: list[tuple[int, Rule]]) -> None:
        """Replace `changes`; the first of them must have always applied."""
        self.changes = changes
        self._from_ms, self._to_ms = 0, 0  # looked up again

    @property
    def flap_gap_ms(self) -> int:
        """The largest ``flap_gap_ms`` of any of the rules."""
        return max(rule.flap_gap_ms for _, rule in self.changes)

    @property
    def evidence_ttl_ms(self) -> int:
        """The largest ``evidence_ttl_ms`` of any of the rules."""
        return max(rule.evidence_ttl_ms for _, rule in self.changes)

    @property
    def normal_after_ms(self) -> int:
        """The largest ``normal_after_ms`` of any of the rules."""
        return max(rule.normal_after_ms for _, rule in self.changes)


class Rules:
    """All known revisions of all rules, and the rule of each link over time.

    ``built_in`` applies where no revision does. Calls may come in any order; the result depends only on the
    set of revisions (and of two that differ under one number, on which came first).
    """

    def __init__(self, built_in: Rule, lead_ms: int = 0) -> None:
        self.built_in, self.lead_ms = built_in, lead_ms
        self._known: dict[tuple[str, int], tuple[int, RuleRevision]] = {}
        self._links: dict[str, LinkRules] = {}

    @property
    def revisions(self) -> list[tuple[int, RuleRevision]]:
        """All revisions, each with the time at which it takes effect, by rule and number."""
        return [self._known[name] for name in sorted(self._known)]

    def of(self, link: str) -> LinkRules:
        """Return the rules of a link; the object is updated when more revisions are taken."""
        rules = self._links.get(link)
        if rules is None:
            rules = self._links[link] = LinkRules(self.built_in)
            if self._known:
                rules.replace(self._changes(link))
        return rules

    def effective_ms(self, revision: RuleRevision, logged_at_ms: int) -> int:
        """Return when a revision takes effect, given when the broker accepted it."""
        return max(revision.effective_from_ms, grid_after_ms(logged_at_ms + self.lead_ms))

    def take(self, revision: RuleRevision, logged_at_ms: int) -> int | None:
        """Add a revision; return when it takes effect, None if it was known already.

        Raises `ValueError` if the rule has a different revision of the same number.
        """
        name = revision.rule_id, revision.revision
        if name in self._known:
            if self._known[name][1] == revision:
                return None
            raise ValueError(f"{revision.values.version} was published before, saying something else")
        effective_ms = self.effective_ms(revision, logged_at_ms)
        self._known[name] = effective_ms, revision
        for link, rules in self._links.items():
            rules.replace(self._changes(link))
        return effective_ms

    def _changes(self, link: str) -> list[tuple[int, Rule]]:
        naming = {
            revision.rule_id
            for _, revision in self._known.values()
            if any(matches(pattern, link) for pattern in revision.links)
        }
        candidates = [one for one in self.revisions if one[1].rule_id in naming]
        changes = [(EVER, self.built_in)]
        for at_ms in sorted({effective_ms for effective_ms, _ in candidates}):
            rule = self._holding(link, candidates, at_ms)
            if rule != changes[-1][1]:
                changes.append((at_ms, rule))
        return changes

    def _holding(self, link: str, candidates: list[tuple[int, RuleRevision]], at_ms: int) -> Rule:
        """Return the rule of a link at a time: the most specific among the latest revisions in force."""
        due = {one.rule_id: (since_ms, one) for since_ms, one in candidates if since_ms <= at_ms}
        best = max(
            (
                (closeness, since_ms, one.rule_id)
                for since_ms, one in due.values()
                if not one.withdrawn and (closeness := specificity(one.links, link)) is not None
            ),
            default=None,
        )
        return self.built_in if best is None else due[best[2]][1].values


@lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def matches(pattern: str, link: str) -> bool:
    """Return whether a name or pattern matches a link.

    >>> matches("hcmc-*", "hcmc-npd"), matches("hcmc-npd", "hcmc-npd"), matches("[h]*", "hcmc-npd")
    (True, True, False)
    """
    return _expression(pattern).fullmatch(link) is not None


def specificity(patterns: Iterable[str], link: str) -> tuple[bool, int] | None:
    """Return the best match of a link: whether it is by name, and the number of literal characters.

    >>> specificity(["*", "hcmc-*"], "hcmc-npd"), specificity(["hcmc-npd"], "hcmc-npd")
    ((False, 5), (True, 8))
    >>> specificity(["hanoi-*"], "hcmc-npd")
    """
    fitting = [pattern for pattern in patterns if matches(pattern, link)]
    return max((("*" not in one, len(one) - one.count("*")) for one in fitting), default=None)
