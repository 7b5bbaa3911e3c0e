"""Read the visibilities of sub-bands, turned to the phase centres of their observation.

Belongs here: reading one file while another is being turned. Doesn't: their destination (see
`contimg_resources.correlator.convert` and `.direct`), the loops
(`contimg_resources.correlator.loops`).
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import UnreadableSubBand
from contimg_resources.correlator.chunks import Chunks, FileBytes, places_of
from contimg_resources.correlator.loops import as_complex, turn_visibilities
from contimg_resources.correlator.plan import Part, Plan
from contimg_resources.correlator.uvh5 import Bools, Floats, Ints, opened_sub_band

#: Visibilities, flags and numbers of samples, of shape (rows, channels, polarisations).
_KINDS = {
    "visdata": np.dtype(np.complex64),
    "flags": np.dtype(np.bool_),
    "nsamples": np.dtype(np.float32),
}
#: Deviation of a channel from equal steps that doesn't show in a phase, Hz.
_EVEN_HZ = 0.01


@dataclass(frozen=True, eq=False)
class SubBandData:
    """The visibilities of a sub-band."""

    part: Part  #: The sub-band.
    stored: tuple[Chunks, Chunks, Chunks]  #: Visibilities, flags and samples as stored.
    rows: Ints  #: Rows of the file to turn. Shape (integrations, baselines).
    #: w of these baselines, as UVH5 counts it, metres. Shape (integrations, baselines).
    w_m: Floats
    conjugated: Bools  #: Whether the MS holds the conjugate. Shape (baselines,).
    frequencies_hz: Floats  #: Channel centres, ascending, Hz. Shape (channels,).
    #: `products`, `products_conjugated`: Polarisation of the file for each one of the MS, of
    #: baselines as they are and of conjugated ones. Shape (polarisations,).
    products: Ints
    products_conjugated: Ints

    def turn(
        self,
        integration: int,
        data: NDArray[np.complex64],
        flag: Bools,
        spectrum: NDArray[np.float32],
        weight: NDArray[np.float32],
    ) -> Ints:
        """Turn the visibilities of an integration into arrays of an MS.

        Parameters
        ----------
        integration : int
            Index of the integration.
        data, flag, spectrum : ndarray, shape (baselines, channels, polarisations)
            Receive visibilities, flags and weights; see
            `contimg_resources.correlator.loops.turn_visibilities`.
        weight : ndarray of float32, shape (baselines, polarisations)
            Receives the weights of the rows.

        Returns
        -------
        ndarray of int, shape (baselines, 4)
            Counts of `contimg_resources.correlator.loops.turn_visibilities`.
        """
        counts = np.empty((self.rows.shape[1], 4), np.int64)
        given_hz = self.part.layout.frequencies_hz
        turn_visibilities(
            *self.stored,
            self.rows[integration],
            self.w_m[integration],
            self.conjugated,
            bool(given_hz[0] > given_hz[-1]),
            self.frequencies_hz,
            _are_even(self.frequencies_hz),
            self.products,
            self.products_conjugated,
            *(data, flag, spectrum, weight, counts),
        )
        return counts


class Rooms:
    """Arrays that each thread has for itself and uses again.

    Parameters
    ----------
    *arrays : (tuple of int, type)
        Shape and type of each.
    """

    def __init__(self, *arrays: tuple[tuple[int, ...], type]) -> None:
        self._arrays = arrays
        self._local = threading.local()

    @property
    def mine(self) -> list[NDArray[Any]]:
        """Arrays of this thread, with what it left there."""
        if not hasattr(self._local, "arrays"):
            self._local.arrays = [np.empty(*array) for array in self._arrays]
        found: list[NDArray[Any]] = self._local.arrays
        return found


@contextmanager
def reading(
    plan: Plan, baselines: Bools, rejected: dict[str, str]
) -> Iterator[Iterator[SubBandData]]:
    """Read sub-bands in the background.

    Parameters
    ----------
    plan : Plan
        Plan of the observation.
    baselines : ndarray of bool, shape (baselines,)
        Baselines to turn.
    rejected : dict of str to str
        Receives why files can't be read, by path.

    Yields
    ------
    iterator of SubBandData
        Each readable sub-band, valid until the next one.
    """
    # Two files are in memory, which is used again: new memory costs as much as reading into it.
    contents = FileBytes(), FileBytes()
    rows = [np.ascontiguousarray(part.rows[:, baselines]) for part in plan.parts]
    w_m, conjugated = np.ascontiguousarray(plan.w_m[:, baselines]), plan.signs.conjugated[baselines]

    def each() -> Iterator[SubBandData]:
        waiting = first
        for n, part in enumerate(plan.parts):
            stored = waiting.result()
            if n + 1 < len(plan.parts):
                waiting = pool.submit(_read, plan.parts[n + 1], contents[(n + 1) % 2])
            if isinstance(stored, UnreadableSubBand):
                rejected[str(part.header.path)] = stored.message
                continue
            names, wanted = part.header.polarisations, plan.tables.polarisations
            products = np.array([names.index(name) for name in wanted])
            exchanged = bool(plan.signs.exchanged.any())
            yield SubBandData(
                part=part,
                stored=stored,
                rows=rows[n],
                w_m=w_m,
                conjugated=conjugated,
                frequencies_hz=plan.tables.frequencies_hz[part.header.number],
                products=products,
                products_conjugated=(
                    np.array([names.index(name[::-1]) for name in wanted])
                    if exchanged
                    else products
                ),
            )

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(_read, plan.parts[0], contents[0])
        yield each()


def _read(part: Part, content: FileBytes) -> tuple[Chunks, Chunks, Chunks] | UnreadableSubBand:
    path = part.header.path
    shape = (part.rows.size, part.header.n_channels, len(part.header.polarisations))
    try:
        with opened_sub_band(path) as file:
            datasets = [file["Data"][name] for name in _KINDS]
            places = [
                places_of(dataset, shape, kind)
                for dataset, kind in zip(datasets, _KINDS.values(), strict=True)
            ]
            known = [place for place in places if place is not None]
            stored = content.read(path, int(known[0].starts.min())) if known else None
            visibilities, flags, samples = (
                (None if place is None or stored is None else place.found_in(stored))
                or _through_hdf5(dataset, shape, kind)
                for dataset, place, kind in zip(datasets, places, _KINDS.values(), strict=True)
            )
    except UnreadableSubBand as error:
        return error
    return visibilities, flags, samples


def _through_hdf5(
    dataset: h5py.Dataset, shape: tuple[int, int, int], kind: "np.dtype[Any]"
) -> Chunks:
    """Read a whole dataset at once: then the size of HDF5's chunk cache doesn't matter."""
    values = dataset[()]
    values = as_complex(values) if kind.kind == "c" else values
    return Chunks.of_array(values.reshape(shape).astype(kind, copy=False))


def _are_even(frequencies_hz: Floats) -> bool:
    even_hz = np.linspace(frequencies_hz[0], frequencies_hz[-1], frequencies_hz.size)
    return bool(np.abs(frequencies_hz - even_hz).max() < _EVEN_HZ)
