"""Listen on ports, with a clear error for a port that cannot be used."""

import errno
import socket


class PortError(OSError):
    """A port cannot be used; the message says which and why."""


def listening_on(port: int, host: str) -> socket.socket:
    """Return a socket bound to a port of a host (0: a free one), with the options that servers use.

    Raises PortError.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise port_error(error, port, host) from error
    return bound


def port_error(error: OSError, port: int, host: str) -> PortError:
    """Return an error that explains why a port cannot be used.

    >>> str(port_error(OSError(errno.EADDRINUSE, "Address already in use"), 8080, "127.0.0.1"))
    'port 8080 is in use'
    """
    if error.errno == errno.EADDRINUSE:
        return PortError(f"port {port} is in use")
    return PortError(f"cannot listen on port {port} of {host}: {error.strerror or error}")
