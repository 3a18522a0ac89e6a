import h5py
import numpy as np
import pytest

from s2s.errors import InputError
from s2s.exchange.hdf5_images import open_hdf5_images


def test_images_come_in_the_order_of_their_numbers(tmp_path):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        for number in (10, 2, 0):
            file[f"hr/{number}"] = np.full((4, number + 1, 3), number, np.uint8)
    with open_hdf5_images(tmp_path / "set.h5") as images:
        assert images.shapes == [(4, 1, 3), (4, 3, 3), (4, 11, 3)]
        assert images.read(1).max() == images.read(1).min() == 2


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        pytest.param("lr/0", np.zeros((4, 4)), "datasets hr/0.*found: lr", id="no hr"),
        pytest.param("hr/0", np.zeros(4), r"hr/0.*\(4,\)", id="one dimension"),
        pytest.param("hr/0/0", np.zeros((4, 4)), "hr/0.*a group", id="a group"),
    ],
)
def test_other_layouts_are_refused(tmp_path, name, value, words):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file[name] = value
    with pytest.raises(InputError, match=words), open_hdf5_images(tmp_path / "set.h5"):
        pass


def test_what_is_not_hdf5_is_refused(tmp_path):
    (tmp_path / "set.h5").write_text("no")
    with pytest.raises(InputError, match="expected an HDF5 file"), open_hdf5_images(tmp_path / "set.h5"):
        pass
