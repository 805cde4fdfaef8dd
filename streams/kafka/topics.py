"""The declared topics: names, settings, value schemas and examples, read from the folder `schemas/`.

Each topic has a folder of its name with `topic.yaml` (who writes and reads it, how it is created), one
`vN.schema.json` per version (JSON Schema 2020-12), `examples/` named by what they show, and `examples/bad/`
with the reason why each is refused. A topic whose values are those of another topic names it in `value_of`.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from streams.model import topics as names_of
from streams.resources import resource_folder

SCHEMAS_DIR = resource_folder("schemas")
PROPAGATION_TIMEOUT_SECONDS = 30


class TopicDataError(ValueError):
    """A file under `schemas/` is wrong; the message names it."""


class TopicCreationError(RuntimeError):
    """The broker refused to create a topic; the message names it and gives the broker's reason."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics' names on a broker: the declared ones, or with a suffix that keeps runs apart."""

    submissions: str = names_of.SUBMISSIONS
    lookups: str = names_of.LOOKUPS
    measurements: str = names_of.MEASUREMENTS
    windows: str = names_of.WINDOWS
    outages: str = names_of.OUTAGES
    outages_latest: str = names_of.OUTAGES_LATEST
    exclusions: str = names_of.EXCLUSIONS
    retirements: str = names_of.RETIREMENTS
    rules: str = names_of.RULES
    dead_letters: str = names_of.DEAD_LETTERS

    def suffixed(self, suffix: str) -> Self:
        """Return the same topics with a suffix to each name; an empty one changes nothing.

        >>> Topics().suffixed("x").lookups, Topics().suffixed("").lookups
        ('npd.lookups-x', 'npd.lookups')
        """
        if not suffix:
            return self
        return type(self)(**{field: f"{name}-{suffix}" for field, name in asdict(self).items()})

    def by_declared_name(self) -> dict[str, str]:
        """Map each declared name to the actual name."""
        return {str(field.default): getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Example:
    """A value that a topic accepts or refuses.

    For a refused value, `at` is the JSON path of the fault and `rule` the schema keyword that it violates.
    """

    name: str
    value: Any
    at: str | None = None
    rule: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """One declared topic; `config` holds its broker settings as text, as the broker reports them."""

    name: str
    title: str
    description: str
    key: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    versions: tuple[int, ...]
    partitions: int
    config: dict[str, str]
    value_of: str

    @property
    def directory(self) -> Path:
        """Folder of the schemas and examples of the values."""
        return SCHEMAS_DIR / self.value_of

    def schema(self, version: int) -> dict[str, Any]:
        """Return the JSON Schema of one version of the values."""
        schema: dict[str, Any] = _read_json(self.directory / f"v{version}.schema.json")
        return schema

    def examples(self) -> list[Example]:
        """Return the values that the newest version accepts, by name."""
        return [
            Example(path.stem, _read_json(path)) for path in sorted(self.directory.glob("examples/*.json"))
        ]

    def bad_examples(self) -> list[Example]:
        """Return values that the newest version refuses, each with its fault."""
        found = []
        for path in sorted(self.directory.glob("examples/bad/*.json")):
            content = _read_json(path)
            found.append(Example(path.stem, content["value"], **content["refused"]))
        return found


@cache
def declared_topics() -> dict[str, Topic]:
    """Read all declared topics, by name.

    Raises TopicDataError naming the file that is wrong.
    """
    topics = [_read_topic(path) for path in sorted(SCHEMAS_DIR.glob("*/topic.yaml"))]
    return {topic.name: topic for topic in topics}


def _read_topic(path: Path) -> Topic:
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
        topic = Topic(
            name=data.pop("name"),
            title=data.pop("title"),
            description=data.pop("description").strip(),
            key=data.pop("key"),
            producers=tuple(data.pop("producers")),
            consumers=tuple(data.pop("consumers")),
            versions=tuple(data.pop("versions")),
            partitions=data.pop("partitions"),
            config={name: str(value) for name, value in data.pop("config").items()},
            value_of=data.pop("value_of", path.parent.name),
        )
    except (yaml.YAMLError, KeyError, AttributeError, TypeError) as error:
        raise TopicDataError(f"{path}: {type(error).__name__}: {error}") from error
    if data:
        raise TopicDataError(f"{path}: unknown setting {', '.join(sorted(data))}")
    if topic.name != path.parent.name:
        raise TopicDataError(f"{path}: declares {topic.name!r}, which is not the name of its folder")
    return topic


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TopicDataError(f"{path}: {error}") from error


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of a topic that differs from the declaration; values are written as by the broker."""

    topic: str
    setting: str
    wanted: str
    found: str


