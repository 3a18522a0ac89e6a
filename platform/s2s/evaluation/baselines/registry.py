"""Every rival by its name.

Decision: trained rivals and those of a package of their own are imported when they are asked for, so that the classical
ones cost no torch; the price is imports inside functions, which ruff allows in this file alone.
"""

import difflib
from collections.abc import Callable, Mapping

from s2s.errors import ConfigError, MissingError
from s2s.evaluation.baselines.classical import Baseline, classical_baselines
from s2s.evaluation.baselines.interpolation import MisregisteredBicubic
from s2s.evaluation.baselines.kriged_fill import KrigedFill
from s2s.evaluation.baselines.kriging import Kriging, SvdKriging


def _fist(seed: int) -> Baseline:
    try:
        from s2s.evaluation.baselines.fist import Fist
    except ModuleNotFoundError as error:
        raise MissingError(
            f"expected the package fistnd for the rival fist, but {error.name} is not installed; pip install 's2s-atlas[rivals]'"
        ) from error
    return Fist(seed=seed)


def _coordinate_network(seed: int) -> Baseline:
    from s2s.evaluation.baselines.coordinate_network import CoordinateNetwork

    return CoordinateNetwork(seed=seed)


def _dist_cnn(seed: int) -> Baseline:
    from s2s.evaluation.baselines.dist_cnn import DistCNN

    return DistCNN(seed=seed)


def _deep_image_prior(seed: int) -> Baseline:
    from s2s.evaluation.baselines.deep_image_prior import DeepImagePrior

    return DeepImagePrior(seed=seed)


_SEEDED: Mapping[str, Callable[[int], Baseline]] = {
    "bicubic_misregistered": lambda _: MisregisteredBicubic(),
    "kriging": lambda _: Kriging(),
    "svd_kriging": lambda seed: SvdKriging(seed=seed),
    "kriged_fill": lambda _: KrigedFill(),
    "fist": _fist,
    "coordinate_network": _coordinate_network,
    "dist_cnn": _dist_cnn,
    "deep_image_prior": _deep_image_prior,
}

BASELINE_NAMES: tuple[str, ...] = (*(baseline.name for baseline in classical_baselines()), *_SEEDED)
"""Rows of the full table: the classical ones as they stand in the protocol, then the contenders."""


def baseline_named(name: str, seed: int = 0) -> Baseline:
    """Build the rival of a name, with its default settings.

    Args:
        name: One of `BASELINE_NAMES`.
        seed: Of those that draw anything beyond the folds of the protocol's rows, which keep theirs.

    Raises:
        ConfigError: no rival has the name.
        MissingError: the package of that rival is not installed.
    """
    if name in _SEEDED:
        return _SEEDED[name](seed)
    for baseline in classical_baselines():
        if baseline.name == name:
            return baseline
    near = difflib.get_close_matches(name, BASELINE_NAMES, n=1, cutoff=0)
    raise ConfigError(f"expected the name of a baseline, got {name!r}, did you mean {near[0]!r}? Known are {', '.join(BASELINE_NAMES)}")


def all_baselines(seed: int = 0) -> tuple[Baseline, ...]:
    """Every rival with its default settings, in the order of `BASELINE_NAMES`.

    Args:
        seed: As of `baseline_named`.

    Raises:
        MissingError: the package of a rival is not installed.
    """
    return tuple(baseline_named(name, seed) for name in BASELINE_NAMES)
