"""The command line of the txt2img server: `kpasim serve txt2img` and `python -m kpasim.server`."""

from dataclasses import fields
from typing import Any

import click

from kpasim.server.settings import Limits, Settings


@click.command(
    "txt2img",
    context_settings={"show_default": True},
    epilog="\b\nTry: kpasim serve txt2img --random-weights tiny --port 7860",
)
@click.option("--model", metavar="PATH|HUB-ID", help="Diffusers pipeline to serve (Stable Diffusion 1.x, 2.x or XL).")
@click.option(
    "--random-weights",
    type=click.Choice(["tiny", "sd15"]),
    help="Build this architecture without weights instead: real work, and noise for a picture.",
)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=7860, type=click.IntRange(0, 65535), envvar="PORT", help="Port; 0 takes a free one.")
@click.option("--concurrency", default=1, type=click.IntRange(1, 64), help="Generations at a time.")
@click.option("--queue", default=100, type=click.IntRange(0), help="Requests that may wait; the next one gets 503.")
@click.option("--device", default="auto", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.")
@click.option(
    "--precision", default="auto", type=click.Choice(["auto", "fp16", "fp32"]), help="auto: fp16 on CUDA, fp32 on CPU."
)
@click.option("--threads", default=1, type=click.IntRange(1), help="Threads of one generation on the CPU.")
@click.option("--safety-checker/--no-safety-checker", default=True, help="Keep the model's own, where it has one.")
@click.option("--max-side", default=Limits.max_side, type=click.IntRange(64), help="Largest width and height [pixels].")
@click.option("--max-steps", default=Limits.max_steps, type=click.IntRange(1), help="Most sampling steps.")
@click.option("--max-images", default=Limits.max_images, type=click.IntRange(1), help="Most images of one request.")
@click.option("--max-prompt", default=Limits.max_prompt, type=click.IntRange(0), help="Longest prompt [characters].")
@click.option("--max-body", default=Limits.max_body, type=click.IntRange(1), help="Largest request body [bytes].")
def command(*, host: str, port: int, **given: Any) -> None:
    """Serve text-to-image over AUTOMATIC1111's HTTP interface.

    The port opens at once; /readyz returns 200 when the model is loaded and warmed up. On SIGTERM the admitted
    requests are finished and new ones get 503.
    """
    if (given["model"] is None) == (given["random_weights"] is None):
        raise click.UsageError("give either --model or --random-weights")
    from kpasim.server.process import serve

    limits = Limits(**{field.name: given.pop(field.name) for field in fields(Limits) if field.name in given})
    serve(Settings(**given, limits=limits), host, port)
