"""`portallink rules`: the rules of detection in production, from when on, by whom and why; never deleted."""

import asyncio
import getpass
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.cli.ledger.decisions import Author, Servers, Suffix
from streams.cli.ledger.ledger_options import AsJson
from streams.cli.outcome import fail, notes, print_json, refuse, say
from streams.cli.settings_option import SettingsFile, settings_of
from streams.cli.table import Column, show_table
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import RuleRevision, Rules, decode, grid_after_ms, next_revision
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.read import RereadError, topic_batches
from streams.kafka.topics import Topics
from streams.model.border import UNREADABLE
from streams.model.canonical import encode
from streams.model.short import UnclearIdError, meant
from streams.model.times import TimeTextError, local_time, parse_time_ms
from streams.replay.rulefile import RuleFileError, read_rule

app = typer.Typer(no_args_is_help=True, help="Detection rules: apply, withdraw, list, show.")

RULE_COLUMNS = [
    Column("rule"),
    Column("revision", 5),
    Column("links"),
    Column("from", 1),
    Column("author", 4),
    Column("reason", 3, wrapped=True),
    Column("status", 2),
]
MARGIN_MS = 30_000
"""Margin between the earliest allowed start of a rule and the proposed one, as the command takes a moment."""

From = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="When it takes effect: a full ten minutes, Asia/Ho_Chi_Minh [default: the earliest possible].",
    ),
]
RuleId = Annotated[str, typer.Argument(help="The rule's id, or the beginning of it.")]
Reason = Annotated[str, typer.Option(help="Why.")]


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="Rule file: JSON, TOML or YAML, as for `analyze --rule`.")],
    reason: Reason,
    *,
    link: Annotated[
        list[str] | None,
        typer.Option(help="Link it applies to, or a pattern with *; repeatable [default: every link]."),
    ] = None,
    rule_id: Annotated[
        str | None,
        typer.Option(
            "--id", help="The rule's id, the same for all its revisions [default: the file's `version`]."
        ),
    ] = None,
    start: From = None,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Apply a rule to links from a given time on, as the rule's next revision.

    Earlier verdicts stay. If several rules name a link, the most specific one applies. Applying the same
    values to the same links again changes nothing.
    """
    try:
        values = read_rule(file)
    except RuleFileError as error:
        refuse(error)
    topic = _Topic(suffix, bootstrap_servers, settings)
    known = topic.read()
    name, links = rule_id or values.version, link or ["*"]
    last = _last(known, name)
    if last is not None and not last.withdrawn and _says(last, values, links):
        _tell(known, last, "unchanged", as_json=as_json)
        return
    revision = _revision(known, name, values, links, start, author, reason)
    topic.send(revision, "applied", as_json=as_json)


@app.command()
def withdraw(
    rule_id: RuleId,
    reason: Reason,
    *,
    start: From = None,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a rule from a given time on.

    Its links then follow the next rule that names them, or the built-in one.
    """
    topic = _Topic(suffix, bootstrap_servers, settings)
    known = topic.read()
    last = _meant(known, rule_id)
    if last.withdrawn:
        refuse(f"rule {last.rule_id} is already withdrawn, by {last.author}")
    revision = _revision(known, last.rule_id, last.values, last.links, start, author, reason, withdrawn=True)
    topic.send(revision, "withdrawn", as_json=as_json)


