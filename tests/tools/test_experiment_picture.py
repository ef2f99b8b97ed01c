"""The picture of an experiment, drawn by the real library: too slow for the unit tier."""

from modelrollout.experiment import picture
from tests.unit.experiment.given import experiment, log, reported


def test_the_effect_is_drawn_once_the_experiment_has_ended(tmp_path):
    found = reported(experiment(), log(1600, {"stable": 0.1, "canary": 0.17}, seed=1))
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        path = tmp_path / f"effect.{ending}"
        picture.draw(found, path)
        assert path.read_bytes().startswith(start)
    assert picture.svg(found).startswith("<?xml")
