"""The one exception hierarchy users meet: every message is one line that says what, where, which value and how to mend it."""


class HwsimError(Exception):
    """Bad input or an illegal model; the command line prints it as `error: ...` and exits with 2."""


class UnknownName(HwsimError):
    """A name that no catalogue entry has; the message lists the nearest of the known names."""


class IllegalModel(HwsimError):
    """A model or graph that no integer hardware can execute as it stands."""


class BadFile(HwsimError):
    """A file that cannot be read or written, is damaged, or holds something else than was asked for."""
