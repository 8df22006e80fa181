"""Errors of the system: which there are, and in words that say what was tried and what to do."""

import errno

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
"""The numbers of the errors by which a file system says that it has no locks."""


def explained_error(error: OSError, message: str) -> OSError:
    """The same error with another message; some of NumPy's have no number."""
    return OSError(message) if error.errno is None else OSError(error.errno, message)
