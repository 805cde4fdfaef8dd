"""Command lines of deployment files, parsed as `portallink` would, without running them."""

import typer

from streams.cli import app

# Typer carries its own click; this is its class of what a command line can get wrong.
USAGE_ERROR = typer.BadParameter.__bases__[0]


def parse(arguments: list[str]) -> str:
    """Parse a command line as `portallink` would, without running it; return the command's name."""
    command = typer.main.get_command(app)
    context = command.make_context("portallink", list(arguments), resilient_parsing=False)
    path, rest = [], list(arguments)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        path.append(name)
        if hasattr(command, "resolve_command"):
            context = command.make_context(name, list(rest), parent=context)
    command.make_context(path[-1], rest, parent=context)
    return " ".join(path)
