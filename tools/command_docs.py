"""``python -m tools.command_docs [--check]``: write the commands' documentation, from a checkout's root.

`docs/commands.md` whole, and the table in `README.md` between its marks, both from the commands themselves.
"""

import argparse
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer

from streams.cli import COMMANDS, load

BEGIN, END = "<!-- commands -->", "<!-- /commands -->"

HEAD = """# Commands

Written by `python -m tools.command_docs` from the commands themselves.

Every command ends with 0 when it is done, 1 when it failed, and 2 when it was used wrongly or given bad
input. Results go to standard output, remarks about them to standard error; `--json` prints results for
programs. Times without a zone are Asia/Ho_Chi_Minh.

An id may be shortened to any beginning that only one id has; `--json` prints ids whole. In a narrow terminal
tables leave out their least important columns and name them, but never cut an id, a name or a time; a pipe
gets every column, unless `COLUMNS` sets a width. `--language vi`, or `PORTALLINK_LANGUAGE=vi`, prints in
Vietnamese what auditors read. Files and folders appear under their names once they are complete; until then
the name ends with `.partial`.

`portallink --install-completion` makes the shell complete commands, options and known values such as
scenarios, maps and topics; `--show-completion` prints the script for bash, zsh, fish or PowerShell.
"""


def leaves() -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, by its full name: `outages list`."""
    for name in COMMANDS:
        yield from _below(name, load(name), None)


def _below(path: str, command: Any, parent: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "list_commands"):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    context = typer.Context(command, info_name=path, parent=parent)
    for name in command.list_commands(context):
        yield from _below(f"{path} {name}", command.get_command(context, name), context)


def commands_table() -> str:
    """Return the table of the README: a row a command, its sub-commands side by side."""
    below: dict[str, list[str]] = {}
    for path, _ in leaves():
        name, _, rest = path.partition(" ")
        below.setdefault(name, []).append(rest)
    lines, panel = ["| command | does |", "|---|---|"], None
    for name, entry in COMMANDS.items():
        if entry.panel != panel:
            panel = entry.panel
            lines.append(_row(f"**{panel}**", ""))
        further = "/".join(filter(None, below[name]))
        if further and "" in below[name]:
            further = f"[{further}]"  # the command does something by itself as well
        lines.append(_row(f"`{' '.join(filter(None, ['portallink', name, further]))}`", entry.summary))
    return "\n".join(lines) + "\n"


def commands_document() -> str:
    """Return `docs/commands.md`."""
    return "\n".join([HEAD, *(_section(path, command) for path, command in leaves())])


def _section(path: str, command: Any) -> str:
    context = typer.Context(command)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([f"portallink {path}", *(_place(p) for p in arguments)])
    lines = [
        f"## {path}",
        "",
        f"`{usage}{' [OPTIONS]' if options else ''}`",
        "",
        cleandoc(command.help or ""),
    ]
    rows = [(_place(p), p) for p in arguments] + [(_option(p, context), p) for p in options]
    if rows:
        lines += ["", "| argument or option | means |", "|---|---|"]
        lines += [_row(f"`{name}`", _meaning(parameter)) for name, parameter in rows]
    return "\n".join([*lines, ""])


def _row(*cells: str) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _place(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: Any, context: typer.Context) -> str:
    names = "/".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    taken = option.metavar or option.display_type(context).replace(" range>", ">")
    return f"{names} {taken}"


def _meaning(parameter: Any) -> str:
    remarks = []
    if parameter.multiple:
        remarks.append("repeatable")
    default = getattr(parameter.default, "value", parameter.default)
    if isinstance(default, str | int | float) and not isinstance(default, bool) and default != "":
        remarks.append(f"default {default}")
    if parameter.envvar:
        remarks.append(f"or `{parameter.envvar}`")
    text = " ".join((parameter.help or "").split())
    return " ".join(filter(None, [text, f"({', '.join(remarks)})" if remarks else ""]))


def generated(root: Path) -> dict[Path, str]:
    """Return the files with the descriptions of the commands, as they should be."""
    readme = root / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        readme: f"{before}{BEGIN}\n{commands_table()}{END}{after}",
        root / "docs" / "commands.md": commands_document(),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` name those that drifted; the exit code says whether any did."""
    parser = argparse.ArgumentParser(prog="python -m tools.command_docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file drifted")
    check = parser.parse_args(arguments).check
    drifted = {
        path: text
        for path, text in generated(Path.cwd()).items()
        if not path.exists() or path.read_text("utf-8") != text
    }
    for path, text in drifted.items():
        print(path.relative_to(Path.cwd()))
        if not check:
            path.write_text(text, "utf-8")
    return int(check and bool(drifted))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
