"""Work that is broken off at a call."""


class StopError(Exception):
    """As a kill: nothing heeds it."""


def stopping(function, at, error):
    """The function, which at its n-th call raises instead."""
    calls = []

    def stopped(*arguments, **options):
        calls.append(arguments)
        if len(calls) == at:
            raise error
        return function(*arguments, **options)

    return stopped