@dataclass(frozen=True, slots=True)
class TopicReport:
    """The result of applying the declared topics; topics that differ are left unchanged."""

    created: tuple[str, ...]
    unchanged: tuple[str, ...]
    differences: tuple[Difference, ...]


async def create_topics(
    connection: Mapping[str, Any],
    topics: Topics | None = None,
    *,
    partitions: Mapping[str, int] | None = None,
    replication_factor: int = 1,
) -> TopicReport:
    """Create the declared topics that the broker lacks and compare the others with what is declared.

    `connection` is what `kafka_connection()` returns. `partitions` overrides partition counts by declared
    name. Applying again changes nothing. Raises TopicCreationError if the broker refuses one, aiokafka's
    KafkaError if it cannot be reached.
    """
    names = (topics or Topics()).by_declared_name()
    counts = {name: topic.partitions for name, topic in declared_topics().items()} | dict(partitions or {})
    if unknown := counts.keys() - declared_topics().keys():
        raise TopicDataError(f"no such topic: {', '.join(sorted(unknown))}")
    admin = AIOKafkaAdminClient(**connection)
    try:
        await admin.start()
        present = set(await admin.list_topics())
        missing = [topic for topic in declared_topics().values() if names[topic.name] not in present]
        created = await _create(
            admin,
            [
                NewTopic(
                    names[topic.name], counts[topic.name], replication_factor, topic_configs=topic.config
                )
                for topic in missing
            ],
        )
        await _wait_until_known(admin, created)
        kept = {
            names[name]: (counts[name], topic.config)
            for name, topic in declared_topics().items()
            if names[name] not in created
        }
        differences = await _differences(admin, kept)
    finally:
        await admin.close()
    differing = {difference.topic for difference in differences}
    return TopicReport(tuple(created), tuple(sorted(kept.keys() - differing)), tuple(differences))


async def _create(admin: AIOKafkaAdminClient, wanted: list[NewTopic]) -> list[str]:
    if not wanted:
        return []
    answer = await admin.create_topics(wanted)
    created = []
    for name, code, message in answer.topic_errors:
        error = for_code(code)
        if error.errno == 0:
            created.append(name)
        elif error.__name__ != "TopicAlreadyExistsError":  # another process was faster, which is fine
            raise TopicCreationError(f"{name}: {message or error.description}")
    return sorted(created)


async def _wait_until_known(admin: AIOKafkaAdminClient, created: list[str]) -> None:
    """Wait until the brokers know the topics; they learn of them from the controller a moment later."""
    try:
        async with asyncio.timeout(PROPAGATION_TIMEOUT_SECONDS):
            while not set(created) <= set(await admin.list_topics()):  # noqa: ASYNC110 - there is no notification
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise TopicCreationError(
            f"created {', '.join(created)}, but the brokers do not know them "
            f"after {PROPAGATION_TIMEOUT_SECONDS} s"
        ) from error


async def _differences(
    admin: AIOKafkaAdminClient, kept: Mapping[str, tuple[int, Mapping[str, str]]]
) -> list[Difference]:
    if not kept:
        return []
    differences = []
    for described in await admin.describe_topics(list(kept)):
        name, wanted, found = described["topic"], kept[described["topic"]][0], len(described["partitions"])
        if wanted != found:
            differences.append(Difference(name, "partitions", str(wanted), str(found)))
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in kept]
    for answer in await admin.describe_configs(resources):
        for _, _, _, name, entries in answer.resources:
            found_config = {entry[0]: entry[1] for entry in entries}
            differences += [
                Difference(name, setting, wanted_value, found_config.get(setting, "(not set)"))
                for setting, wanted_value in kept[name][1].items()
                if found_config.get(setting) != wanted_value
            ]
    return sorted(differences, key=lambda difference: (difference.topic, difference.setting))
