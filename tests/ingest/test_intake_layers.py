"""Whatever content is packed in: the same content, or a refusal; in bounded memory, hostile or not."""

import gzip
import io
import lzma
import os
import tracemalloc
import zipfile
from collections import deque
from itertools import chain

import pytest
import zstandard
from foreign_files import FAULT, HTTP_HEAD, PACKINGS, multipart, tar, zipped, zstd, zstd_stream
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.intake.errors import CutOffError, IntakeError
from streams.intake.parts import MAX_LAYERS, parts_of
from streams.intake.shell import opened
from streams.intake.split import Damage, documents
from streams.intake.unpack import BOMB_FLOOR_BYTES, Budget

TEXT = "".join(f'{{"id": {number}, "text": "hồ sơ {number * 7919}"}}\n' for number in range(300)).encode()
MIB = 1 << 20


def unpacked(content, size=1 << 16, name="in"):
    """Return the parts' names and contents of some bytes that come in pieces of a size."""
    budget = Budget()
    chunks = budget.counted(content[at : at + size] for at in range(0, len(content), size))
    return {part.name: b"".join(part.chunks) for part in parts_of(name, chunks, budget, _kept)}


def _kept(chunks):
    return io.BytesIO(b"".join(chunks))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("size", [64, 1 << 16])
def test_whatever_it_is_packed_in_the_content_comes_out(packing, size):
    """Each packing gives the content unchanged, in pieces of any size."""
    [content] = unpacked(PACKINGS[packing](TEXT), size).values()
    assert content.removeprefix(b"\xef\xbb\xbf") == TEXT


CAN_TELL = [
    name for name in PACKINGS if name not in ("plain", "answer with its headers") and "UTF" not in name
]


@pytest.mark.parametrize("bytes_less", range(1, 12))
def test_a_cut_behind_the_archive_is_noticed(bytes_less):
    """A packed tar archive whose packing is cut off behind the archive's own end is refused."""
    with pytest.raises(CutOffError):
        unpacked(PACKINGS["tar, gzip"](TEXT)[:-bytes_less])


@pytest.mark.parametrize("packing", CAN_TELL)
@settings(max_examples=25)
@given(st.data())
def test_a_cut_is_noticed_in_whatever_can_tell(packing, data):
    """Cut off anywhere within its last stream, member or boundary, what is packed is refused."""
    whole = PACKINGS[packing](TEXT)
    # Behind the mark of a member, boundary or frame there may be padding, which nothing is lost with.
    end = len(whole.rstrip(b"\0"))
    end = end - 4 if "answer" in packing else end
    begin = len(whole) // 2 + 300 if "two" in packing else 1
    cut = whole[: data.draw(st.integers(begin, end - 1))]
    try:
        parts = unpacked(cut)
    except IntakeError:
        return
    # So little is left that it looks like text: of which nothing is a record.
    assert all(isinstance(entry, Damage) for part in parts.values() for entry in documents([part]))


