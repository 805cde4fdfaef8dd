"""Command lines in documents, held against the commands."""

import re

import pytest
from source_tree import tracked_texts

from tools.command_docs import leaves

COMMANDS = dict(leaves())
LINE = re.compile(r"(?:^(?: {4,}|\$ )|`)(?:\.venv/bin/)?portallink ([a-z][^`\n|]*)", re.MULTILINE)
# Written for every stage at once, or a whole family.
FAMILIES = {
    "run STAGE",
    "outages",
    "exclusions",
    "ledger",
    "rules",
    "run",
    "watch",
    "bench",
    "links",
    "kafka",
    "ingest",
}
DOCUMENTS = sorted(name for name in tracked_texts() if name.endswith((".md", "runbooks.yaml")))


def lines(name: str) -> list[str]:
    """Return the command lines that a document shows, comments and redirections cut off."""
    return [re.split(r"\s+#|\s[|>&]|\\$", found)[0].strip() for found in LINE.findall(tracked_texts()[name])]


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if lines(name)])
def test_what_a_document_says_to_type_is_accepted(name):
    """Each command in a document exists, and has each option that the document gives it."""
    wrong = []
    for line in lines(name):
        words = re.sub(r"/[a-z]+(?=[ /]|$)", "", line).split()
        path = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in COMMANDS), None)
        if path is None:
            if " ".join(words[:2]) not in FAMILIES and words[0] not in FAMILIES:
                wrong.append(line)
            continue
        known = {
            text
            for parameter in COMMANDS[path].params
            for text in (*parameter.opts, *parameter.secondary_opts)
        }
        given = {word.split("=")[0].rstrip(",.:;)") for word in words if word.startswith("--")}
        if given - known - {"--help"}:
            wrong.append(f"{line}: {sorted(given - known)}")
    assert wrong == []
