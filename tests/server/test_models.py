"""Slots: generations that share a pipeline's weights and nothing that a generation changes."""

import copy
from importlib.util import find_spec
from typing import Any

import pytest

from kpasim.server import models, samplers
from kpasim.server.schema import TextToImage

pytestmark = [
    pytest.mark.skipif(find_spec("torch") is None, reason="needs the server extra"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers", "ignore:.*upcast_vae:FutureWarning"),
]


def tiny_xl() -> Any:
    """A Stable Diffusion XL pipeline in fp16, with the parts of the tiny model and both of XL's text encoders."""
    import torch
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

    tiny = models.build("tiny")
    text = copy.deepcopy(tiny.text_encoder.config)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=tiny.vae,
        text_encoder=tiny.text_encoder,
        text_encoder_2=CLIPTextModelWithProjection(text).eval(),
        tokenizer=tiny.tokenizer,
        tokenizer_2=copy.deepcopy(tiny.tokenizer),
        unet=unet.eval(),
        scheduler=tiny.scheduler,
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to("cpu", torch.float16)


def job() -> models.Job:
    """A request for one small image."""
    found = samplers.find("Euler", None)
    assert found is not None
    return models.Job(TextToImage(prompt="dog", steps=1, width=64, height=64, seed=1), *found, seeds=[1], model_name="")


def test_xl_decodes_in_two_slots_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """XL's VAE is turned to fp32 while it decodes; a generation that ends meanwhile in another slot does not mind."""
    pipeline = tiny_xl()
    one, two = models.Slot(pipeline), models.Slot(pipeline)
    (alone,) = two.generate(job())
    meanwhile = []

    def decode(*given: Any, **named: Any) -> Any:
        monkeypatch.undo()
        meanwhile.extend(two.generate(job()))
        return found(*given, **named)

    found = one._pipeline.vae.decode
    monkeypatch.setattr(one._pipeline.vae, "decode", decode)
    assert one.generate(job()) == meanwhile == [alone]


def test_a_decoding_that_failed_spoils_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for which the memory did not last fails alone."""
    slot = models.Slot(tiny_xl())
    (expected,) = slot.generate(job())

    def decode(*_given: Any, **_named: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(slot._pipeline.vae, "decode", decode)
        with pytest.raises(MemoryError):
            slot.generate(job())
    assert slot.generate(job()) == [expected]
