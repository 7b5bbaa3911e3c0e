"""Somebody who only looks what a sensor would do has nothing read and nothing written."""

import dagster as dg
import pytest

from contimg_assets.definitions import defs
from contimg_assets.dry_runs import REFUSAL, is_dry_run, refuse_dry_runs

SENSORS = sorted(s.name for s in defs.get_repository_def().sensor_defs)


def evaluated(sensor: dg.SensorDefinition, log_key: list[str] | None) -> str | None:
    """Evaluate a sensor as the code server does, without any resource: a look needs none."""
    with dg.SensorEvaluationContext(
        None,
        log_key=log_key,
        cursor="7",
        repository_name="__repository__",
        sensor_name=sensor.name,
    ) as context:
        found = sensor.evaluate_tick(context)
    assert not found.run_requests
    assert not found.asset_events
    assert not found.dynamic_partitions_requests
    assert found.cursor == "7"
    return found.skip_message


@pytest.mark.parametrize("name", SENSORS)
def test_a_dry_run_of_any_sensor_evaluates_nothing(name: str) -> None:
    sensor = defs.get_sensor_def(name)
    assert evaluated(sensor, None) == REFUSAL


def test_a_tick_of_the_daemon_s_is_evaluated() -> None:
    @dg.sensor(name="sensor", asset_selection=["some"])
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        context.update_cursor("7")
        return dg.SkipReason(f"tick {(context.log_key or ['?'])[-1]}")

    with dg.build_sensor_context(cursor="7", definitions=defs) as context:
        vars(context)["_log_key"] = ["__repository__", "sensor", "12"]
        assert sensor.evaluate_tick(context).skip_message == "tick 12"
    assert evaluated(sensor, None) == REFUSAL
    assert not is_dry_run(dg.build_sensor_context())


@pytest.mark.parametrize(
    ("owner", "name"),
    [(dg.SensorDefinition, "evaluate_tick"), (dg.SensorEvaluationContext, "log_key")],
)
def test_a_dagster_whose_dry_runs_can_t_be_refused_is_not_given_the_definitions(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(owner, name)
    with pytest.raises(RuntimeError, match=f"no {owner.__name__}.{name}: dry runs .* refused"):
        refuse_dry_runs()
