"""Functions of single values: elementary ones, and those shaped by further numbers."""

from collections.abc import Callable, Mapping

import numpy as np

from collector.promql.rows import Floats


def _round(values: Floats, nearest: float = 1.0) -> Floats:
    """To the nearest multiple, halves up, by the same steps as Prometheus."""
    inverse = np.float64(1.0) / np.float64(nearest)
    return np.asarray(np.floor(values * inverse + 0.5) / inverse)


ELEMENTARY: Mapping[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sgn": np.sign,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "deg": np.degrees,
    "rad": np.radians,
}
SHAPED: Mapping[str, Callable[..., Floats]] = {
    "round": _round,
    "clamp_min": lambda values, low: np.maximum(low, values),
    "clamp_max": lambda values, high: np.minimum(high, values),
}
