"""Errors of third-party servers; each message says what to do."""


class PartError(RuntimeError):
    """A part did not start, answer or stop; the message holds the tail of its log where there is one."""


class PartUnavailableError(PartError):
    """A part is neither on this machine nor to be fetched; the message says how to get it."""
