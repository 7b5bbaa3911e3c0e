"""Every table type has its casaplotms diagnostics, each in a file of its own."""

from pathlib import Path

from contimg_resources.instrument.caltables import CaltableType, caltable_path
from contimg_resources.steps.solving import caltable_plots


def test_every_table_is_drawn_into_a_file_of_its_own() -> None:
    tables = {kind: caltable_path(Path("/sets/3C286"), kind) for kind in CaltableType}
    plots = caltable_plots(tables, Path("/plots"))
    assert {p.vis for p in plots} == set(tables.values())
    assert len({p.png for p in plots}) == len(plots)
    assert all(p.png.parent == Path("/plots") for p in plots)
