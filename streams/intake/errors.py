"""What the input layer raises."""


class IntakeError(ValueError):
    """Input that cannot be read further; the message says what it is, and what to do about it.

    ``line`` is the line of the fault, None if lines do not apply.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        self.reason, self.line = reason, line
        super().__init__(reason)


class CutOffError(IntakeError):
    """Input that ends before its content is complete."""
