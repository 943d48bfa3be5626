"""The txt2img server as a real process with real HTTP."""

import asyncio
import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kpasim.server.samplers import SAMPLERS, SCHEDULES
from tests.server.processes import SMALL, Answer, Server, start

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="needs the server extra")

PATH = "/sdapi/v1/txt2img"


async def post_many(server: Server, count: int, concurrency: int, body: dict[str, Any]) -> list[tuple[int, bytes]]:
    """Status and body of `count` requests, `concurrency` at a time."""
    connector = aiohttp.TCPConnector(limit=0)
    gate = asyncio.Semaphore(concurrency)

    async def one(session: aiohttp.ClientSession) -> tuple[int, bytes]:
        async with gate, session.post(server.url + PATH, json=body) as response:
            return response.status, await response.read()

    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(120)) as session:
        return list(await asyncio.gather(*(one(session) for _ in range(count))))


def test_the_tiny_model_is_ready_within_a_minute(server: Server) -> None:
    """The process is alive at once, not ready while it loads, and ready after less than 60 s of computing."""
    spent = psutil.Process(server.process.pid).cpu_times()
    assert spent.user + spent.system < 60
    assert server.states[0] == (200, 503)
    assert server.states[-1] == (200, 200)
    assert {live for live, _ in server.states} == {200}


def test_the_stages_of_the_start_are_reported(server: Server) -> None:
    """/metrics names each stage of the start, and together they are no longer than the whole."""
    names = ("process", "import", "build", "to-device", "warm-up")
    stages = [server.metric(f'txt2img_start_stage_seconds{{stage="{name}"}}') for name in names]
    assert all(stage > 0 for stage in stages)
    assert sum(stages) <= server.metric("txt2img_ready_after_seconds")


def test_an_answer_has_the_picture_the_request_and_its_story(server: Server) -> None:
    """A request gets a PNG of the size asked for, its own fields with the defaults, and an info text that is JSON."""
    answer = server.post(SMALL | {"prompt": "pretty dog", "seed": 7, "unknown": 1})

    assert answer.status == 200
    (picture,) = answer.images()
    assert (picture.format, picture.size) == ("PNG", (64, 64))
    parameters = answer.json()["parameters"]
    assert parameters["prompt"] == "pretty dog"
    assert (parameters["steps"], parameters["cfg_scale"], parameters["sampler_index"]) == (2, 7.0, "Euler")
    assert "unknown" not in parameters
    info = json.loads(answer.json()["info"])
    assert (info["seed"], info["all_seeds"], info["sampler_name"]) == (7, [7], "Euler")
    assert picture.info["parameters"] == info["infotexts"][0]
    assert picture.info["parameters"].startswith("pretty dog\nSteps: 2, Sampler: Euler,")


def test_an_answer_says_who_made_it_and_when(server: Server) -> None:
    """The headers name the pod, the arrival and the time in queue and in service."""
    before = time.time()
    headers = server.post(SMALL).headers
    assert headers["x-pod-name"] == "test-pod"
    assert before - 0.1 <= float(headers["x-arrival-time"]) <= time.time()
    times = dict(part.split(";dur=") for part in headers["server-timing"].split(", "))
    assert 0 < float(times["service"]) / 1e3 <= float(headers["x-process-time"])
    assert float(times["queue"]) >= 0


def test_the_same_seed_makes_the_same_image(server: Server) -> None:
    """Equal requests with a seed get equal bytes; another seed, or none, gets another image."""
    one, two, other = (server.post(SMALL | {"seed": seed}).json()["images"] for seed in (5, 5, 6))
    assert one == two != other
    free = [server.post(SMALL).json() for _ in range(2)]
    assert free[0]["images"] != free[1]["images"]
    assert json.loads(free[0]["info"])["seed"] != json.loads(free[1]["info"])["seed"]


def test_a_batch_counts_its_seeds_up(server: Server) -> None:
    """Image k of a request has seed + k, whether it comes from the batch or from the iterations."""
    answer = server.post(SMALL | {"seed": 40, "batch_size": 2, "n_iter": 2})
    pictures = answer.images()
    assert json.loads(answer.json()["info"])["all_seeds"] == [40, 41, 42, 43]
    assert [text.info["parameters"].split("Seed: ")[1].split(",")[0] for text in pictures] == ["40", "41", "42", "43"]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_images_can_be_left_out(server: Server) -> None:
    """send_images: false gets the info without the pictures."""
    answer = server.post(SMALL | {"send_images": False, "seed": 3}).json()
    assert answer["images"] == []
    assert json.loads(answer["info"])["seed"] == 3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_makes_an_image(server: Server, sampler: str) -> None:
    """Each sampler works with each noise schedule, and with a single step."""
    for steps, schedule in enumerate(SCHEDULES, start=1):
        body = SMALL | {"sampler_name": sampler, "scheduler": schedule.label, "steps": steps}
        answer = server.post(body)
        assert answer.status == 200, (body, answer.body[:300])
        assert answer.images()[0].size == (64, 64)


