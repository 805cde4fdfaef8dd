"""`portallink watch`: rules and routing for Prometheus and Alertmanager, made from the SLO settings."""

import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from streams.cli.outcome import fail, not_written, notes, print_json, refuse, write_whole
from streams.logs.whole import whole_folder
from streams.resources import resource_folder
from streams.watch.rules import alertmanager_files, rule_files
from streams.watch.settings import SettingsError, load_settings

EXPORTED: Final = ("deploy", "grafana", "schemas")

app = typer.Typer(
    help="Prometheus rules and Alertmanager routing from deploy/slo.yaml.", no_args_is_help=True
)


@app.command()
def rules(
    slo: Annotated[
        Path | None,
        typer.Option(help="Settings file [default: deploy/slo.yaml, or the one in the package]."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("deploy"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of date.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write prometheus/rules/*.yml, alertmanager/alertmanager.yml and the notifications' template."""
    slo = slo or _default_settings()
    try:
        settings = load_settings(slo)
    except SettingsError as error:
        refuse(error)
    texts = {out / "prometheus" / "rules" / name: text for name, text in rule_files(settings).items()}
    texts |= {out / "alertmanager" / name: text for name, text in alertmanager_files(settings).items()}
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    if not check:
        for path in changed:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                not_written(path.parent, error)
            write_whole(path, texts[path].encode())
    for warning in settings.warnings:
        notes.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)
    if as_json:
        print_json(
            {
                "files": [str(path) for path in texts],
                "changed": [str(path) for path in changed],
                "warnings": settings.warnings,
            }
        )
    if check and changed:
        fail(f"not as {slo} makes them: {', '.join(map(str, changed))}; run `portallink watch rules`")
    if not as_json:
        verb = "would write" if check else "wrote"
        notes.print(f"{verb} {len(changed)} of {len(texts)} files, the others are up to date")


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the list of files as JSON.")] = False,
) -> None:
    """Copy the deployment files into a folder: dashboards, rules, Compose file, Dockerfile, settings."""
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        refuse(f"{directory} is not an empty folder")
    try:
        with whole_folder(directory) as folder:
            for name in EXPORTED:
                shutil.copytree(resource_folder(name), folder / name)
    except shutil.Error as error:  # it lists what it could not copy, and why
        fail(error.args[0][0][2])
    except OSError as error:
        not_written(directory, error)
    files = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
    if as_json:
        print_json({"directory": str(directory), "files": files})
    else:
        notes.print(f"wrote {len(files)} files to {directory}")


def _default_settings() -> Path:
    """Return `deploy/slo.yaml` of the current folder, or the one that comes with the package."""
    here = Path("deploy/slo.yaml")
    return here if here.exists() else resource_folder("deploy") / "slo.yaml"
