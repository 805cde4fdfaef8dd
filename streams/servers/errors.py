"""Errors of third-party servers; each message says what to do."""


class PartError(RuntimeError):
    """A server did not start, answer or stop; the message contains the end of its log, if any."""


class PartUnavailableError(PartError):
    """A server is neither installed nor downloadable; the message says how to get it."""
