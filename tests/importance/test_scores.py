import numpy as np
import pytest

from vitprune.importance import Scores, Unit


def scores(jsd, dprob=None):
    jsd = np.asarray(jsd, dtype=float)
    dprob = np.zeros_like(jsd) if dprob is None else np.asarray(dprob, dtype=float)
    clips = np.arange(len(jsd))
    return Scores(
        [Unit(i) for i in range(jsd.shape[1])],
        clips=clips,
        labels=clips % 2,
        predicted=clips % 3,
        values={"JSD": jsd, "dProb/predicted": dprob, "dProb/label": -dprob},
    )


def layers(units):
    return [unit.layer for unit in units]


def test_ties_go_to_the_lower_layer_in_both_directions():
    tied = scores([[0.5, 0.1, 0.5, 0.1, 0.3]])
    assert layers(tied.rank("JSD", "lowest")) == [1, 3, 4, 0, 2]
    assert layers(tied.rank("JSD", "highest")) == [0, 2, 4, 1, 3]
    assert layers(tied.lowest(1, "JSD")) == [1]
    assert layers(tied.highest(2, "JSD")) == [0, 2]
    assert layers(scores(np.zeros((2, 12))).rank()) == list(range(12))


def test_means_and_errors():
    some = scores([[0.1, 0.4], [0.3, 0.8]], [[0.5, -0.2], [0.1, 0.0]])
    np.testing.assert_allclose(some.mean("R"), [0.25, 0.25])
    np.testing.assert_allclose(some.mean("R", "label"), [-0.05, 0.35])
    np.testing.assert_allclose(some.standard_error("JSD"), [0.1, 0.2])
    np.testing.assert_allclose(some.jsd, some.per_clip("JSD"))
    np.testing.assert_allclose(some.dprob_predicted, -some.dprob_label)
    assert np.isnan(scores([[0.1, 0.2]]).standard_error()).all()


def test_what_is_refused():
    some = scores([[0.1, 0.2]])
    with pytest.raises(ValueError, match="metric='jsd' is not one of JSD, dProb, R"):
        some.mean("jsd")
    with pytest.raises(ValueError, match="target='truth' is not one of predicted, label"):
        some.mean("R", "truth")
    with pytest.raises(ValueError, match="direction='low' is not one of lowest, highest"):
        some.rank(direction="low")


def test_saved_and_loaded(tmp_path):
    some = scores(np.random.default_rng(0).random((5, 3)))
    some.units = list(map(Unit.parse, ["0.time.1", "0.1", "11.mlp.0"]))
    some.save(tmp_path / "deep" / "scores.npz")
    loaded = Scores.load(tmp_path / "deep" / "scores.npz")
    assert loaded.units == some.units
    for name in ("clips", "labels", "predicted"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(some, name))
    for name, values in some.values.items():
        np.testing.assert_array_equal(loaded.values[name], values)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["scores.npz"]


def test_values_must_fit_the_units(tmp_path):
    some = scores([[0.1, 0.2]])
    some.units = [Unit(0)]
    some.save(tmp_path / "scores.npz")
    with pytest.raises(ValueError, match="do not fit"):
        Scores.load(tmp_path / "scores.npz")


def test_csv_is_the_same_byte_for_byte(tmp_path):
    some = scores([[0.1, 0.4], [0.3, 0.8]], [[0.5, -0.2], [0.1, 0.0]])
    some.to_csv(tmp_path / "predicted.csv")
    some.to_csv(tmp_path / "label.csv", "label")
    assert (tmp_path / "predicted.csv").read_bytes() == (
        b"unit,JSD,JSD_se,dProb,dProb_se,R,R_se\n"
        b"0,0.2,0.1,0.3,0.2,0.25,0.05\n"
        b"1,0.6,0.2,-0.1,0.1,0.25,0.15\n"
    )
    assert b"\n1,0.6,0.2,0.1,0.1,0.35,0.05\n" in (tmp_path / "label.csv").read_bytes()
