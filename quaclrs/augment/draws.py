"""Seeded random numbers: every draw is a function of (seed, epoch, clip, view) and of what is drawn, of nothing else.

So a run repeats with any number of workers, ranks and clips a batch, on any device, and adding an augmentation leaves
the draws of the others as they were. The numbers come from SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), whose n-th
output is a hash of its seed and n: a whole batch is drawn at once, and nothing has to be carried from clip to clip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from ..errors import QuaclrsError

_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64 adds it to its state at every step


def clip_key(clip_id: str) -> int:
    """A clip's number in draws, the same on every machine: 63 bits of a hash of its id."""
    return int.from_bytes(hashlib.blake2b(clip_id.encode(), digest_size=8).digest(), "little") >> 1


def seeded_generator(seed: int, *parts: int | str) -> np.random.Generator:
    """A numpy generator that depends on its arguments alone, the same in every process and on every machine.

    Raises:
        QuaclrsError: the seed is below 0 or beyond 64 bits.
    """
    _check_seed(seed)
    # Python's own hash() of a string changes from one process to the next.
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(np.random.SeedSequence([seed, *np.frombuffer(digest, dtype="<u4").tolist()]))


class Draws:
    """Random numbers for a batch, one row a clip.

    Args:
        clip_keys: (clips,) the `clip_key` of every clip.
        seed: of the run, 0 or more.
        epoch: draws change with it.
        view: which of several views of the same clip; they differ.

    Names tell draws apart: the same name gives the same numbers again.

    Raises:
        QuaclrsError: the seed is below 0 or beyond 64 bits, or the epoch or view is below 0.
    """

    def __init__(self, clip_keys: Iterable[int] | np.ndarray, seed: int = 0, epoch: int = 0, view: int = 0) -> None:
        _check_seed(seed)
        if min(epoch, view) < 0:
            raise QuaclrsError(f"epoch {epoch} and view {view} of a draw must be 0 or more")
        keys = np.array(clip_keys if isinstance(clip_keys, np.ndarray) else list(clip_keys), dtype=np.uint64)
        state = splitmix64(np.array([seed], dtype=np.uint64))
        for part in (epoch, view):
            state = splitmix64(state ^ np.uint64(part))
        self._states = splitmix64(state ^ keys)

    def __len__(self) -> int:
        return len(self._states)

    def salted(self, salt: str) -> Draws:
        """Other draws for the same clips, one set a salt; the empty salt changes nothing."""
        other = Draws.__new__(Draws)
        other._states = splitmix64(self._states ^ np.uint64(clip_key(salt))) if salt else self._states
        return other

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0, size: tuple[int, ...] = ()) -> np.ndarray:
        """Uniform in [low, high): float64 (clips, *size)."""
        states = splitmix64(self._states ^ np.uint64(clip_key(name)))
        steps = np.arange(1, int(np.prod(size)) + 1, dtype=np.uint64)
        bits = splitmix64(states[:, None] + steps * _GAMMA) >> np.uint64(11)
        return low + (high - low) * (bits * 2.0**-53).reshape(len(self), *size)

    def integers(self, name: str, high: int | np.ndarray, size: tuple[int, ...] = ()) -> np.ndarray:
        """Whole numbers from 0 to high - 1, int64 (clips, *size); `high` may differ by clip, and 0 gives 0."""
        return (self.uniform(name, size=size) * high).astype(np.int64)

    def beta(self, name: str, alpha: float) -> np.ndarray:
        """Beta(alpha, alpha) in [0, 1]: float64 (clips,)."""
        from scipy.special import betaincinv  # names of variants, which a light install reads, need no SciPy

        return betaincinv(alpha, alpha, self.uniform(name))

    def chosen(self, name: str, probability: float) -> np.ndarray:
        """True with the given probability: bool (clips,)."""
        return self.uniform(f"{name} is chosen") < probability


def splitmix64(state: np.ndarray) -> np.ndarray:
    """SplitMix64's output for each state, uint64 of the same shape."""
    with np.errstate(over="ignore"):  # arithmetic modulo 2 to the 64
        z = state + _GAMMA
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**64:
        raise QuaclrsError(f"seed is {seed}; it must be 0 or more and below 2 to the 64")
