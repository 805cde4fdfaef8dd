"""A real headless Chromium, for screenshots, and for tests that use a page as a person would."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from streams.servers.debian import find_program
from streams.servers.errors import PartError
from streams.servers.http_server import HttpServer

# It only shows our own pages, so it needs no sandbox (which root cannot use) and no outside connections.
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
)
SCREENSHOT_TIMEOUT_SECONDS = 60


class Chromium(HttpServer):
    """A browser that is driven through its DevTools protocol at `url` (Playwright: `connect_over_cdp`)."""

    program = "chromium"
    ready_path = "/json/version"

    def arguments(self, port: int) -> Sequence[str | Path]:
        """Return the command line after the program's name."""
        return [
            *ARGUMENTS,
            f"--user-data-dir={self.directory / 'profile'}",
            "--remote-debugging-address=127.0.0.1",
            f"--remote-debugging-port={port}",
            "about:blank",
        ]


def screenshot(url: str, picture: Path, *, width: int = 1280, height: int = 1024) -> None:
    """Write a PNG of a page as a person sees it after it has loaded; width and height in pixels.

    Raises PartUnavailableError without Chromium, PartError with its last output if it made no picture.
    """
    browser = find_program("chromium")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        done = browser.run(
            *ARGUMENTS,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            f"--screenshot={picture.absolute()}",
            url,
            timeout_seconds=SCREENSHOT_TIMEOUT_SECONDS,
        )
    if done.returncode != 0 or not picture.exists():
        raise PartError(f"chromium made no picture of {url}: {done.stderr[-2000:]}")
