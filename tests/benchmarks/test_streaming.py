"""Reading a stored section from a real S3 server, beside what its objects take at least; and how long a training waits for data.

The rival gets the same objects with obstore alone, as many at once, and throws them away. `decoded` is what a reader has afterwards;
`fetched` stops before decoding. s3fs stands beside obstore. Rounds in turn, medians of ratios: the machine is shared.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import obstore
import pytest
import torch
import zarr

from s2s.contracts.loading import read_preset
from s2s.contracts.run import GeneConfig, NetworkConfig, SamplingConfig, TrainingConfig
from s2s.contracts.section import SectionMeta
from s2s.contracts.settings import Settings
from s2s.network import CDCIN
from s2s.storage.clients import s3_store
from s2s.storage.location import join, open_store, parse
from s2s.storage.sections import Masks, NewSection, commit_section, open_section
from s2s.streaming.batches import BatchStream
from s2s.streaming.prefetch import prefetched
from s2s.streaming.sections import SampledWindows, measure
from s2s.training.single import Callbacks, new_state, train
from s2s.training.step import Device
from s2s.training.timing import Phases

SHAPE, NUM_GENES, BLOCK = (512, 512), 512, 16
ROUNDS = 7
LATENCY_S = 0.02
STEPS = 60


def store_section(settings: Settings, name: str, num_genes: int) -> str:
    """A section of counts as sparse as those of a Xenium section of 25 um."""
    uri = join(settings.root, "sections", name)
    rng, everywhere = np.random.default_rng(0), np.ones(SHAPE, np.bool_)
    meta = SectionMeta(
        id=name, tissue="test", organism="test", technology="synthetic", pitch_um=10, shape=SHAPE, num_genes=num_genes,
        is_synthetic=True, source="benchmark", input_sha256="0" * 64, code_version="0",
    )  # fmt: skip
    blocks = (rng.poisson(0.5, (BLOCK, *SHAPE)).astype(np.uint16) for _ in range(num_genes // BLOCK))
    masks = Masks(tissue=everywhere, observed=everywhere, valid=everywhere)
    commit_section(uri, NewSection(meta=meta, genes=[f"G{gene}" for gene in range(num_genes)], blocks=blocks, masks=masks), settings)
    return uri


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.timeout(1200)
def test_a_section_against_its_objects(benchmark, s3_settings: Settings) -> None:
    cached_settings, s3_settings = s3_settings, s3_settings.model_copy(update={"cache_bytes": 0})
    uri = store_section(s3_settings, "bench-read", NUM_GENES)
    place = parse(uri)
    bucket = s3_store(place.root, place.key, s3_settings)
    chunks = {item["path"]: item["size"] for page in obstore.list(bucket) for item in page if "/counts/c/" in item["path"]}
    keys, sizes = list(chunks), list(chunks.values())
    attempt = keys[0].split("/")[0]
    s3fs_settings = s3_settings.model_copy(update={"zarr_client": "s3fs"})
    rounds: list[dict[str, float]] = []

    def raw() -> None:
        async def get(key: str, room: asyncio.Semaphore) -> int:
            async with room:
                return len(await (await obstore.get_async(bucket, key)).bytes_async())

        async def all_of_them() -> list[int]:
            room = asyncio.Semaphore(s3_settings.zarr_concurrency)
            return await asyncio.gather(*(get(key, room) for key in keys))

        assert asyncio.run(all_of_them()) == sizes

    def fetched(settings: Settings) -> None:
        store, prototype = open_store(join(uri, attempt), settings, read_only=True), zarr.core.buffer.default_buffer_prototype()

        async def all_of_them() -> list[object]:
            room = asyncio.Semaphore(settings.zarr_concurrency)

            async def get(key: str) -> object:
                async with room:
                    return await store.get(key.removeprefix(f"{attempt}/"), prototype)

            return await asyncio.gather(*(get(key) for key in keys))

        assert all(zarr.core.sync.sync(all_of_them()))

    def decoded(settings: Settings) -> None:
        assert open_section(uri, settings).read().shape == (NUM_GENES, *SHAPE)

    ways = {
        "raw obstore GETs": raw,
        "fetched, obstore": lambda: fetched(s3_settings),
        "fetched, s3fs": lambda: fetched(s3fs_settings),
        "decoded, obstore": lambda: decoded(s3_settings),
        "decoded, s3fs": lambda: decoded(s3fs_settings),
        "decoded, from the node": lambda: decoded(cached_settings),
    }

    def measure_all() -> None:
        for way in ways.values():  # connections, caches
            way()
        for _ in range(ROUNDS):
            rounds.append({name: sum(sizes) / 1e6 / seconds(way) for name, way in ways.items()})
            print(json.dumps(rounds[-1]), flush=True)  # noqa: T201

    benchmark.pedantic(measure_all, rounds=1, iterations=1)
    found = {f"{name}, MB/s": statistics.median(each[name] for each in rounds) for name in ways}
    for name in tuple(ways)[1:]:
        found[f"{name}, x raw"] = statistics.median(each[name] / each["raw obstore GETs"] for each in rounds)
    found |= {"objects": len(keys), "stored MB": sum(sizes) / 1e6, "MB of values": NUM_GENES * SHAPE[0] * SHAPE[1] * 2 / 1e6}
    benchmark.extra_info |= {name: round(value, 3) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info))  # noqa: T201


@pytest.fixture
def slow_settings(s3_settings: Settings) -> Iterator[Settings]:
    """The same server, every answer of which takes 20 ms longer."""
    slow = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("slow_s3.py"), str(s3_settings.s3_endpoint), str(LATENCY_S)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert slow.stdout is not None
    try:
        yield s3_settings.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{int(slow.stdout.readline())}", "cache_bytes": 0})
    finally:
        slow.terminate()
        slow.communicate()


@pytest.mark.timeout(1200)
def test_a_training_does_not_wait_for_data(benchmark, s3_settings: Settings, slow_settings: Settings) -> None:
    uri = store_section(s3_settings, "bench-train", 64)
    network = NetworkConfig.model_validate(read_preset("laptop")["network"] | {"fill": "smooth"})
    training = TrainingConfig(window=32, batch=16, max_steps=STEPS)
    device = Device(name="cpu", precision="float32")
    found: dict[str, float] = {}

    def stream(settings: Settings) -> BatchStream:
        measured = measure(open_section(uri, settings), SamplingConfig(), GeneConfig(min_detected=0))
        source = SampledWindows(measured, 10.0)
        return BatchStream(source=source, photographs=None, training=training, expression_scale=10.0, seed=0)

    def learn() -> None:
        found["reading the section at 20 ms a request, s"] = seconds(lambda: stream(slow_settings))
        found["reading it without, s"] = seconds(lambda: stream(s3_settings))
        batches = stream(slow_settings)
        for name, source in (("made ahead", prefetched(batches.batches(0))), ("made when wanted", batches.batches(0))):
            phases = Phases()
            callbacks = Callbacks(
                validate=None, save=lambda state: "", log=lambda metrics, step: None, progress=lambda done, total, loss: None, phases=phases
            )
            train(new_state(CDCIN(network, torch.Generator().manual_seed(0)), training, device), source, training, device, callbacks)
            found[f"step, ms, {name}"] = 1000 * phases.seconds["step"] / STEPS
            found[f"waiting for data, share, {name}"] = phases.seconds["data"] / (phases.seconds["data"] + phases.seconds["step"])

    benchmark.pedantic(learn, rounds=1, iterations=1)
    benchmark.extra_info |= {name: round(value, 4) for name, value in found.items()}
    print(json.dumps(benchmark.extra_info))  # noqa: T201
