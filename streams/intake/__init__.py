"""The input layer: from whatever bytes someone hands over to documents, each with its line.

Every reader of foreign files goes through it, so that none guesses by a file's name and each shape is
learnt once:

| file | turns | into |
|---|---|---|
| `kinds` | the first bytes | what they are, or why they are not read and which command mends that |
| `unpack` | gzip, Zstandard, xz, bzip2 | their content, with bounded memory, or a refusal |
| `archive` | tar, zip | their members |
| `mime` | a multipart answer | its parts |
| `text` | UTF-16, UTF-32 | UTF-8 |
| `parts` | any nesting of these | named parts of UTF-8 text: the function to call |
| `split` | JSON in any arrangement | one object at a time, and what is damaged, each with its line |
| `lines` | text | blocks of whole lines, numbered |
| `table` | CSV with a header | one row at a time, likewise |
| `shell` | a path or standard input | the parts; the only file here that opens anything |

All of it streams: memory is bounded by `split.MAX_DOCUMENT_BYTES` and the window of a compressed stream,
whatever the size of the input. Order of calls: `shell.opened(name)`, for each part
`split.documents(part.chunks)` (or `table.rows`), each part read to its end before the next.
"""
