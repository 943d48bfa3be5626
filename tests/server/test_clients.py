"""What clients of AUTOMATIC1111 call beside txt2img, on a real server."""

import base64
import io
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from tests.server.processes import SMALL, Server, start

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="needs the server extra")


def picture(side: int = 64, kind: str = "PNG", **how: Any) -> str:
    """A red square in base64."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, kind, **how)
    return base64.b64encode(file.getvalue()).decode()


def test_options_that_change_nothing_are_accepted(server: Server) -> None:
    """A client that sets the model the server has goes on; a client that wants another is told so."""
    path = "/sdapi/v1/options"
    assert server.post({"sd_model_checkpoint": "random-tiny", "CLIP_stop_at_last_layers": 1}, path).status == 200
    refused = server.post({"sd_model_checkpoint": "sd_xl.safetensors"}, path)
    assert refused.status == 422
    assert "one model" in refused.json()["detail"]
    assert server.post({"samples_format": "jpg"}, path).status == 422
    assert server.post(b"[1]", path).status == 422


@pytest.mark.parametrize("name", ["refresh-checkpoints", "refresh-loras", "refresh-vae", "reload-checkpoint", "skip"])
def test_what_has_nothing_to_do_succeeds(name: str, server: Server) -> None:
    """There is one model, so lists are always fresh; with nothing running there is nothing to skip."""
    assert server.post({}, f"/sdapi/v1/{name}").status == 200


def test_an_interrupted_generation_ends_with_what_is_finished(server: Server) -> None:
    """The response comes soon, with status 200 and fewer images than asked for."""
    results = []
    body = {**SMALL, "steps": 150, "n_iter": 4, "batch_size": 1, "width": 256, "height": 256}
    client = threading.Thread(target=lambda: results.append(server.post(body)))
    client.start()
    end = time.monotonic() + 60
    while server.get("/sdapi/v1/progress").json()["state"]["sampling_step"] == 0 and time.monotonic() < end:
        time.sleep(0.01)
    assert server.post({}, "/sdapi/v1/interrupt").status == 200
    client.join(60)
    assert results[0].status == 200
    assert len(results[0].json()["images"]) < 4
    assert server.post(SMALL).status == 200


def test_img2img_begins_with_the_picture(server: Server) -> None:
    """The same seed on another picture makes another image, and less strength stays nearer to the picture."""

    def made(**more: Any) -> bytes:
        answer = server.post({**SMALL, "steps": 10, "seed": 5, **more}, "/sdapi/v1/img2img")
        assert answer.status == 200, answer.body
        assert answer.images()[0].size == (64, 64)
        assert "init_images" not in answer.json()["parameters"]
        return answer.images()[0].tobytes()

    red = made(init_images=[picture()], denoising_strength=0.2)
    assert red == made(init_images=["data:image/png;base64," + picture()], denoising_strength=0.2)
    assert red != made(init_images=[picture()], denoising_strength=1.0)
    made(init_images=[picture(kind="JPEG")], denoising_strength=0.0, resize_mode=1)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 404, "Init image not found"),
        ({"init_images": ["no picture"]}, 422, "not base64"),
        ({"init_images": [base64.b64encode(b"GIF89a").decode()]}, 422, "PNG, JPEG or WebP"),
        ({"init_images": [picture()[:100]]}, 422, "PNG, JPEG or WebP"),
        ({"init_images": [picture(4097)]}, 422, "pixels"),
        ({"init_images": [picture()], "mask": picture()}, 422, "mask"),
        ({"init_images": [picture()], "denoising_strength": 2}, 422, ""),
        ({"init_images": ["A" * (8 * 2**20)]}, 413, "bytes"),
    ],
)
def test_a_picture_that_cannot_be_used_is_refused(
    body: dict[str, Any], status: int, words: str, server: Server
) -> None:
    """Each fault has its status, and the message says what would be right."""
    answer = server.post({**SMALL, **body}, "/sdapi/v1/img2img")
    assert (answer.status, words in str(answer.json()["detail"])) == (status, True)


def test_png_info_reads_what_the_server_writes(server: Server) -> None:
    """The parameters in a generated PNG come back; a picture without any has none."""
    made = server.post({**SMALL, "prompt": "a hill", "seed": 3}).json()["images"][0]
    assert "a hill" in server.post({"image": made}, "/sdapi/v1/png-info").json()["info"]
    assert server.post({"image": picture()}, "/sdapi/v1/png-info").json() == {"info": "", "items": {}, "parameters": {}}
    assert server.post({"image": ""}, "/sdapi/v1/png-info").status == 404
    note = PngImagePlugin.PngInfo()
    note.add_text("parameters", "x" * 2**21, zip=True)
    assert server.post({"image": picture(pnginfo=note)}, "/sdapi/v1/png-info").status == 422


def test_the_front_page_makes_a_picture(server: Server) -> None:
    """A browser that opens the service finds a page of its own, which may load nothing from elsewhere."""
    answer = server.get("/")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "random-tiny" in answer.body.decode()


def test_head_has_the_headers_of_get(server: Server) -> None:
    """Probes and uptime checks send HEAD."""
    for path in ("/healthz", "/", "/sdapi/v1/options"):
        with socket.create_connection(tuple(server.url.removeprefix("http://").split(":")), timeout=10) as link:
            link.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            text = b"".join(iter(lambda: link.recv(65536), b""))
        head, _, body = text.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert body == b""


def test_the_other_client_library_works(server: Server) -> None:
    """A second client, of another author: txt2img, img2img and options."""
    client = pytest.importorskip("aaa1111.client")
    api = client.AAA1111(base_url=server.url)
    try:
        result = api.txt2img({"prompt": "a hill", **SMALL})
        assert len(result.images) == 1
        again = api.img2img({"prompt": "a hill", "init_images": [result.images[0]], **SMALL})
        assert len(again.images) == 1
        api.interrupt()
        api.refresh_checkpoints()
    finally:
        api.client.close()


def test_no_answer_is_undocumented(tmp_path: Path) -> None:
    """Every status, content type and body that drawn requests meet stands in /openapi.json."""
    pytest.importorskip("schemathesis")
    # Requests at these limits cost little: what is tested are the answers, not the work.
    limits = ("--max-side", "64", "--max-steps", "1", "--max-images", "2")
    server = start(tmp_path / "log", "--random-weights", "tiny", *limits)
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--checks", checks]
    command += ["--max-examples", "10", "--phases", "examples,fuzzing", "--seed", "1", "--suppress-health-check", "all"]
    command += ["--generation-database", "none", "--request-timeout", "60", "--no-color"]
    try:
        server.await_ready()
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    finally:
        server.end()
    assert done.returncode == 0, done.stdout[-4000:]
