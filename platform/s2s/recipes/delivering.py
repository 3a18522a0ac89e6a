"""Put an imputed section where the user wants it: a file, a folder, or a Zarr store on S3."""

from pathlib import Path

from s2s.contracts.settings import Settings
from s2s.errors import ExistsError, InputError
from s2s.exchange.anndata_out import ImputedSection, check_output, write_imputed, write_imputed_store
from s2s.storage.location import open_store
from s2s.storage.objects import delete_prefix, list_names


def check_destination(out: str, settings: Settings, *, replace: bool) -> None:
    """Refuse a destination before the work is done.

    Raises:
        InputError: neither `.h5ad` nor `.zarr`, or a file format on S3.
        ExistsError: something is there and `replace` is off.
        StorageError: S3 does not answer.
    """
    if "://" not in out:
        check_output(Path(out), replace=replace)
        return
    if not out.endswith(".zarr"):
        raise InputError(f"expected a URI that ends in .zarr, got {out}; on S3 only Zarr is written")
    # Whatever lies there would be deleted before writing, a Zarr store of ours or not.
    if not replace and (found := list_names(out, settings)):
        raise ExistsError(f"expected nothing at {out}, found {', '.join(found[:3])}; choose another name or add --replace")


def deliver(imputed: ImputedSection, out: str, settings: Settings, *, replace: bool) -> None:
    """Write an imputed section as AnnData.

    Args:
        imputed: What to write.
        out: `FILE.h5ad`, `FOLDER.zarr` or `s3://.../NAME.zarr`.
        settings: Where S3 is.
        replace: Take the place of what is there.

    Raises:
        ExistsError: something is there and `replace` is off.
        StorageError: the disk or S3 refused; nothing is left behind.

    Writes:
        `out`.
    """
    check_destination(out, settings, replace=replace)
    if "://" not in out:
        write_imputed(Path(out), imputed, replace=replace)
        return
    try:
        write_imputed_store(open_store(out, settings, read_only=False), imputed)
    except BaseException:
        delete_prefix(out, settings)
        raise