@pytest.mark.parametrize("packing", ["gzip", "Zstandard", "xz", "bzip2", "zip", "zip, stored"])
@settings(max_examples=25)
@given(st.data())
def test_a_changed_byte_is_noticed_or_changes_nothing(packing, data):
    """With one byte of it changed, what is packed with a checksum gives the same content or is refused."""
    whole = bytearray(PACKINGS[packing](TEXT) if packing != "Zstandard" else _checked(TEXT))
    at = data.draw(st.integers(8, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        [content] = unpacked(bytes(whole)).values()
    except IntakeError:
        return
    assert content == TEXT


def _checked(content):
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def test_members_are_named_and_all_of_them_read():
    """Each file of an archive is a part named by archive and member; folders and system files are skipped."""
    archive = tar(("a.json", b"[1]"), ("b.json.gz", gzip.compress(b"[2]", mtime=0)), ("._a.json", b"\0"))
    assert unpacked(gzip.compress(archive, mtime=0)) == {"in!a.json": b"[1]", "in!b.json.gz": b"[2]"}
    archive = zipped(("a.json", b"[1]"), ("__MACOSX/a.json", b"\0"), ("n.zip", zipped(("c", b"[3]"))))
    assert unpacked(archive) == {"in!a.json": b"[1]", "in!n.zip!c": b"[3]"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (FAULT, "SOAP fault instead of records: Server.ServerProxy.AccessDenied"),
        (multipart(b"", FAULT), "SOAP fault instead of records: Server.ServerProxy.AccessDenied"),
        (b"<!DOCTYPE html><html></html>", "HTML page"),
        (b"<xml/>", "XML instead of records"),
        (b"PAR1" + bytes(20), "duckdb"),
        (b"7z\xbc\xaf\x27\x1c", "7z x FILE"),
        (b"\x04\x22\x4d\x18", "lz4 -dc FILE"),
        (b"SQLite format 3\0", "sqlite3 -json"),
        (zipped(("[Content_Types].xml", b"")), "save the sheet as CSV"),
        (zipped(), "without a file"),
        (gzip.compress(TEXT, mtime=0) + b"more", "other bytes follow"),
        (HTTP_HEAD + b"nothing", "cut off"),
        (b"--b\r\ncontent-transfer-encoding: base64\r\n\r\nAAAA\r\n--b--", "encoded for mail"),
        (tar(("a.gz", b"\x1f\x8bno gzip")), "in!a.gz: its gzip stream is damaged"),
        (zstd_stream(TEXT * 10, 30), "zstd -dc --long=31 FILE"),
        (b"\x1f", "cut off within its first bytes"),
    ],
)
def test_what_is_not_read_is_told_with_what_to_do(content, reason):
    """Input of another kind is refused: what it is, its place in an archive, the command that mends it."""
    with pytest.raises(IntakeError, match=reason.replace("(", r"\(")):
        unpacked(content)


def test_an_encrypted_zip_is_refused():
    """A zip archive under a password is refused with what to do."""
    whole = bytearray(zipped(("a.json", b"[1]")))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = whole.rindex(mark)
        whole[at + flags] |= 1
    with pytest.raises(IntakeError, match="under a password"):
        unpacked(bytes(whole))


def test_depth_is_bounded():
    """Something packed more than a few times over is refused, however small it is."""
    content = TEXT
    for _ in range(MAX_LAYERS + 1):
        content = gzip.compress(content, mtime=0)
    with pytest.raises(IntakeError, match="packed more than"):
        unpacked(content)


def _zip_bomb(size):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a", "w") as member:
        for _ in range(size // MIB):
            member.write(bytes(MIB))
    return file.getvalue()


def _xz_bomb(size):
    packer = lzma.LZMACompressor()
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(size // MIB)), packer.flush()])


BOMBS = {
    "gzip": lambda size: gzip.compress(bytes(size), 9, mtime=0),
    "gzip in gzip": lambda size: gzip.compress(gzip.compress(bytes(size), 9), 9, mtime=0),
    "Zstandard": lambda size: zstd(bytes(size)),
    "xz": _xz_bomb,
    "zip": _zip_bomb,
    "gzip in tar": lambda size: tar(("a.gz", gzip.compress(bytes(size), 9, mtime=0))),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_in_bounded_memory(bomb):
    """What unpacks out of proportion is refused soon behind the floor, in memory far below what it claims."""
    content = BOMBS[bomb](4 * BOMB_FLOOR_BYTES)
    tracemalloc.start()
    try:
        budget = Budget()
        with pytest.raises(IntakeError, match="decompression bomb"):
            deque(chain.from_iterable(p.chunks for p in parts_of("in", [content], budget, _kept)), maxlen=0)
        assert tracemalloc.get_traced_memory()[1] < (128 if bomb == "Zstandard" else 40) * MIB
    finally:
        tracemalloc.stop()
    assert budget.given_bytes < 3 * BOMB_FLOOR_BYTES


HOSTILE = {
    "garbage without a line break": lambda: [os.urandom(MIB).replace(b"\n", b"x")] * 20,
    "an object that never ends": lambda: [b'{"a": "', *[b"x" * MIB] * 20],
    "brackets that are never closed": lambda: [b'{"a":' * 200_000] * 4,
    "arrays that are never closed": lambda: [b"[" * 10_000],
    "numbers in an array": lambda: [b"[", *[b"1," * (MIB // 8)] * 2],
    "a line of garbage after the other": lambda: [b"not a record at all\n" * 50_000] * 2,
    "quotes": lambda: [b'"' * MIB] * 4,
    "backslashes in a text": lambda: [b'{"a":"', *[b"\\" * MIB] * 8],
    "an answer whose end does not end": lambda: [b'{"records":[],"a":"', *[b"x" * MIB] * 8],
    "white space": lambda: [b" " * MIB] * 20,
    "records with a comma too many": lambda: [b'{"a":1,,}\n' * 50_000],
}


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.timeout(60)
def test_hostile_text_is_read_in_bounded_memory_and_time(hostile):
    """No text makes the splitter hold more than a few records' room, or take more than seconds."""
    tracemalloc.start()
    try:
        for entry in documents(HOSTILE[hostile]()):
            assert entry.line > 0
    except CutOffError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40 * MIB


def test_a_file_is_opened_by_what_it_holds(tmp_path):
    """The shell opens a path whatever its name, a zip archive from the file itself, and closes it."""
    for number, packing in enumerate(PACKINGS):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(PACKINGS[packing](TEXT))
        with opened(str(path)) as parts:
            [content] = [b"".join(part.chunks) for part in parts]
        assert content.removeprefix(b"\xef\xbb\xbf") == TEXT, packing
