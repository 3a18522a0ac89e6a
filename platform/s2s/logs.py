"""Logging, configured once by the door; every other module only calls `logging.getLogger(__name__)`."""

import logging

QUIET = ("botocore", "aiobotocore", "urllib3", "mlflow", "alembic", "matplotlib", "s3fs", "fsspec", "ray", "httpx")


def configure(*, is_verbose: bool = False) -> None:
    """Send log lines of the package to stderr: warnings by default, details when asked.

    Args:
        is_verbose: Show DEBUG lines of the package and INFO lines of its libraries.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.getLogger("s2s").setLevel(logging.DEBUG if is_verbose else logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.INFO if is_verbose else logging.ERROR)
