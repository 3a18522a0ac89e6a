import secrets
import struct

import numpy as np
import torch
from safetensors.torch import load

from s2s.contracts.settings import Settings
from s2s.storage.checkpoints import read_checkpoint, write_checkpoint
from s2s.storage.objects import read_bytes


def test_torch_tensors_are_taken_as_they_are() -> None:
    uri = f"memory://checkpoints/{secrets.token_hex(6)}"
    layer = torch.nn.Linear(3, 2)
    generator = torch.Generator().manual_seed(3)
    write_checkpoint(uri, {"weight": layer.weight, "view": layer.weight.T, "rng": generator.get_state()}, {"step": 1}, Settings())
    found = read_checkpoint(uri, Settings())
    assert found is not None
    np.testing.assert_array_equal(found[0]["weight"], layer.weight.detach().numpy())
    np.testing.assert_array_equal(found[0]["view"], layer.weight.detach().numpy().T)
    restored = torch.Generator()
    restored.set_state(torch.from_numpy(found[0]["rng"].copy()))
    assert torch.equal(torch.rand(4, generator=restored), torch.rand(4, generator=generator))


def test_other_readers_of_the_format_understand_it() -> None:
    uri = f"memory://checkpoints/{secrets.token_hex(6)}"
    write_checkpoint(uri, {"a": np.arange(4, dtype=np.float32)}, {"step": 1}, Settings())
    data = read_bytes(uri, Settings())
    assert torch.equal(load(data)["a"], torch.arange(4, dtype=torch.float32))
    assert struct.unpack("<Q", data[:8])[0] < len(data)
