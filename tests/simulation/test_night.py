import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.core.errors import CalibratorNotFound
from contimg_resources.core.naming import is_observation_name
from contimg_resources.observations.calibrators import CalibratorList, separation_deg
from contimg_resources.simulation.night import SLOT_DAYS, NightSpec, plan_night, write_sky_list
from contimg_resources.simulation.observation import observation_name, pointings_deg
from contimg_resources.simulation.sky import sources_near
from contimg_resources.simulation.spec import Conditions, Preset


@pytest.mark.parametrize("name", ["3C48", "3C286", "3C147", "3C138"])
def test_the_calibrator_crosses_the_beam_in_the_middle_of_its_observation(name: str) -> None:
    source = CalibratorList().find(name)
    (calibrator,) = plan_night(NightSpec(calibrator=name, n_targets=0))
    ra, dec = pointings_deg(calibrator.spec).T
    away = separation_deg(ra, dec, source.ra_deg, source.dec_deg)
    assert away.min() < 0.03
    assert abs(away[0] - away[-1]) < 0.001


def test_targets_follow_in_successive_slots_on_the_same_strip() -> None:
    night = plan_night(NightSpec(n_targets=3, n_targets_before=2))
    assert [o.kind for o in night] == ["target"] * 2 + ["calibrator"] + ["target"] * 3
    starts = np.array([o.spec.start_mjd for o in night])
    slots = np.array([o.slot for o in night])
    np.testing.assert_allclose(np.diff(starts), np.diff(slots) * SLOT_DAYS, atol=1e-9)
    assert list(np.diff(slots)[[0, 3, 4]]) == [1, 1, 1]
    assert len({o.spec.apparent_declination_deg for o in night}) == 1
    assert len({o.spec.seed for o in night}) == 1


def test_targets_keep_clear_of_the_calibrator() -> None:
    source = CalibratorList().find("3C147")
    planned = plan_night(NightSpec(calibrator="3C147", n_targets_before=1))
    targets = [observation for observation in planned if observation.kind == "target"]
    assert len(targets) == len(planned) - 1 > 1
    for observation in targets:
        ra, dec = pointings_deg(observation.spec).T
        assert separation_deg(ra, dec, source.ra_deg, source.dec_deg).min() > 4.0


def test_names_are_the_utc_start_and_those_of_observations() -> None:
    names = [observation_name(o.spec.start_mjd) for o in plan_night(NightSpec(n_targets=30))]
    assert observation_name(60954.5250955) == "2025-10-06T12:36:08"
    assert len(set(names)) == 31
    assert all(is_observation_name(f"{n}.ms") for n in names)


def test_an_unknown_calibrator_is_refused() -> None:
    with pytest.raises(CalibratorNotFound, match="3C999"):
        plan_night(NightSpec(calibrator="3C999"))


def test_a_survey_lists_a_double_once_and_no_faint_source(tmp_path: Path) -> None:
    sky = replace(Conditions.of(Preset.REALISTIC).sky, radius_deg=0.8)
    night = NightSpec(sky=sky, n_targets=0)
    write_sky_list(night, tmp_path / "sky.csv")
    with (tmp_path / "sky.csv").open() as stream:
        listed = {row["name"]: row for row in csv.DictReader(stream)}
    (planned,) = plan_night(night)
    sources = sources_near(sky, night.seed, *pointings_deg(planned.spec).T)
    lobes: dict[str, list[float]] = {}
    for s in sources:
        if s.part_of in listed:
            assert s.name not in listed
            lobes.setdefault(s.part_of, []).append(float(s.model.flux_jy(1.405e9)))
    assert len(lobes) > 5
    for name, fluxes in lobes.items():
        assert float(listed[name]["flux_jy"]) == pytest.approx(sum(fluxes))
    assert min(float(row["flux_jy"]) for row in listed.values()) >= 2.5e-3
    assert len(listed) < len(sources)
