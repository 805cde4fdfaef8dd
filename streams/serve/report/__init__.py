"""Reports of a period as files, in each format, from one answer."""
