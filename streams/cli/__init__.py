"""The command line, `portallink`.

Commands are data: each is imported when it is called, and no other with it, so that a small question is
answered at once and a stage's process holds only what the stage needs.
"""

import importlib
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

import streams
from streams.cli.start import run

SEE = "See it work"
RUN = "Run it"
ASK = "Ask what happened"
REPLAY = "Replay and compare"
CHECK = "Measure the measuring"


class Command(NamedTuple):
    """Where a command is, as `module:attribute`, and how its help begins, for the list of commands."""

    target: str
    panel: str
    summary: str


COMMANDS = {
    "demo": Command(
        "stages.demo:demo",
        SEE,
        "Play a simulated Monday morning with faults through the whole pipeline, on a real Kafka.",
    ),
    "kafka": Command(
        "stages.kafka:app",
        RUN,
        "The embedded broker: a real Apache Kafka on this machine, without Docker or an installed Java.",
    ),
    "dead-letters": Command(
        "stages.dead_letters:app", RUN, "Records that could not be used: list, show, retry, forget."
    ),
    "topics": Command(
        "stages.topics:app",
        RUN,
        "The topics as declared in schemas/, on the broker of KAFKA_BOOTSTRAP_SERVERS.",
    ),
    "run": Command("stages.run:app", RUN, "Run one stage as a process."),
    "rules": Command("stages.rules:app", RUN, "Detection rules: apply, withdraw, list, show."),
    "watch": Command(
        "stages.watch:app",
        RUN,
        "Prometheus rules and Alertmanager routing from deploy/slo.yaml.",
    ),
    "simulate": Command(
        "events.simulate:simulate",
        RUN,
        "Simulate a city: submissions, lookups, heartbeats, and known faults.",
    ),
    "ingest": Command("events.ingest:app", RUN, "Bring in records of other systems."),
    "emit": Command(
        "events.emit:emit",
        RUN,
        "Check events as the pipeline does, and send each with its proper key and partition.",
    ),
    "outages": Command(
        "ledger.outages:app", ASK, "Outages, figures, reports and proof, as auditors need them."
    ),
    "exclusions": Command(
        "ledger.exclusions:app",
        ASK,
        "Maintenance and exclusions, with author, reason and time.",
    ),
    "links": Command("ledger.links:app", ASK, "Links: list, retire, restore."),
    "ledger": Command("ledger.ledger:app", ASK, "The auditors' ledger: make, rebuild, sign, verify."),
    "analyze": Command(
        "logs.analyze:analyze_log",
        REPLAY,
        "Print the final outages of a log as NDJSON, one per line; messages go to stderr.",
    ),
    "explain": Command(
        "logs.explain:explain",
        REPLAY,
        "Show slot by slot what the rule saw, and why the outage opened and closed.",
    ),
    "capture": Command(
        "logs.capture:capture",
        REPLAY,
        "Copy topics into log files, with a manifest of offset ranges, counts and digests.",
    ),
    "replay": Command(
        "logs.replay:replay",
        REPLAY,
        "Publish a log again with its keys, values, partitions and order, at its own pace or faster.",
    ),
    "diff": Command(
        "logs.diff:diff",
        REPLAY,
        "Compare two results by meaning: outages gained, lost and moved.",
    ),
    "query": Command("logs.query:query", REPLAY, "Query captured logs and results by SQL."),
    "doctor": Command(
        "events.doctor:doctor",
        CHECK,
        "Check events, and report each kind of problem with an example.",
    ),
    "golden": Command(
        "logs.golden:app",
        REPLAY,
        "Golden scenarios: a log, a rule and the outages they must give, in a folder to commit.",
    ),
    "backfill": Command(
        "logs.backfill:backfill",
        REPLAY,
        "Write the metrics of a log at its own event times, for Prometheus.",
    ),
    "backtest": Command(
        "logs.backtest:backtest_rules",
        CHECK,
        "Compare two rules over logs: outages gained, lost and moved, and scores where the truth is known.",
    ),
    "score": Command(
        "logs.score:score_outages",
        CHECK,
        "Score outages against the truth: precision and recall, edges, delay, false outages, availability.",
    ),
    "bench": Command(
        "logs.bench:app",
        CHECK,
        "Measure how fast this machine runs the stages, or the audit pages (`serve`).",
    ),
}


def load(name: str) -> Any:
    """Import a command and return it as Typer builds it."""
    entry = COMMANDS[name]
    module, _, attribute = entry.target.partition(":")
    target = getattr(importlib.import_module(f"streams.cli.{module}"), attribute)
    holder = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(target, typer.Typer):
        holder.add_typer(target, name=name)
    else:
        holder.command(name=name)(target)
    return typer.main.get_group(holder).commands[name]


class LazyGroup(TyperGroup):
    """A group that lists its commands from `COMMANDS` and imports only the called one."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands by what they are for."""
        del ctx
        for panel in dict.fromkeys(entry.panel for entry in COMMANDS.values()):
            with formatter.section(panel):
                formatter.write_dl(
                    [(name, entry.summary) for name, entry in COMMANDS.items() if entry.panel == panel]
                )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Put the command itself in the place of its entry in the list."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else listed, rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,  # brackets in a help are words, and a narrow terminal cuts none
    pretty_exceptions_show_locals=False,
    help="Measure how stable the links to the national population database are.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"portallink {streams.__version__}")
        raise typer.Exit


@app.callback()
def _portallink(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take what comes before a command."""
    del version


def main() -> None:
    """Run the command line."""
    run(lambda: app(prog_name="portallink"))
