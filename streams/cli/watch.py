"""`portallink watch`: rules and routing for Prometheus and Alertmanager, made from the SLO settings."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.outcome import fail, notes, print_json, refuse
from streams.watch.rules import alertmanager_file, rule_files
from streams.watch.settings import SettingsError, load_settings

app = typer.Typer(
    help="Prometheus rules and Alertmanager routing from deploy/slo.yaml.", no_args_is_help=True
)


@app.callback()
def _watch() -> None:
    """Keep `rules` a subcommand, however few there are."""


@app.command()
def rules(
    slo: Annotated[Path, typer.Option(help="The settings to make them from.")] = Path("deploy/slo.yaml"),
    out: Annotated[Path, typer.Option(help="The folder that gets the files.")] = Path("deploy"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a file differs from its settings.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write prometheus/rules/*.yml and alertmanager/alertmanager.yml."""
    try:
        settings = load_settings(slo)
    except SettingsError as error:
        refuse(error)
    texts = {out / "prometheus" / "rules" / name: text for name, text in rule_files(settings).items()}
    texts[out / "alertmanager" / "alertmanager.yml"] = alertmanager_file(settings)
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    if not check:
        try:
            for path in changed:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(texts[path], "utf-8")
        except OSError as error:
            fail(error)
    if as_json:
        print_json({"files": [str(path) for path in texts], "changed": [str(path) for path in changed]})
    if check and changed:
        fail(f"not as {slo} makes them: {', '.join(map(str, changed))}; run `portallink watch rules`")
    if not as_json:
        verb = "would write" if check else "wrote"
        notes.print(f"{verb} {len(changed)} of {len(texts)} files, the others are as they should be")
