"""One caltable set in the browser: its record, quality, plots, and the solutions of each antenna.

Belongs here: these as answers. Doesn't: the timeline of all sets (a document of
`contimg_resources.export`), display.

=============================================  ================================================
``GET caltables/NAME/VERSION``                 record, tables, quality with limits, its use
``GET caltables/NAME/VERSION/plots/NUMBER``    a plot of the solve, PNG, counted from 0
``GET caltables/NAME/VERSION/solutions``       solutions by antenna, read from the tables by CASA
=============================================  ================================================
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from contimg_resources.calibration.antennas import AntennaSolutions, antenna_solutions
from contimg_resources.calibration.quality import figures
from contimg_resources.casa import Casa
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.dashboard.answers import answering, json_answer, refused
from contimg_resources.database import plain_json
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.model import CaltableSet, RegisteredCaltable
from contimg_resources.registry.reading import RegistryReader
from contimg_resources.settings import CalibrationSettings

_TIMEOUT_S = 120.0


class CaltableSetPages:
    """Answers the requests about caltable sets.

    Parameters
    ----------
    registry : RegistryReader
        The sets.
    store : ProductsStore
        The observations that they were applied to.
    casa : Casa
        Reads the tables.
    limits : CalibrationSettings
        Limits of their quality.
    dagster : callable
        Returns the present address of Dagster's web interface, None if there is none.
    """

    def __init__(
        self,
        registry: RegistryReader,
        store: ProductsStore,
        casa: Casa,
        limits: CalibrationSettings,
        dagster: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._store = store
        self._casa = casa
        self._limits = limits
        self._dagster = dagster
        # One CASA process at a time; a table never changes after its registration.
        self._lock = Lock()
        self._read = lru_cache(maxsize=64)(self._read_tables)

    @property
    def routes(self) -> list[Route]:
        """Routes below the address of the dashboard's programs."""
        place = "/caltables/{name}/{version:int}"
        return [
            Route(place, answering(self._set), methods=["GET"]),
            Route(place + "/plots/{number:int}", answering(self._plot), methods=["GET"]),
            Route(place + "/solutions", answering(self._solutions), methods=["GET"]),
        ]

    def _set(self, request: Request) -> Response:
        one = self._named(request)
        quality = one.quality.get("tables") or {}
        observed = Path(str(one.origin.get("ms") or ""))
        calibrator = self._store.find_by_path(observed) if observed.name else None
        return json_answer(
            plain_json(
                {
                    "record": {
                        "name": one.name,
                        "version": one.version,
                        "versions": [s.version for s in self._registry.list_sets(name=one.name)],
                        "status": one.status.value,
                        "reasons": one.reasons,
                        "calibrator": one.calibrator,
                        "refant": one.refant,
                        "start_mjd": one.start_mjd,
                        "mid_mjd": one.mid_mjd,
                        "end_mjd": one.end_mjd,
                        "dec_deg": one.declination_deg,
                        "n_antennas": one.layout.n_antennas,
                        "spectral_windows_hz": one.layout.spectral_windows_hz,
                        "flagged_fraction": one.quality.get("flagged_fraction"),
                        "working_antennas": one.quality.get("working_antennas"),
                        "ms": str(observed) if observed.name else None,
                        "run_id": one.origin.get("run_id") or None,
                        "notes": one.origin.get("notes") or [],
                    },
                    "observation": None if calibrator is None else calibrator.key,
                    "tables": [
                        {
                            "type": table.type.value,
                            "order": table.apply_order,
                            "path": str(table.path),
                            "checksum": table.checksum,
                            "figures": [
                                {**asdict(figure), "is_good": figure.is_good}
                                for figure in figures(
                                    table.type, quality.get(table.type.value) or {}, self._limits
                                )
                            ],
                        }
                        for table in one.tables
                    ],
                    "plots": [plot.name for plot in _plots_of(one)],
                    "applied": [
                        {"key": a.key, "mid_mjd": a.mid_mjd, "borrowed": a.borrowed}
                        for a in self._store.applied_sets()
                        if (a.set_name, a.set_version) == (one.name, one.version)
                    ],
                    "history": [
                        {
                            "utc": f"{isot_from_mjd(e.at_mjd)}Z",
                            "event": e.event,
                            "reason": e.reason,
                            "by": f"{e.user}@{e.host}",
                        }
                        for e in self._registry.events(name=one.name)
                        if e.version == one.version
                    ],
                    "dagster": self._dagster(),
                }
            )
        )

    def _plot(self, request: Request) -> Response:
        plots = _plots_of(self._named(request))
        number = request.path_params["number"]
        if number >= len(plots):
            return refused(404, f"there are {len(plots)} plots")
        return FileResponse(plots[number], media_type="image/png")

    def _solutions(self, request: Request) -> Response:
        one = self._named(request)
        present = tuple(t for t in one.tables if t.path.is_dir())
        with self._lock:
            found = self._read(present) if present else []
        # Of a large array many antennas have no data: their names are empty in the layout.
        known = {name for name in one.layout.antenna_names if name}
        return json_answer(
            [
                {"type": table.type.value, **asdict(solutions.of(known) if known else solutions)}
                for table, solutions in zip(present, found, strict=True)
            ]
        )

    def _read_tables(self, tables: tuple[RegisteredCaltable, ...]) -> list[AntennaSolutions]:
        paths = [table.path for table in tables]
        return self._casa.run(
            antenna_solutions, paths, label="dashboard-solutions", timeout_s=_TIMEOUT_S
        )

    def _named(self, request: Request) -> CaltableSet:
        """Return the set that a request names.

        Raises
        ------
        SetNotFound
            If there is none.
        """
        return self._registry.get(request.path_params["name"], request.path_params["version"])


def _plots_of(one: CaltableSet) -> list[Path]:
    """Return the plots of a solve that are there: PNG files beside the tables, no others."""
    directories = {table.path.parent for table in one.tables}
    recorded: list[Any] = one.origin.get("plots") or []
    plots = [Path(str(plot)) for plot in recorded]
    # The state directory may have been moved since.
    return [
        place
        for plot in plots
        for directory in directories
        if plot.suffix == ".png" and (place := directory / plot.name).is_file()
    ]