@app.command(name="list")
def list_command(
    *,
    link: Annotated[str | None, typer.Option(help="Show which rule applies to this link, over time.")] = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """List the rules with their last revisions, or with --link the rules of one link over time."""
    known = _Topic(suffix, bootstrap_servers, settings).read()
    if link is not None:
        changes = known.of(link).changes
        spans = [{"from_ms": from_ms, "rule": rule.version} for from_ms, rule in changes]
        spans[0]["from_ms"] = None
        if as_json:
            print_json(spans)
            return
        rows = [
            ("the beginning" if rule is changes[0][1] else local_time(from_ms), rule.version)
            for from_ms, rule in changes
        ]
        show_table([Column("from"), Column("rule")], rows)
        return
    last = {revision.rule_id: (effective_ms, revision) for effective_ms, revision in known.revisions}
    if as_json:
        print_json([_answer(*one) for one in last.values()])
        return
    show_table(
        RULE_COLUMNS,
        [
            (
                one.rule_id,
                str(one.revision),
                "\n".join(one.links),
                local_time(effective_ms),
                one.author,
                one.reason,
                "withdrawn" if one.withdrawn else "",
            )
            for effective_ms, one in last.values()
        ],
    )


@app.command()
def show(
    rule_id: RuleId,
    *,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Show each revision of a rule: its links, start, author and reason.

    Only values that differ from the built-in rule are shown.
    """
    known = _Topic(suffix, bootstrap_servers, settings).read()
    name = _meant(known, rule_id).rule_id
    found = [one for one in known.revisions if one[1].rule_id == name]
    if as_json:
        print_json([_answer(*one) for one in found])
        return
    for effective_ms, one in found:
        says = "withdrawn" if one.withdrawn else f"judges {', '.join(one.links)}"
        say(f"{one.values.version} {says} from {local_time(effective_ms)} on")
        say(f"  {one.author}, {local_time(one.recorded_at_ms)}: {one.reason}")
        for name, value in _differing(one.values).items():
            say(f"  {name} = {value:g}")


class _Topic:
    """`link.rules` on a broker; whatever goes wrong there ends the command."""

    def __init__(self, suffix: str, bootstrap_servers: str | None, settings: Path | None) -> None:
        self._lead_ms = settings_of(settings).rule_lead_ms
        try:
            self._connection = kafka_connection(bootstrap_servers)
        except ConnectionSettingsError as error:
            refuse(error)
        self._name = Topics().suffixed(suffix).rules

    def read(self) -> Rules:
        """Return the rules as they stand now."""
        try:
            return asyncio.run(self._read())
        except (RereadError, KafkaError) as error:
            fail(error)

    async def _read(self) -> Rules:
        rules = Rules(Rule(), self._lead_ms)
        async for records in topic_batches(self._connection, [self._name]):
            for record in records:
                try:
                    rules.take(decode(record.value), record.logged_at_ms)
                except (*UNREADABLE, ValueError) as error:
                    notes.print(f"{self._name} offset {record.offset} is not used: {error}", style="yellow")
        return rules

    def send(self, revision: RuleRevision, done: str, *, as_json: bool) -> None:
        """Publish a revision, and tell it."""
        try:
            asyncio.run(self._send(revision))
        except KafkaError as error:
            fail(f"the broker did not take it: {error!r}")
        after = self.read()
        if _last(after, revision.rule_id) != revision:
            fail(
                f"{revision.values.version} was published by another at the same time; run the command again"
            )
        _tell(after, revision, done, as_json=as_json)

    async def _send(self, revision: RuleRevision) -> None:
        async with AIOKafkaProducer(enable_idempotence=True, **self._connection) as producer:
            await producer.send_and_wait(self._name, encode(revision), key=revision.key)


def _revision(
    known: Rules,
    rule_id: str,
    values: Rule,
    links: list[str],
    start: str | None,
    author: str | None,
    reason: str,
    *,
    withdrawn: bool = False,
) -> RuleRevision:
    """Return the next revision of a rule; what is wrong with it ends the command."""
    now_ms = int(time.time() * 1000)
    try:
        return next_revision(
            (one for _, one in known.revisions),
            rule_id,
            values,
            links,
            effective_from_ms=_from_ms(start, now_ms, known.lead_ms),
            author=author or getpass.getuser(),
            reason=reason,
            recorded_at_ms=now_ms,
            withdrawn=withdrawn,
        )
    except (TimeTextError, msgspec.ValidationError, ValueError) as error:
        refuse(error)


def _from_ms(start: str | None, now_ms: int, lead_ms: int) -> int:
    """Return from when on a revision may hold; raise ValueError for a time too early, or off the grid."""
    if start is None:
        return grid_after_ms(now_ms + lead_ms + MARGIN_MS)
    from_ms = parse_time_ms(start)
    earliest_ms = grid_after_ms(now_ms + lead_ms)
    if from_ms < earliest_ms:
        earliest = local_time(earliest_ms)
        raise ValueError(f"--from {start}: what was judged stays; the earliest is {earliest}")
    if grid_after_ms(from_ms) != from_ms:
        nearest = local_time(grid_after_ms(from_ms))
        raise ValueError(f"--from {start}: a rule changes with a full ten minutes, as at {nearest}")
    return from_ms


def _last(known: Rules, rule_id: str) -> RuleRevision | None:
    return next((one for _, one in reversed(known.revisions) if one.rule_id == rule_id), None)


def _says(last: RuleRevision, values: Rule, links: list[str]) -> bool:
    same = msgspec.structs.replace(values, version=last.values.version) == last.values
    return same and sorted(links) == sorted(last.links)


def _meant(known: Rules, typed: str) -> RuleRevision:
    """Return the last revision of the rule that was typed, whole or by its beginning."""
    names = {one.rule_id: one for _, one in known.revisions}
    try:
        return names[meant(typed, list(names), "rule", "portallink rules list")]
    except UnclearIdError as error:
        refuse(error)


def _differing(values: Rule) -> dict[str, Any]:
    """Return the values that are not the built-in rule's."""
    built_in = msgspec.structs.asdict(Rule())
    return {
        name: value
        for name, value in msgspec.structs.asdict(values).items()
        if name != "version" and value != built_in[name]
    }


def _answer(effective_ms: int, revision: RuleRevision) -> dict[str, Any]:
    differs = _differing(revision.values)
    return {**msgspec.to_builtins(revision), "effective_ms": effective_ms, "differs": differs}


def _tell(known: Rules, revision: RuleRevision, done: str, *, as_json: bool) -> None:
    effective_ms = next(at_ms for at_ms, one in known.revisions if one == revision)
    if as_json:
        print_json(_answer(effective_ms, revision))
    else:
        say(f"{done}: {revision.values.version}, from {local_time(effective_ms)} on")
