"""The errors that a user can meet.

Each also derives from the builtin that a caller would expect. A message is one string: what was expected, what came,
where (file, URI, gene, step) and what to do. The door (`cli`) prints it and exits with `EXIT_CODE`; every other
exception is a defect of ours and keeps its traceback.
"""

EXIT_CODE = 2
MAX_REASON = 300


class S2SError(Exception):
    """Anything that a user can mend; the message says how."""


class InputError(S2SError, ValueError):
    """A file or table does not hold what its reader needs."""


class ConfigError(S2SError, ValueError):
    """A YAML, a `--set` or a setting is not valid."""


class ShapeError(S2SError, ValueError):
    """Arrays that must share a lattice do not."""


class MissingError(S2SError, FileNotFoundError):
    """A section, photograph set, model, file or column is not there."""


class ExistsError(S2SError, FileExistsError):
    """Writing would overwrite what is already committed."""


class StorageError(S2SError, OSError):
    """A store refused, broke off or cannot be reached."""


class TrackingError(S2SError, ConnectionError):
    """The MLflow server refused or cannot be reached."""


class TrainingError(S2SError, ArithmeticError):
    """A training cannot go on: its loss is not finite."""


class LeaseError(S2SError, RuntimeError):
    """Another process works on this run, has taken it over, or has finished it."""


class PreemptedError(S2SError, InterruptedError):
    """The machine is being taken back; the work goes on elsewhere."""


class StackError(S2SError, RuntimeError):
    """A part of the local stack is missing, did not start or does not answer."""


def reason_of(error: BaseException, line: int = 0) -> str:
    """Say in a line why somebody else's exception was raised.

    Args:
        error: The exception.
        line: Which line of its words: mostly the first; Ray's say it in the last.

    Returns:
        `MAX_REASON` characters at most; its name where it says nothing.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[line][:MAX_REASON]