@pytest.mark.parametrize(
    ("body", "status", "names"),
    [
        ({"sampler_name": "Nonesuch"}, 404, "Sampler not found"),
        ({"script_name": "x/y/z plot"}, 422, "Script not found"),
        ({"alwayson_scripts": {"ControlNet": {}}}, 422, "alwayson_scripts"),
        ({"enable_hr": True}, 422, "enable_hr"),
        ({"width": 1032}, 422, "width"),
        ({"height": 8}, 422, "height"),
        ({"steps": 151}, 422, "steps"),
        ({"steps": 0}, 422, "steps"),
        ({"batch_size": 3, "n_iter": 2}, 422, "batch_size"),
        ({"batch_size": -1, "n_iter": -1}, 422, "batch_size"),
        ({"prompt": "x" * 4097}, 422, "prompt"),
        ({"negative_prompt": "x" * 4097}, 422, "negative_prompt"),
        ({"prompt": ["a"]}, 422, "prompt"),
        ({"seed": 2**63}, 422, "seed"),
        ({"seed": -2}, 422, "seed"),
        ({"cfg_scale": float("nan")}, 422, "cfg_scale"),
        ({"prompt": "\ud800"}, 422, "hex escape"),
        ({"script_args": ["\ud800"]}, 422, "hex escape"),
        ([], 422, "object"),
        (b"", 422, "JSON"),
        (b"{", 422, "JSON"),
        (b"\xff\xfe", 422, "JSON"),
        (b"[" * 60000, 422, "recursion"),
        (b'{"prompt": "' + b"x" * 70000 + b'"}', 413, "65536 bytes"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(server: Server, body: Any, status: int, names: str) -> None:
    """A request beyond the limits gets its status and AUTOMATIC1111's error body, which names what is wrong."""
    answer = server.post(body)
    assert answer.status == status
    assert set(answer.json()) == {"error", "detail", "body", "errors"}
    assert names in json.dumps(answer.json()["detail"])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("prompt", "negative_prompt", "seed", "subseed", "sampler_name", "scheduler", "cfg_scale", "styles", "eta")
MORE_FIELDS = ("override_settings", "script_args", "script_name", "alwayson_scripts", "hr_scale", "infotext", "s_noise")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(extra=st.dictionaries(st.sampled_from(FIELDS + MORE_FIELDS), JSON_VALUES, max_size=3))
def test_no_input_breaks_the_server(server: Server, extra: dict[str, Any]) -> None:
    """Whatever a field holds, the request is served or refused as the client's mistake, never as the server's."""
    answer = server.post(SMALL | {"steps": 1} | extra)
    assert answer.status in {200, 404, 422}
    assert server.get("/healthz").status == 200


def test_hey_gets_valid_images(server: Server) -> None:
    """A closed loop of four clients (hey itself where it is installed) gets 200 each time."""
    before = server.metric('txt2img_requests_total{code="200"}')
    if shutil.which("hey"):
        options = ["-n", "40", "-c", "4", "-m", "POST", "-T", "application/json", "-d", json.dumps(SMALL)]
        report = subprocess.run(["hey", *options, server.url + PATH], capture_output=True, text=True, check=True).stdout
        assert "[200]\t40 responses" in report
        assert "Error distribution" not in report
    statuses = []
    for status, body in asyncio.run(post_many(server, 40, 4, SMALL)):
        statuses.append(status)
        assert Answer(status, {}, body).images()[0].size == (64, 64)
    assert statuses == [200] * 40
    assert server.metric('txt2img_requests_total{code="200"}') - before in {40, 80}


def test_two_hundred_at_once_are_answered_or_refused(server: Server) -> None:
    """Of 200 requests sent together each gets an image or 503; those admitted fill the slot and the queue."""
    answers = asyncio.run(post_many(server, 200, 200, SMALL))
    counts = Counter(status for status, _ in answers)
    assert set(counts) <= {200, 503}
    assert sum(counts.values()) == 200
    assert counts[200] >= 101  # one slot and a queue of 100; more where some were served before the last arrived
    assert all(len(Answer(status, {}, body).images()) == 1 for status, body in answers if status == 200)
    assert server.metric("txt2img_running") == server.metric("txt2img_waiting") == 0


def test_memory_does_not_grow(server: Server) -> None:
    """From request 100 to request 500 the process grows by less than 20 MB."""
    process = psutil.Process(server.process.pid)
    asyncio.run(post_many(server, 100, 4, SMALL))
    before = process.memory_info().rss
    asyncio.run(post_many(server, 400, 4, SMALL))
    assert process.memory_info().rss - before < 20e6


def test_work_stops_when_the_client_leaves(server: Server) -> None:
    """A request whose client has gone is given up between two steps, whether it runs or waits, and counted as 499."""
    long = SMALL | {"steps": 150}
    left, made = server.metric('txt2img_requests_total{code="499"}'), server.metric("txt2img_images_total")

    async def leave() -> None:
        async with aiohttp.ClientSession() as session:
            running = asyncio.create_task(session.post(server.url + PATH, json=long))
            waiting = asyncio.create_task(session.post(server.url + PATH, json=long))
            while await asyncio.to_thread(lambda: server.get("/sdapi/v1/progress").json()["progress"]) == 0:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(server.await_metric, "txt2img_waiting", 1)
            running.cancel()
            waiting.cancel()

    asyncio.run(leave())
    server.await_metric('txt2img_requests_total{code="499"}', left + 2)
    assert server.metric("txt2img_running") == server.metric("txt2img_waiting") == 0
    assert server.metric("txt2img_images_total") == made


def test_progress_follows_the_running_request(server: Server) -> None:
    """/sdapi/v1/progress is 0 when idle and rises with the steps of a running request."""
    assert server.get("/sdapi/v1/progress").json()["progress"] == 0
    client = threading.Thread(target=server.post, args=(SMALL | {"steps": 150},))
    client.start()
    seen = []
    while client.is_alive():
        seen.append(server.get("/sdapi/v1/progress").json())
        time.sleep(0.01)
    client.join()
    working = [one for one in seen if 0 < one["progress"] < 1]
    assert working
    assert [one["progress"] for one in working] == sorted(one["progress"] for one in working)
    assert {one["state"]["sampling_steps"] for one in working} == {150}
    assert server.get("/sdapi/v1/progress").json()["progress"] == 0


def test_the_lists_clients_ask_for_are_there(server: Server) -> None:
    """Options, models, samplers and the like are answered."""
    assert server.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "random-tiny"
    assert [one["model_name"] for one in server.get("/sdapi/v1/sd-models").json()] == ["random-tiny"]
    assert [one["name"] for one in server.get("/sdapi/v1/samplers").json()] == list(SAMPLERS)
    assert [one["label"] for one in server.get("/sdapi/v1/schedulers").json()] == [one.label for one in SCHEDULES]
    assert server.get("/sdapi/v1/memory").json()["ram"]["total"] > 0
    assert server.get("/internal/ping").json() == {}
    assert server.get("/nowhere").status == 404


def test_webuiapi_makes_an_image(server: Server) -> None:
    """The client library that people use with AUTOMATIC1111 works unmodified."""
    webuiapi = pytest.importorskip("webuiapi")
    api = webuiapi.WebUIApi(baseurl=server.url + "/sdapi/v1", steps=2)
    try:
        result = api.txt2img(prompt="pretty dog", negative_prompt="ugly", seed=11, width=64, height=64)
        assert result.image.size == (64, 64)
        assert result.info["seed"] == 11
        assert result.parameters["sampler_name"] == "Euler a"
        assert api.get_options()["samples_format"] == "png"
        assert api.get_progress()["progress"] == 0
        assert "Euler a" in {one["name"] for one in api.get_samplers()}
        assert api.get_scripts() == {"txt2img": [], "img2img": []}
    finally:
        api.session.close()


def test_prompts_stay_out_of_the_log(server: Server) -> None:
    """Neither a served nor a refused prompt is written to the log."""
    assert server.post(SMALL | {"prompt": "launch code 4711 " * 50}).status == 200
    assert server.post({"prompt": "launch code 4711", "steps": "many"}).status == 422
    assert "4711" not in server.log.read_text()


def test_two_slots_share_a_saved_model(server: Server, tmp_path: Path) -> None:
    """A saved pipeline is served with two generations at a time and makes the same image as the one saved."""
    folder = tmp_path / "pipeline"
    program = f"from kpasim.server.models import build; build('tiny').save_pretrained({str(folder)!r})"
    subprocess.run([server.process.args[0], "-c", program], check=True, capture_output=True)  # type: ignore[index]
    second = start(tmp_path / "log", "--model", str(folder), "--concurrency", "2", "--queue", "1")
    try:
        second.await_ready()
        body = SMALL | {"seed": 9}
        (expected,) = server.post(body).images()
        answers = asyncio.run(post_many(second, 30, 3, body))
        assert Counter(status for status, _ in answers) == {200: 30}
        assert {Answer(200, {}, text).images()[0].tobytes() for _, text in answers} == {expected.tobytes()}
        assert second.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "pipeline"

        long = SMALL | {"steps": 80}
        crowd = [threading.Thread(target=second.post, args=(long,)) for _ in range(3)]
        for client in crowd[:2]:
            client.start()
        second.await_metric("txt2img_running", 2)
        crowd[2].start()
        second.await_metric("txt2img_waiting", 1)
        refused = second.post(SMALL)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "queue is full (2 running, 1 waiting)" in refused.json()["detail"]
        for client in crowd:
            client.join()
    finally:
        second.end()
