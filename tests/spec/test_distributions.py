"""Every distribution a file can name, against its own mean and against its definition."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.special import ndtri

from kpasim.spec.distributions import Distribution, Mixture, Time, normal_quantile, ppf_of_each

TIME: TypeAdapter[Distribution] = TypeAdapter(Time)
MIDDLES = (np.arange(200_000) + 0.5) / 200_000

CASES: dict[str, tuple[Any, float]] = {
    "a bare duration": ("11s", 11.0),
    "a bare number": (2.5, 2.5),
    "constant": ({"distribution": "constant", "time": "3s"}, 3.0),
    "uniform": ({"distribution": "uniform", "low": "1s", "high": "3s"}, 2.0),
    "exponential": ({"distribution": "exponential", "mean": "4s"}, 4.0),
    "lognormal by median": ({"distribution": "lognormal", "median": "10s", "sigma": 0.5}, 10 * math.exp(0.125)),
    "lognormal by mean": ({"distribution": "lognormal", "mean": "10s", "cv": 0.5}, 10.0),
    "lognormal without spread": ({"distribution": "lognormal", "mean": "10s", "cv": 0}, 10.0),
    "shifted lognormal": (
        {"distribution": "shifted-lognormal", "shift": "9s", "median": "2s", "sigma": 0.5},
        9 + 2 * math.exp(0.125),
    ),
    "gamma": ({"distribution": "gamma", "mean": "5s", "cv": 0.5}, 5.0),
    "weibull": ({"distribution": "weibull", "scale": "2s", "shape": 2.0}, 2 * math.gamma(1.5)),
    "values": ({"distribution": "empirical", "values": ["4s", "1s", "1s"]}, 2.0),
    "quantiles": ({"distribution": "empirical", "quantiles": ["1s", "2s", "4s"]}, 2.25),
    "mixture": (
        {
            "distribution": "mixture",
            "components": [
                {"weight": 1, "distribution": "uniform", "low": "0s", "high": "2s"},
                {"weight": 3, "time": "9s"},
            ],
        },
        7.0,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_mean_is_the_mean_of_what_is_drawn(name: str) -> None:
    """Averaging the inverse over evenly spaced numbers gives the mean the distribution claims."""
    data, mean_s = CASES[name]
    time = TIME.validate_python(data)

    assert time.mean_s() == pytest.approx(mean_s, rel=1e-12)
    assert float(time.ppf(MIDDLES).mean()) == pytest.approx(mean_s, rel=2e-3)


@pytest.mark.parametrize("name", CASES)
def test_the_inverse_is_finite_and_never_negative(name: str) -> None:
    """Zero and one, which a generator may give, are no exception, and shapes are kept."""
    time = TIME.validate_python(CASES[name][0])
    u = np.array([[0.0, 1e-300, 0.5], [0.999, 1.0 - 2.0**-53, 1.0]])
    drawn = time.ppf(u)

    assert drawn.shape == u.shape
    assert drawn.dtype == np.float64
    assert np.isfinite(drawn).all()
    assert (drawn >= 0).all()


@pytest.mark.parametrize("name", [name for name in CASES if name != "mixture"])
def test_the_inverse_ascends(name: str) -> None:
    """All but mixtures are true inverses of a cumulative distribution."""
    drawn = TIME.validate_python(CASES[name][0]).ppf(MIDDLES[::100])
    assert (np.diff(drawn) >= 0).all()


@pytest.mark.parametrize("name", CASES)
def test_a_distribution_is_written_and_read_back(name: str) -> None:
    """The form a distribution is saved in means the same."""
    time = TIME.validate_python(CASES[name][0])
    again = TIME.validate_python(TIME.dump_python(time, mode="json", by_alias=True, exclude_none=True))
    assert np.array_equal(time.ppf(MIDDLES[::1000]), again.ppf(MIDDLES[::1000]))


def test_medians_are_where_they_are_said_to_be() -> None:
    """Half the draws of a lognormal stay below its median."""
    lognormal = TIME.validate_python(CASES["lognormal by median"][0])
    shifted = TIME.validate_python(CASES["shifted lognormal"][0])
    assert float(lognormal.ppf(np.array([0.5]))[0]) == pytest.approx(10.0)
    assert float(shifted.ppf(np.array([0.5]))[0]) == pytest.approx(11.0)


def test_mean_and_cv_are_those_of_the_lognormal_itself() -> None:
    """The cv is that of the times, not of their logarithms."""
    drawn = TIME.validate_python({"distribution": "lognormal", "mean": "10s", "cv": 0.3}).ppf(MIDDLES)
    assert drawn.std() / drawn.mean() == pytest.approx(0.3, rel=2e-3)


def test_measured_values_are_drawn_as_they_are() -> None:
    """The k-th of n values covers the k-th n-th of the numbers, its upper end included."""
    time = TIME.validate_python({"distribution": "empirical", "values": [3, 1, 2]})
    assert time.ppf(np.array([0.0, 1 / 3, 0.34, 2 / 3, 0.67, 1.0])).tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_a_mixture_draws_from_the_component_that_its_number_falls_into(u: float) -> None:
    """The first quarter of the numbers goes to the first component, stretched over its whole range."""
    mixture = TIME.validate_python(CASES["mixture"][0])
    assert isinstance(mixture, Mixture)
    drawn = float(mixture.ppf(np.array([u]))[0])
    assert drawn == pytest.approx(8 * u if u < 0.25 else 9.0, abs=1e-12)


FAMILIES: dict[str, list[Any]] = {
    "lognormal": [CASES["lognormal by median"][0], CASES["lognormal by mean"][0], CASES["lognormal without spread"][0]],
    "shifted lognormal": [
        CASES["shifted lognormal"][0],
        {"distribution": "shifted-lognormal", "shift": 0, "median": "5s", "sigma": 3},
    ],
    "constant": ["11s", "2s"],
    "weibull": [CASES["weibull"][0], {"distribution": "weibull", "scale": "3s", "shape": 0.5}],
    "mixture": [
        CASES["mixture"][0],
        {
            "distribution": "mixture",
            "components": [
                {"weight": 2, "distribution": "uniform", "low": "1s", "high": "7s"},
                {"weight": 1, "distribution": "lognormal", "median": "1s", "sigma": 0.2},
            ],
        },
    ],
    "mixtures of one and of two": [
        {"distribution": "mixture", "components": [{"weight": 1, "time": "9s"}]},
        CASES["mixture"][0],
    ],
    "several families": [CASES[name][0] for name in ("a bare duration", "gamma", "values", "mixture")],
}


@pytest.mark.parametrize("name", FAMILIES)
def test_several_distributions_together_give_what_each_gives(name: str) -> None:
    """Numbers in rows, or one after the other: each has its own distribution, and the same bits as alone."""
    each = [TIME.validate_python(data) for data in FAMILIES[name]]
    u = np.random.default_rng(3).random((len(each), 500))
    u[:, :2] = 0.0, 1.0
    alone = np.stack([one.ppf(row) for one, row in zip(each, u, strict=True)])
    places = np.arange(len(each))

    assert ppf_of_each(each, u, places[:, np.newaxis]).tobytes() == alone.tobytes()
    ragged = np.repeat(places, [500, *[30] * (len(each) - 1)])
    flat = np.concatenate([u[0], u[1:, :30].ravel()])
    expected = np.concatenate([alone[0], alone[1:, :30].ravel()])
    assert ppf_of_each(each, flat, ragged).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"distribution": "lognormal", "median": "1s", "cv": 0.3}, "median and sigma, or mean and cv"),
        ({"distribution": "lognormal"}, "no parameters"),
        ({"distribution": "uniform", "low": "3s", "high": "1s"}, "high is below low"),
        ({"distribution": "empirical"}, "values or quantiles"),
        ({"distribution": "empirical", "values": [1], "quantiles": [1, 2]}, "exactly one"),
        ({"distribution": "empirical", "quantiles": [2, 1]}, "ascend"),
        ({"distribution": "exponential", "mean": "0s"}, "greater than 0"),
        ({"distribution": "gamma", "mean": "1s", "cv": 0}, "greater than 0"),
        ({"distribution": "lognormal", "median": "1s", "sigma": float("nan")}, "finite"),
    ],
)
def test_parameters_that_make_no_distribution(data: Any, word: str) -> None:
    """What cannot be drawn from is refused when the file is read."""
    with pytest.raises(ValidationError, match=word):
        TIME.validate_python(data)


@given(st.floats(1e-300, 1.0 - 1e-16, exclude_max=True))
def test_normal_quantiles_are_those_of_scipy(u: float) -> None:
    """Whatever the probability, they agree to fifteen digits, in arrays of any shape."""
    found = normal_quantile(np.full((2, 3), u))
    assert found == pytest.approx(np.full((2, 3), ndtri(u)), rel=2e-15, abs=2e-16)
