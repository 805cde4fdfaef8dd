"""Templates into pages: server-rendered, escaped, in one language, needing nothing from elsewhere."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from msgspec import convert

from streams.model.outage import RaisedNormal
from streams.serve.assets import static_address, static_file
from streams.serve.names import Names, Scope
from streams.serve.texts import (
    Language,
    text,
    written_age,
    written_calendar,
    written_clock,
    written_count,
    written_figure,
    written_length,
    written_normal,
    written_percent,
    written_time,
)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("streams.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["called"] = lambda name, naming: naming(name)
    return environment


def prepare() -> None:
    """Read the texts and compile every template, so that no reader waits for it."""
    text("title", "vi")
    environment = _environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


def render(template: str, language: Language, names: Names, **values: Any) -> str:
    """Return a page; raise where a template asks for a value or a text that there is not."""

    def called(scope: Scope) -> Callable[[str], str]:
        return lambda name: names.called(scope, name, language)

    return (
        _environment()
        .get_template(template)
        .render(
            language=language,
            style=_style(),
            static=static_address,
            t=partial(text, language=language),
            link_name=called("link"),
            portal_name=called("portal"),
            agency_name=called("agency"),
            service_name=called("service"),
            calendar_name=partial(written_calendar, language=language),
            when=partial(written_time, language=language),
            clock=partial(written_clock, language=language),
            age=partial(written_age, language=language),
            lasting=partial(written_length, language=language),
            share=partial(written_percent, language=language),
            count=partial(written_count, language=language),
            figure=partial(written_figure, language=language),
            tenth=lambda share: f"{share:.1f}".replace(".", "," if language == "vi" else "."),
            normal=lambda raised: written_normal(_normal(raised), language),
            **values,
        )
    )


@cache
def _style() -> Markup:
    return Markup(static_file("style.css").decode())  # noqa: S704 - ours


def _normal(raised: RaisedNormal | dict[str, Any]) -> RaisedNormal:
    return raised if isinstance(raised, RaisedNormal) else convert(raised, RaisedNormal)
