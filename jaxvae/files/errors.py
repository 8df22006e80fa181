"""Errors of the system, in words that say what was tried and what to do."""


def explained_error(error: OSError, message: str) -> OSError:
    """The same error with another message; some of NumPy's have no number."""
    return OSError(message) if error.errno is None else OSError(error.errno, message)
