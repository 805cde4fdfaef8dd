"""The input layer: turns input of any supported form into documents, each with its line number.

Every reader of foreign files uses it, so that no file is judged by its name and each format is handled in one
place:

| file | turns | into |
|---|---|---|
| `kinds` | the first bytes | what they are, or why they are not read and which command converts them |
| `unpack` | gzip, Zstandard, xz, bzip2 | their content, with bounded memory, or a refusal |
| `archive` | tar, zip | their members |
| `mime` | a multipart answer | its parts |
| `text` | UTF-16, UTF-32 | UTF-8 |
| `parts` | any nesting of these | named parts of UTF-8 text: the function to call |
| `split` | JSON in any arrangement | one object at a time, or damage, each with its line |
| `lines` | text | blocks of whole lines, numbered |
| `table` | CSV with a header | one row at a time, or damage, each with its line |
| `shell` | a path or standard input | the parts; the only file here that opens anything |

Everything streams: memory is bounded by `split.MAX_DOCUMENT_BYTES` and the window of a compressed stream,
whatever the size of the input. Order of calls: `shell.opened(name)`, then for each part
`split.documents(part.chunks)` (or `table.rows`). Read each part to its end before the next.
"""
