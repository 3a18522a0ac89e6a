"""The AnnData of a section put into the page, to take home: a file as it is, a Zarr store packed into one."""

import shutil

from s2s.contracts.page import PageDownload
from s2s.errors import StorageError
from s2s.exchange.anndata_copy import pack_h5ad
from s2s.page.sections import SectionJob, Written, path_of
from s2s.storage.faults import translated
from s2s.storage.planes import open_tree, set_attributes


def add_download(job: SectionJob, written: Written) -> Written:
    """Put the AnnData beside the store of its section.

    Args:
        job: The section.
        written: Its store.

    Raises:
        StorageError: a store or the disk refused.

    Writes:
        `<key>.h5ad`, and where it lies into the attributes of the store.
    """
    path = job.folder / f"{job.row.key}.h5ad"
    try:
        if job.uri.endswith(".h5ad"):
            shutil.copyfile(path_of(job.uri), path)
        else:
            with translated(job.uri, job.settings):
                pack_h5ad(open_tree(job.uri, job.settings), path)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"expected room for {path.name} beside the page, the file system refused: {error}") from None
    download = PageDownload(path=f"sections/{job.row.key}/{path.name}", bytes=path.stat().st_size)
    store = written.store.model_copy(update={"download": download})
    set_attributes(job.folder.as_posix(), store.model_dump(mode="json"), job.settings)
    return Written(row=written.row, release=written.release, store=store)
