"""The map of the code is true."""

import re

from source_tree import ROOT, modules, tracked_texts

TEXT = tracked_texts()["ARCHITECTURE.md"]


def test_every_path_it_names_exists():
    """Each file or folder that ARCHITECTURE.md names exists, in the checkout or in `streams/`."""
    named = re.findall(r"`([a-z_]+(?:/[a-z_.*]*)+)`", TEXT)
    assert len(named) > 20
    missing = [
        path
        for path in named
        if "files/" not in path
        and not any(list(root.glob(path.rstrip("/"))) for root in (ROOT, ROOT / "streams"))
    ]
    assert missing == []


def test_the_map_draws_every_room():
    """The drawing names each room of the package, and each room that it names exists."""
    drawing = TEXT[TEXT.index("```text") : TEXT.index("```", TEXT.index("```text") + 3)]
    parts = {"rule", "link", "store", "proof", "read", "pages", "report", "hours", "stages", "events"}
    drawn = set(re.findall(r"(?<![\w/])([a-z]+)/", drawing)) - parts
    rooms = {module.room for module in modules("streams")} - {"streams", "__main__", "resources"}
    assert drawn == rooms


def test_it_is_one_page():
    """ARCHITECTURE.md has at most 120 lines."""
    assert TEXT.count("\n") <= 120
