"""What a request may say."""

import json

import pytest

from kpasim.server import samplers
from kpasim.server.schema import TextToImage, problems
from kpasim.server.settings import Limits, Settings


def test_an_empty_request_has_automatic1111s_defaults() -> None:
    """Every field may be left out."""
    request = TextToImage.model_validate_json(b"{}")
    expected = {"prompt": "", "seed": -1, "steps": 50, "cfg_scale": 7.0, "width": 512, "height": 512, "batch_size": 1}
    assert expected.items() <= request.model_dump().items()
    assert (request.sampler_name, request.sampler_index, request.send_images) == (None, "Euler", True)
    assert problems(request, Limits()) == []


def test_null_stands_for_the_default() -> None:
    """Clients that write out every field say null for those they leave open, as AUTOMATIC1111 allows."""
    nothing = dict.fromkeys(TextToImage.model_fields)
    assert TextToImage.model_validate_json(json.dumps(nothing)) == TextToImage()


def test_sizes_go_down_to_a_multiple_of_eight() -> None:
    """The latent has one cell for eight pixels."""
    assert TextToImage(width=71, height=64).size == (64, 64)


def test_all_problems_are_named_at_once() -> None:
    """A request with several faults is told all of them."""
    request = TextToImage(width=2000, steps=500, batch_size=9, prompt="x" * 5000, tiling=True, subseed_strength=0.5)
    found = [name for name, _ in problems(request, Limits())]
    assert found == ["width", "steps", "batch_size * n_iter", "prompt", "subseed_strength", "tiling"]


@pytest.mark.parametrize(
    ("sampler", "schedule", "expected"),
    [
        ("Euler", None, ("Euler", "automatic")),
        ("DPM++ 2M Karras", None, ("DPM++ 2M", "karras")),
        ("DPM++ 2M", "Exponential", ("DPM++ 2M", "exponential")),
        ("DPM++ 2M", "sgm_uniform", ("DPM++ 2M", "sgm_uniform")),
        ("Euler a", "no such schedule", ("Euler a", "automatic")),
        ("euler", None, None),
        ("", None, None),
    ],
)
def test_sampler_names_are_automatic1111s(sampler: str, schedule: str | None, expected: tuple[str, str] | None) -> None:
    """Names are taken as written; an old name may carry its noise schedule; an unknown schedule is automatic."""
    found = samplers.find(sampler, schedule)
    assert (found and (found[0].name, found[1].name)) == expected


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(model="/models/dreamshaper-8/"), "dreamshaper-8"),
        (Settings(model="org/model"), "model"),
        (Settings(random_weights="sd15"), "random-sd15"),
    ],
)
def test_a_model_is_called_by_the_last_part_of_its_name(settings: Settings, name: str) -> None:
    """Clients see no paths."""
    assert settings.model_name == name
