"""What can be wrong with what a person gave us. Each message says what, where, and what was
expected; the jobs print these without a traceback."""


class RayrankError(Exception):
    """A fault in the user's input or set-up, not in rayrank."""


class ConfigError(RayrankError):
    """A configuration or schema file that cannot be used."""


class DataError(RayrankError):
    """A table that does not fit its schema."""


class LeakageError(DataError):
    """A row that knows its future."""


class CapacityError(RayrankError):
    """An embedding table that has met more ids than its memory budget holds."""


class WeightsError(RayrankError):
    """Saved weights of another model than the one that is to take them."""


class BundleError(RayrankError):
    """A bundle that is incomplete, altered, or of another version."""


class VersionError(RayrankError):
    """Work that was made from something else than what it is asked for."""


class TrainingError(RayrankError):
    """A training run that cannot go on."""


class DivergedError(TrainingError):
    """A training run whose numbers are not finite any more."""


class CheckpointError(RayrankError):
    """A checkpoint that is incomplete or damaged."""


class CheckError(RayrankError):
    """A served bundle that does not score as the trainer did."""


class DeadlineError(RayrankError):
    """An answer that cannot be there, or is not, before its deadline."""


class ServeError(RayrankError):
    """An endpoint that cannot be started."""


class MonitorError(RayrankError):
    """Nothing can be watched, or not in this way."""
