"""`python -m streams` is `portallink`."""

from streams.cli import main

main()
