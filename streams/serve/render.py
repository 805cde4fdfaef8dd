"""Templates into pages: server-rendered, escaped, in one language, needing nothing from elsewhere."""

from functools import cache, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import convert

from streams.model.outage import RaisedNormal
from streams.serve.texts import (
    Language,
    text,
    written_calendar,
    written_count,
    written_figure,
    written_length,
    written_normal,
    written_percent,
    written_time,
)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("streams.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def prepare() -> None:
    """Read the texts and compile every template, so that no reader waits for it."""
    text("title", "vi")
    environment = _environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


def render(template: str, language: Language, **values: Any) -> str:
    """Return a page; raise where a template asks for a value or a text that there is not."""
    return (
        _environment()
        .get_template(template)
        .render(
            language=language,
            t=partial(text, language=language),
            calendar_name=partial(written_calendar, language=language),
            when=partial(written_time, language=language),
            lasting=partial(written_length, language=language),
            share=partial(written_percent, language=language),
            count=partial(written_count, language=language),
            figure=partial(written_figure, language=language),
            normal=lambda raised: written_normal(convert(raised, RaisedNormal), language),
            **values,
        )
    )
