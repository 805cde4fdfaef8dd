"""The transitions between conditions as a Mermaid state diagram, made from the table that defines them."""

from streams.detect.rule.cusum import TRANSITIONS

MARKS = ("<!-- transitions: begin -->", "<!-- transitions: end -->")
"""The diagram is between these lines of `docs/detection.md`."""


def mermaid() -> str:
    """Return the diagram: an arrow for each pair of conditions, with the tests that lead along it."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> UP"]
    for condition, tests in TRANSITIONS.items():
        arrows: dict[str, list[str]] = {}
        for test, target in tests.items():
            arrows.setdefault(target, []).append(test)
        lines += [f"    {condition} --> {target}: {', '.join(names)}" for target, names in arrows.items()]
    return "\n".join([*lines, "```"])


def with_diagram(document: str) -> str:
    """Return a document with the diagram between the marks; raise ValueError if these are missing."""
    head, begin, rest = document.partition(MARKS[0])
    _, end, tail = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"the document has no lines {MARKS[0]} and {MARKS[1]}")
    return f"{head}{begin}\n{mermaid()}\n{end}{tail}"
