"""Send well-formed events and heartbeats from your own portal: `Emitter` sends, `wellformed` checks."""

from streams.emit.emitter import BufferFullError, Emitter, EmitterClosedError, Lookup
from streams.emit.wellformed import EventError

__all__ = ["BufferFullError", "Emitter", "EmitterClosedError", "EventError", "Lookup"]
