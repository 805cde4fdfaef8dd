"""Make a program that expects its files at a fixed path find them where they were unpacked.

Package managers without root rights, such as conda, rewrite such a path inside the binary. The new path must
be as long as the old one, which a path into a user's cache is not. So the program gets a path through a file
descriptor, `/proc/self/fd/9/././…`, and a script that opens the real directory as descriptor 9 before it runs
the program.
"""

import shlex
from pathlib import Path

DESCRIPTOR = 9


def relocate(root: Path, program: str, expected: str, home: Path) -> None:
    """Rewrite `root/program` so that it finds `expected`, an absolute path, under `home`.

    `root` is where the files are now, `home` where they will be. Raises ValueError if the program does not
    contain the path, or the path is too short.
    """
    binary = root / program
    content = binary.read_bytes()
    shortcut = f"/proc/self/fd/{DESCRIPTOR}"
    spare = len(expected) - len(shortcut)
    if spare < 0 or expected.encode() not in content:
        raise ValueError(f"{program} cannot be made to find {expected} elsewhere")
    replacement = shortcut + ("/." * spare)[:spare]
    moved = binary.with_name(binary.name + ".relocated")
    moved.write_bytes(content.replace(expected.encode(), replacement.encode()))
    moved.chmod(0o755)
    directory = shlex.quote(str(home) + expected)
    real = shlex.quote(str(home / program) + ".relocated")
    binary.write_text(f'#!/bin/sh\nexec {DESCRIPTOR}<{directory}\nexec {real} "$@"\n', "utf-8")
    binary.chmod(0o755)
