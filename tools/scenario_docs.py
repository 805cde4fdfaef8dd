"""``python -m tools.scenario_docs [--check]``: write the reference of catalogues and scenarios.

`docs/scenarios.md` and three JSON Schemas, all from the types that read the files, from a checkout's root.
"""

import argparse
import json
import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from streams.simulate.city import Catalogue
from streams.simulate.nation import Nation
from streams.simulate.scenario import Scenario

ROOTS: Final = {"scenario": Scenario, "catalogue": Catalogue, "nation": Nation}
HEAD: Final = """# Catalogues and scenarios: the reference

Written by `python -m tools.scenario_docs` from the types that read the files.

`portallink simulate SCENARIO` plays a scenario of the package, or a YAML file of your own: `portallink
simulate mine.yaml --out log.ndjson`. With `--catalogue DIR` the city is your own as well: `DIR/city.yaml`
is its catalogue, and each other `.yaml` beside it a scenario, named after its file. Of `DIR/nation.yaml`
the scenario `national` is made: a portal, links and communes for each province. Begin with a copy of
`streams/simulate/data`. What is wrong in a file is named by file, line and reason, with the values that
there are.

Times are local, Asia/Ho_Chi_Minh: `2024-03-11T07:30`. Names are small letters, digits and hyphens. A file
has at most 4 MB, a scenario 1,830 days and about 500 million records. `city.md` says what the simulation
makes of all this. JSON Schemas for editors lie beside the data:
`streams/simulate/data/scenario.schema.json`, `catalogue.schema.json` and `nation.schema.json`.
"""


def _named(type_: Any) -> str:
    """Return how a type is written in the reference."""
    match type_:
        case inspect.Metadata(type=inner):
            return _named(inner)
        case inspect.IntType() | inspect.FloatType():
            word = "integer" if isinstance(type_, inspect.IntType) else "number"
            bounds = [("over", type_.gt), ("from", type_.ge), ("under", type_.lt), ("to", type_.le)]
            said = " ".join(f"{how} {value:,}" for how, value in bounds if value is not None)
            return f"{word} {said}".strip()
        case inspect.StrType(pattern=pattern):
            if pattern is None:
                return "text"
            return "time" if "T" in pattern else "date" if r"\d{4}" in pattern else "name"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(f"`{value}`" for value in values)
        case inspect.ListType(item_type=item):
            return f"list: {_named(item)}"
        case inspect.DictType(key_type=key, value_type=value):
            return f"mapping: {_named(key)} to {_named(value)}"
        case inspect.UnionType(types=types):
            return " or ".join(_named(one) for one in types if not isinstance(one, inspect.NoneType))
        case inspect.StructType(cls=cls):
            return f"[{cls.__name__}](#{cls.__name__.lower()})"
        case _:
            raise TypeError(f"{type_} is not described yet")


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "its own"
    return "none" if value is None or value == "" else f"`{json.dumps(value)}`"


def _structs(type_: Any, found: dict[str, inspect.StructType]) -> None:
    """Collect every mapping within a type, in order of appearance."""
    if isinstance(type_, inspect.StructType):
        if type_.cls.__name__ in found:
            return
        found[type_.cls.__name__] = type_
        for field in type_.fields:
            _structs(field.type, found)
    for part in ("type", "item_type", "value_type"):
        if hasattr(type_, part):
            _structs(getattr(type_, part), found)
    for one in getattr(type_, "types", ()):
        _structs(one, found)


def reference() -> str:
    """Return the page."""
    found: dict[str, inspect.StructType] = {}
    for root in ROOTS.values():
        _structs(inspect.type_info(root), found)
    parts = [HEAD]
    for name, struct in found.items():
        rows = [f"| `{f.encode_name}` | {_named(f.type)} | {_default(f)} |" for f in struct.fields]
        text = cleandoc(struct.cls.__doc__ or "").replace("``", "`")
        parts.append(
            "\n".join([f"## {name}\n", text, "", "| field | is | default |", "|---|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def generated(root: Path) -> dict[Path, str]:
    """Return every generated file of a checkout, as it should be."""
    data = root / "streams" / "simulate" / "data"
    schemas = {
        data / f"{name}.schema.json": json.dumps(msgspec.json.schema(type_), indent=1, ensure_ascii=False)
        + "\n"
        for name, type_ in ROOTS.items()
    }
    return {**schemas, root / "docs" / "scenarios.md": reference()}


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` name those that drifted; the exit code says whether any did."""
    parser = argparse.ArgumentParser(prog="python -m tools.scenario_docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file drifted")
    check = parser.parse_args(arguments).check
    stale = [p for p, text in generated(Path.cwd()).items() if not p.exists() or p.read_text("utf-8") != text]
    for path in stale:
        print(f"{'drifted' if check else 'wrote'} {path}")
        if not check:
            path.write_text(generated(Path.cwd())[path], "utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
