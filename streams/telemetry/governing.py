"""Occurrences about the inputs of `detect`: rules, retirements, settings that differ from `measure`'s."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from streams.telemetry.common import partition_label
from streams.telemetry.contract import RECORDS, SETTINGS_DIFFER
from streams.telemetry.hub import Level
from streams.telemetry.store import Store


@dataclass(frozen=True, slots=True)
class RuleLearned:
    """A revision of a rule was read; it applies from ``effective_ms`` on."""

    name: ClassVar[str] = "rule_learned"
    level: ClassVar[Level] = "info"
    version: str
    withdrawn: bool
    effective_ms: int

    def fields(self) -> Mapping[str, object]:
        """Return the rule's version, and from when on it applies."""
        return {"rule": self.version, "withdrawn": self.withdrawn, "effective_ms": self.effective_ms}

    def move(self, store: Store, stage: str, /) -> None:
        """Count the record as read."""
        store.add(RECORDS, (stage, "applied"))


@dataclass(frozen=True, slots=True)
class RetirementLearned:
    """A revision of a link's retirement was read: from ``from_ms`` on its time is not in service."""

    name: ClassVar[str] = "retirement_learned"
    level: ClassVar[Level] = "info"
    link: str
    withdrawn: bool
    from_ms: int

    def fields(self) -> Mapping[str, object]:
        """Return the link, from when on it is retired, and whether that was withdrawn."""
        return {"link": self.link, "withdrawn": self.withdrawn, "from_ms": self.from_ms}

    def move(self, store: Store, stage: str, /) -> None:
        """Count the record as read."""
        store.add(RECORDS, (stage, "applied"))


@dataclass(frozen=True, slots=True)
class SettingsCompared:
    """Settings of a source's measurements began to differ from this stage's, or no longer do."""

    name: ClassVar[str] = "settings_compared"
    level: ClassVar[Level] = "error"
    topic: str
    partition: int
    theirs: str
    ours: str

    def fields(self) -> Mapping[str, object]:
        """Return the source, and both digests."""
        source = partition_label(self.topic, self.partition)
        return {"source": source, "theirs": self.theirs, "ours": self.ours, "same": self.theirs == self.ours}

    def move(self, store: Store, stage: str, /) -> None:
        """Show whether they differ."""
        labels = (stage, partition_label(self.topic, self.partition))
        store.set(SETTINGS_DIFFER, labels, int(self.theirs != self.ours))
