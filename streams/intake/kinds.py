"""Recognise input by its first bytes: by magic number if the format has one, otherwise by its text.

Magic numbers are those of the formats' specifications: RFC 1952 (gzip), RFC 8878 (Zstandard), the xz and
bzip2 file formats, APPNOTE.TXT (zip), POSIX ustar (tar).
"""

from enum import Enum
from re import IGNORECASE
from re import compile as pattern
from typing import Final

HEAD_BYTES: Final = 1024
"""How many bytes `kind_of` looks at; tar has its mark at byte 257."""


class Kind(Enum):
    """The supported kinds of input."""

    GZIP = "gzip"
    ZSTD = "Zstandard"
    XZ = "xz"
    BZIP2 = "bzip2"
    TAR = "tar"
    ZIP = "zip"
    MIME = "a multipart answer"
    XML = "XML"
    UTF_16_LE = "utf-16-le"
    UTF_16_BE = "utf-16-be"
    UTF_32_LE = "utf-32-le"
    UTF_32_BE = "utf-32-be"
    TEXT = "text"


PACKED: Final = frozenset({Kind.GZIP, Kind.ZSTD, Kind.XZ, Kind.BZIP2})
WIDE: Final = frozenset({Kind.UTF_16_LE, Kind.UTF_16_BE, Kind.UTF_32_LE, Kind.UTF_32_BE})

_MAGIC: Final = (
    (b"\x1f\x8b", Kind.GZIP),
    (b"\x28\xb5\x2f\xfd", Kind.ZSTD),
    (b"\xfd7zXZ\x00", Kind.XZ),
    (b"BZh", Kind.BZIP2),
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),  # an empty archive
    (b"\xff\xfe\x00\x00", Kind.UTF_32_LE),
    (b"\x00\x00\xfe\xff", Kind.UTF_32_BE),
    (b"\xff\xfe", Kind.UTF_16_LE),
    (b"\xfe\xff", Kind.UTF_16_BE),
)
_WITHOUT_MARK: Final = (
    (pattern(rb"[\t\n\r\x1e-\x7e]\0\0\0"), Kind.UTF_32_LE),
    (pattern(rb"\0\0\0[\t\n\r\x1e-\x7e]"), Kind.UTF_32_BE),
    (pattern(rb"(?:[\t\n\r\x1e-\x7e]\0){2}"), Kind.UTF_16_LE),
    (pattern(rb"(?:\0[\t\n\r\x1e-\x7e]){2}"), Kind.UTF_16_BE),
)
"""JSON and CSV begin with ASCII, whose code units have one zero byte (UTF-16) or three (UTF-32)."""
_SKIPPABLE_ZSTD: Final = pattern(rb"[\x50-\x5f]\x2a\x4d\x18")
_TAR_MARK: Final = slice(257, 262)
_MIME: Final = pattern(
    rb"--[^\s-][^\r\n]{0,69}\r?\n[a-z-]+:|HTTP/[\d.]+ \d+|content-type:|mime-version:", IGNORECASE
)

_UNPACK: Final = "unpack it first: "
UNREAD: Final = (
    (b"\x37\x7a\xbc\xaf\x27\x1c", f"a 7z archive; {_UNPACK}7z x FILE"),
    (b"Rar!\x1a\x07", f"a RAR archive; {_UNPACK}unrar x FILE"),
    (b"\x04\x22\x4d\x18", "compressed with LZ4; unpack it on the way in: lz4 -dc FILE | portallink ... -"),
    (
        b"\xff\x06\x00\x00sNaPpY",
        "compressed with Snappy; unpack it on the way in: snzip -dc FILE | portallink ... -",
    ),
    (b"\x1f\x9d", "compressed with compress (.Z); unpack it on the way in: zcat FILE | portallink ... -"),
    (b"\x5d\x00\x00", "compressed with LZMA; unpack it on the way in: unlzma -c FILE | portallink ... -"),
    (
        b"PAR1",
        (
            "a Parquet file; write it as lines of JSON first: "
            "duckdb -c \"COPY (FROM 'FILE') TO 'records.ndjson' (FORMAT json)\""
        ),
    ),
    (
        b"SQLite format 3\x00",
        "an SQLite database; write the table as lines of JSON first: sqlite3 -json FILE ...",
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document; save the sheet as CSV"),
    (b"%PDF-", "a PDF; export the records as JSON or CSV"),
    (
        b"PGDMP",
        'a PostgreSQL dump; export the table: psql -c "COPY (SELECT row_to_json(t) FROM ... t) TO STDOUT"',
    ),
    (b"Obj\x01", "an Avro file; write it as lines of JSON first: avro-tools tojson FILE"),
    (b"ARROW1", "an Arrow file; write it as lines of JSON first"),
)
"""First bytes of formats that are recognised but not read, with the command that converts them."""


def kind_of(head: bytes) -> Kind:
    r"""Return the kind of an input from its first bytes; text if nothing else matches.

    >>> kind_of(b"\x1f\x8b\x08"), kind_of(b'{"a": 1}'), kind_of("{\n".encode("utf-16-le"))
    (<Kind.GZIP: 'gzip'>, <Kind.TEXT: 'text'>, <Kind.UTF_16_LE: 'utf-16-le'>)
    """
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if _SKIPPABLE_ZSTD.match(head):
        return Kind.ZSTD
    if head[_TAR_MARK] == b"ustar":
        return Kind.TAR
    for shape, kind in _WITHOUT_MARK:
        if shape.match(head):
            return kind
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _MIME.match(begin):
        return Kind.MIME
    return Kind.XML if begin.startswith(b"<") else Kind.TEXT


def is_cut_off(head: bytes) -> bool:
    r"""Return whether an input ends within the magic number of a packed format.

    >>> is_cut_off(b"\x1f"), is_cut_off(b""), is_cut_off(b"\x1f\x8b")
    (True, False, False)
    """
    return any(0 < len(head) < len(magic) and magic.startswith(head) for magic, _ in _MAGIC)


def why_unread(head: bytes) -> str | None:
    """Return what an input is and the command that converts it, if it is recognised but not read.

    >>> why_unread(b"%PDF-1.7")
    'a PDF; export the records as JSON or CSV'
    """
    return next((told for magic, told in UNREAD if head.startswith(magic)), None)
