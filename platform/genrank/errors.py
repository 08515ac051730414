"""What can be wrong with what a person gave us. Each message says what, where, and what was
expected; the jobs print these without a traceback."""


class GenrankError(Exception):
    """A fault in the user's input or set-up, not in genrank."""


class ConfigError(GenrankError):
    """A configuration or schema file that cannot be used."""


class DataError(GenrankError):
    """A table that does not fit its schema."""


class LeakageError(DataError):
    """A row that knows its future."""


class CapacityError(GenrankError):
    """An embedding table that has met more ids than its memory budget holds."""


class BundleError(GenrankError):
    """A bundle that is incomplete, altered, or of another version."""
