"""Disks as tests want them: files of any age, and no locks."""

import errno
import os
import time


def set_age(path, seconds):
    """By the clock of the disk."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def without_locks(descriptor, operation):
    """In place of `fcntl.flock`."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
