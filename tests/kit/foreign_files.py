"""Records and logs as other tools leave them: arranged, packed, encoded, archived. Made by the tests."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import zstandard

MARK = "\ufeff"


def lines(records):
    """Return one object a line."""
    return "".join(json.dumps(record) + "\n" for record in records)


ARRANGEMENTS = {
    "lines": lines,
    "lines without the last break": lambda records: lines(records).removesuffix("\n"),
    "array on one line": json.dumps,
    "array over lines": lambda records: json.dumps(records, indent=4),
    "array of a record a line": lambda records: "[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n",
    "array with leading commas": lambda records: "[\n" + "\n,".join(map(json.dumps, records)) + "\n]",
    "arrays a line": lambda records: "".join(json.dumps([record]) + "\n" for record in records),
    "objects over lines": lambda records: "\n".join(json.dumps(record, indent=2) for record in records),
    "objects joined": lambda records: "".join(map(json.dumps, records)),
    "arrays joined": lambda records: json.dumps(records[:1]) + json.dumps(records[1:]),
    "answer": lambda records: json.dumps({"nextRecordsFrom": 7, "records": records}),
    "answer over lines": lambda records: json.dumps({"records": records, "more": [1]}, indent=1),
    "answers a line": lambda records: "\n\n".join(json.dumps({"records": [record]}) for record in records),
    "hits": lambda records: json.dumps({"hits": {"total": {"value": 1}, "hits": records}, "took": 1}),
    "record separators": lambda records: "".join("\x1e" + json.dumps(record) + "\n" for record in records),
    "marks of joined files": lambda records: "".join(MARK + json.dumps(r) + "\n" for r in records),
    "Windows line ends": lambda records: lines(records).replace("\n", "\r\n"),
}
"""Every arrangement of JSON objects that is read, by what it is called: each turns records into text."""


def tar(*members):
    """Return a tar archive of (name, content)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zipped(*members, compression=zipfile.ZIP_DEFLATED):
    """Return a zip archive of (name, content)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.mkdir("logs")
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def zstd(content, window_log=20):
    """Return content as a Zstandard frame with a window of so many bits."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(content)


def zstd_stream(content, window_log):
    """Return content as a frame that does not say its size, so that its window counts."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(content) + packer.flush()


def in_streams(pack):
    """Return a packing that cuts content in two streams, one behind the other."""
    return lambda content: pack(content[: len(content) // 2]) + pack(content[len(content) // 2 :])


def multipart(attachment, soap=b"<Envelope><Body/></Envelope>"):
    """Return a security server's answer: SOAP, then the records."""
    return (
        b"--xroadBoundary1\r\ncontent-type:text/xml\r\n\r\n" + soap + b"\r\n--xroadBoundary1\r\n"
        b"content-type:application/gzip\r\ncontent-transfer-encoding:binary\r\n"
        b"content-id:<operational-monitoring-data.json.gz>\r\n\r\n"
        + attachment
        + b"\r\n--xroadBoundary1--\r\n"
    )


HTTP_HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 16 Jun 2025 00:00:00 GMT\r\n"
    b'Content-Type: multipart/related; boundary="xroadBoundary1"\r\n\r\n'
)
FAULT = (
    b"<e:Envelope><e:Body><e:Fault><faultcode>Server.ServerProxy.AccessDenied</faultcode></e:Fault>"
    b"</e:Body></e:Envelope>"
)

PACKINGS = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "gzip in two streams": in_streams(gzip.compress),
    "gzip, zeros behind": lambda content: gzip.compress(content, mtime=0) + bytes(512),
    "Zstandard": zstd,
    "Zstandard in two frames": in_streams(zstd),
    "Zstandard, skippable frame before": lambda c: b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstd(c),
    "Zstandard, long window": lambda content: zstd_stream(content, 28),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "bzip2 in two streams": in_streams(bz2.compress),
    "tar": lambda content: tar(("logs/a.ndjson", content)),
    "tar, gzip": lambda content: gzip.compress(tar(("a.json", content)), mtime=0),
    "tar of gzip": lambda content: tar(
        ("._a.json", b"\x00\x05"), ("a.json.gz", gzip.compress(content, mtime=0))
    ),
    "zip": lambda content: zipped(("logs/a.json", content)),
    "zip, stored": lambda content: zipped(("a.json", content), compression=zipfile.ZIP_STORED),
    "zip in gzip": lambda content: gzip.compress(zipped(("a.json", content)), mtime=0),
    "multipart answer": lambda content: multipart(gzip.compress(content, mtime=0)),
    "multipart answer, headers before": lambda content: (
        HTTP_HEAD + multipart(gzip.compress(content, mtime=0))
    ),
    "answer with its headers": lambda c: b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + c,
    "UTF-8 with a mark": lambda content: (MARK + content.decode()).encode(),
    "UTF-16 of PowerShell": lambda content: (MARK + content.decode()).encode("utf-16-le"),
    "UTF-16, the other way": lambda content: (MARK + content.decode()).encode("utf-16-be"),
    "UTF-16 without a mark": lambda content: content.decode().encode("utf-16-le"),
    "UTF-32": lambda content: (MARK + content.decode()).encode("utf-32-le"),
    "UTF-16, gzip": lambda content: gzip.compress((MARK + content.decode()).encode("utf-16-le"), mtime=0),
}
"""Everything content may be packed in, by what it is called: each turns bytes into bytes."""
