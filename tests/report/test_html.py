"""The HTML report: what it says, that it can do no harm, and that a real browser shows it."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kpasim.cli.main import cli
from kpasim.errors import KpasimError, RunError
from kpasim.report import charts, evidence, html, markup
from kpasim.report.drawing import MOST_POINTS, shown, thinned
from kpasim.results.files import write_text
from kpasim.results.tables import Tables, empty_columns, write_run_folder
from kpasim.spec.experiment import load, loads
from kpasim.studies.run import simulate
from tests.real_runs import folder as real
from tests.report import chromium

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
MOST_BYTES = 6_000_000
TOKEN = re.compile(r"<[a-z-]+>")


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders of the headline run, of the same with another setting, and of a measured one with its prediction."""
    root = tmp_path_factory.mktemp("runs")
    experiment = load(EXPERIMENTS / "hey50x5.yaml").with_setting("model.provisional", True)
    simulate(experiment, replications=12, engine="reference").write(root / "first")
    other = experiment.with_setting("service.annotations.target-utilization-percentage", 70)
    simulate(other, replications=12, engine="reference").write(root / "second")
    shutil.copytree(real("s1-warm-def-r03"), root / "validated")
    shutil.copytree(root / "first", root / "validated" / "prediction")
    return root


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """The folder of a small sweep."""
    from kpasim.studies.sweep import sweep

    root = tmp_path_factory.mktemp("sweep")
    file = root / "scales.yaml"
    file.write_text(
        f"experiment: {EXPERIMENTS / 'hey50x5.yaml'}\n"
        "axes:\n"
        "  service.annotations.max-scale: [1, 5]\n"
        "  service.annotations.min-scale: [0, 2]\n"
        "replications: 6\nhorizon: 15m\npercentiles: [p95]\n",
        encoding="utf-8",
    )
    sweep(file, out=root / "out", engine="reference")
    return root / "out"


@pytest.fixture(scope="session")
def pages(runs, swept, tmp_path_factory):
    """One page of each kind, as files."""
    root = tmp_path_factory.mktemp("pages")
    found = {
        "run": html.page_of(runs / "first"),
        "pair": html.page_of(runs / "first", runs / "second"),
        "validated": html.page_of(runs / "validated"),
        "measured": html.page_of(real("s4-sdd30"), replications=8),
        "sweep": html.page_of(swept),
    }
    for name, page in found.items():
        write_text(root / f"{name}.html", page)
    return root


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the page's text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        self.found.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        """Leave it."""
        self._inside = ""

    def handle_data(self, data):
        """Note its text."""
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, with single blanks."""
        return " ".join(" ".join(self.words).split())


def charts_of(page: str) -> dict[str, dict]:
    """The charts inside a page."""
    parsed = Elements(page)
    place = [dict(attributes).get("id") for tag, attributes in parsed.found if tag == "script"].index("charts")
    return json.loads(parsed.scripts[place])


def pod_names(figures) -> set[str]:
    """Every text of every chart."""
    found: set[str] = set()

    def walk(value):
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, dict):
            for one in value.values():
                walk(one)

    walk(figures)
    return found


def hostile() -> Tables:
    """A run whose every word tries to become markup."""
    evil = "</script><script>hacked=1</script><img src=x onerror=hacked=1><blue>&lt;\u2028\x00"
    tables = Tables(**{name: empty_columns(name) for name in ("requests", "pods", "ticks", "scaling", "nodes")})
    tables.requests = {name: np.zeros(3, column.dtype) for name, column in tables.requests.items()}
    tables.requests |= {
        "id": np.arange(3),
        "start_s": np.arange(3.0),
        "latency_s": np.array([1.0, 2.0, 3.0]),
        "status": np.array([200, 503, 0]),
        "pod": np.array([evil] * 3),
        "error": np.array([evil] * 3),
    }
    tables.pods = {
        "pod": np.array([evil]),
        "created_s": np.array([0.0]),
        "ready_s": np.array([1.0]),
        "delete_requested_s": np.array([5.0]),
        "gone_s": np.array([6.0]),
        "instance_type": np.array([evil]),
    }
    tables.ticks = {name: np.zeros(2, column.dtype) for name, column in tables.ticks.items()}
    tables.ticks |= {"t_s": np.array([0.0, 2.0]), "desired": np.array([1, 2]), "rule": np.array([evil, "panic"])}
    tables.scaling = {name: np.zeros(2, column.dtype) for name, column in tables.scaling.items()}
    tables.scaling |= {"t_s": np.array([0.0, 2.0]), "sks_mode": np.array([evil, evil])}
    return tables


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory):
    """A run folder made to do harm."""
    place = tmp_path_factory.mktemp("hostile") / "<b>x<"
    evil = '</script><script>hacked=1</script>"onmouseover="hacked=1'
    about = {
        "name": evil,
        "source": evil,
        "end_s": 1e300,
        "seed": "1; rm -rf ~",
        "experiment": {evil: [evil, {"workload": evil}]},
        "packages": {evil: {"a": evil}},
        "kpasim": evil,
        "knative_commit": [evil],
    }
    write_run_folder(place, hostile(), about, None)
    return place


def test_a_page_tells_the_run_in_words(runs):
    """The figures of the run, what it costs and that its model is provisional stand in sentences at the top."""
    text = Elements(html.page_of(runs / "first")).text
    shown_run = evidence.read(runs / "first")

    assert "5 hey clients, 50 requests, client timeout 3 min. Each pod takes 1 request at a time; " in text
    assert f"{shown_run.medians['latency_s.p50']:.4g} s" in text
    assert "Panic mode began" in text
    assert "CNY per 1,000 requests" in text
    assert "The model of the service is provisional" in text


def test_few_runs_have_no_interval_of_nine_in_ten(runs, swept, tmp_path):
    """Of twelve runs the least and the greatest are shown, and called so; two pages of one kind share a subtitle."""
    for folder in (runs / "first", swept):
        text = Elements(html.page_of(folder)).text
        assert "min to max" in text
        assert "90 % of runs" not in text
    assert "in brackets the min and the max of them" in Elements(html.page_of(runs / "first")).text

    simulate(load(EXPERIMENTS / "hey50x5.yaml"), replications=19, engine="reference").write(tmp_path / "more")

    assert "90 % of runs" in Elements(html.page_of(tmp_path / "more")).text
    pair = Elements(html.page_of(runs / "first", runs / "second")).text
    assert pair.count("12 simulated runs by kpasim") == 1


def test_every_decision_is_told_with_its_reason(runs):
    """Each change of the autoscaler's mind is a mark in the chart and a row in the table, both with the rule."""
    page = html.page_of(runs / "first")
    marks = next(trace for trace in charts_of(page)["scaling"]["data"] if trace["name"] == "decisions")

    assert len(marks["x"]) >= 8
    assert any("the panic window asks for it" in text for text in marks["text"])
    assert Elements(page).text.count("the panic window asks for it") >= 1


def test_the_mark_of_a_decision_is_at_the_pods_that_its_bounds_leave():
    """Knative's windows ask for more than max-scale, as the text of the mark says; the mark lies upon the line."""
    two = load(EXPERIMENTS / "hey50x5.yaml").with_settings({"service.annotations.max-scale": 2})
    data = charts.scaling(evidence.of(simulate(two, replications=1, engine="reference")))["data"]
    marks = next(trace for trace in data if trace["name"] == "decisions")

    assert any("max-scale caps it at 2" in text for text in marks["text"])
    assert max(marks["y"]) == 2


def test_the_experiment_in_a_page_gives_the_same_run(runs):
    """The file that the page offers is the experiment: it loads, and its numbers are those of the folder."""
    links = [attributes for tag, attributes in Elements(html.page_of(runs / "first")).found if tag == "a"]
    saved = next(one for one in links if one.get("download") == "hey50x5.yaml")
    text = base64.b64decode(saved["href"].partition("base64,")[2]).decode()

    again = simulate(loads(text), replications=12, engine="reference")

    assert again.summary == json.loads((runs / "first" / "summary.json").read_text(encoding="utf-8"))["summary"]


def test_two_runs_stand_side_by_side(runs):
    """The page about two runs names what differs, and which outcomes differ significantly."""
    text = Elements(html.page_of(runs / "first", runs / "second")).text

    assert "target-utilization-percentage 100 70" in text
    assert "Both met the same random numbers" in text
    outcome = text.partition("Figures of both runs")[2].partition("Pods and decisions")[0]
    assert "needs about" in outcome
    assert "cost CNY, mean" in outcome or "cost USD, mean" in outcome
    assert "min-scale" not in text.partition("Settings that differ")[2].partition("Outcome")[0]


def test_runs_of_different_loads_are_not_paired(runs, tmp_path):
    """Fewer requests under the same seed are another load: the page compares means of independent samples."""
    experiment = load(EXPERIMENTS / "hey50x5.yaml").with_setting("workload.requests", 40)
    simulate(experiment, replications=12, engine="reference").write(tmp_path / "fewer")
    text = Elements(html.page_of(runs / "first", tmp_path / "fewer")).text

    assert "not of the same load and seed" in text
    assert "Both met the same random numbers" not in text


def test_a_validated_run_stands_beside_its_frozen_prediction(runs):
    """A folder that holds a prediction is compared with that one, not with one made afterwards."""
    text = Elements(html.page_of(runs / "validated")).text

    assert "written before the load began" in text
    assert "measured values lie inside their 90 % intervals" in text


def test_a_measured_run_is_predicted_for_its_page():
    """A measured run without a prediction is simulated, with bands of the replications beside what was measured."""
    page = html.page_of(real("s4-sdd30"), replications=8)

    assert "The prediction is of 8 simulated runs" in Elements(page).text
    assert {"predicted, 90 %", "measured"} <= {trace["name"] for trace in charts_of(page)["bands"]["data"]}
    assert "Measured beside predicted" not in html.page_of(real("s4-sdd30"), replications=0)


def test_a_measured_run_beside_a_simulated_one_is_compared(runs):
    """Two runs of which one is measured are also shown metric by metric."""
    text = Elements(html.page_of(runs / "first", runs / "validated")).text

    assert "Measured beside predicted" in text
    assert "hey50x5 and s1-warm-def-r03" in text


def test_numbers_stand_under_their_headings(runs):
    """In the table of metrics each number has the heading that says what it is."""
    page = html.page_of(runs / "validated")
    table = page[page.index("<caption>Metric by metric") :]
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", table.partition("</thead>")[0])
    row = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", table.partition("<tbody>")[2].partition("</tr>")[0])

    assert len(heads) == len(row)
    mean = dict(zip(heads[1:], row[1:], strict=True))
    measured, foreseen = evidence.read(runs / "validated"), evidence.read(runs / "validated" / "prediction")
    assert (row[0], mean["unit"]) == ("mean", "s")
    assert mean["measured"] == f"{measured.medians['latency_s.mean']:.4g}"
    assert mean["predicted"] == f"{foreseen.medians['latency_s.mean']:.4g}"
    assert mean["interval"] in {"inside", "outside"}


def test_a_sweep_has_its_front_and_its_axes(swept):
    """The page of a sweep names the cheapest and the fastest setting, and charts each axis."""
    page = html.page_of(swept)

    assert {"front-p95", "axis-0", "axis-1"} == set(charts_of(page))
    assert "The cheapest costs" in Elements(page).text
    assert "The fastest has a p95 of" in Elements(page).text


@pytest.mark.parametrize("kind", ["run", "pair", "validated", "measured", "sweep"])
def test_charts_are_what_plotly_takes(pages, kind):
    """Every chart passes plotly's own validation, once colours stand where their names are."""
    import plotly.graph_objects as go

    figures = charts_of((pages / f"{kind}.html").read_text(encoding="utf-8"))

    assert figures
    for figure in figures.values():
        painted = json.loads(json.dumps(figure), object_hook=painted_object)
        assert go.Figure(painted).data


def painted_object(value: dict) -> dict:
    """A dictionary with black where a colour is named."""
    return {key: "#000000" if isinstance(one, str) and TOKEN.fullmatch(one) else one for key, one in value.items()}


def test_every_colour_that_charts_name_is_in_the_style_sheet(pages):
    """No chart asks for a colour that one of the two sides of the page lacks."""
    style = markup._asset("page.css")
    light, dark = style.split(':root[data-theme="dark"]')
    for kind in ("run", "pair", "validated", "sweep"):
        for text in pod_names(charts_of((pages / f"{kind}.html").read_text(encoding="utf-8"))):
            if TOKEN.fullmatch(text):
                assert f"--{text[1:-1]}:" in light, text
                assert f"--{text[1:-1]}:" in dark, text


def colours(side: str) -> dict[str, tuple[float, ...]]:
    """The opaque colours of one side of the style sheet."""
    light, dark = markup._asset("page.css").split(':root[data-theme="dark"]')
    block = (light if side == "light" else dark).partition("}")[0]
    return {
        name: tuple(int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
        for name, digits in re.findall(r"--([a-z-]+): #([0-9a-f]{6})", block)
    }


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Contrast of two colours as WCAG 2 defines it."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("side", ["light", "dark"])
def test_contrast_is_enough_for_tired_eyes(side):
    """Words have a contrast of at least 4.5 with what is behind them, lines and marks of at least 3, on both sides."""
    found = colours(side)
    for ground in ("page", "panel"):
        for name in ("ink", "soft", "link"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
        for name in ("blue", "red", "green", "orange", "purple", "muted"):
            assert contrast(found[name], found[ground]) >= 3, (name, ground)


def test_no_chart_says_anything_by_colour_alone(pages):
    """Lines of one panel differ in dashes, bars and areas of one chart in patterns, marks in shape."""
    figures = charts_of((pages / "run.html").read_text(encoding="utf-8"))
    for name in ("response", "volume"):
        dashes = [trace["line"]["dash"] for trace in figures[name]["data"]]
        assert len(set(dashes)) == len(dashes)
    for name in ("money", "lives"):
        patterns = [trace["marker"].get("pattern", {}).get("shape", "") for trace in figures[name]["data"]]
        assert len(set(patterns)) == len(patterns)
    areas = [trace["fillpattern"]["shape"] for trace in figures["scaling"]["data"] if "stackgroup" in trace]
    assert len(set(areas)) == len(areas) >= 3
    symbols = [symbol for _, symbol, *_ in charts._OUTCOMES]
    assert len(set(symbols)) == len(symbols)


@pytest.mark.parametrize("kind", ["run", "pair", "validated", "measured", "sweep"])
def test_a_page_needs_nothing_but_itself(pages, kind):
    """No element asks for another file, only the page's own scripts may run, and everything fits into 6 MB."""
    path = pages / f"{kind}.html"
    found = Elements(path.read_text(encoding="utf-8")).found

    for tag, attributes in found:
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith(("#", "data:"))
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    policies = [attributes["content"] for _, attributes in found if "Content-Security-Policy" in attributes.values()]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")
    assert "unsafe" not in policies[0].partition("script-src")[2]
    assert path.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("kind", ["run", "pair", "sweep"])
def test_a_page_has_headings_labels_and_tables(pages, kind):
    """Charts have names and stand in figures with captions; tables have captions and headings; ids are unique."""
    found = Elements((pages / f"{kind}.html").read_text(encoding="utf-8")).found
    tags = [tag for tag, _ in found]
    names = [attributes["id"] for _, attributes in found if "id" in attributes]

    assert len(set(names)) == len(names)
    assert (
        tags.count("figure")
        == tags.count("figcaption")
        == names.count("charts") * len([1 for _, attributes in found if attributes.get("class") == "chart"])
    )
    assert tags.count("table") == tags.count("caption") > 0
    assert ("html", {"lang": "en"}) in found
    wanted = {attributes["href"][1:] for tag, attributes in found if tag == "a" and attributes["href"].startswith("#")}
    assert wanted <= set(names)


def test_words_from_files_stay_words(hostile_folder):
    """Names, errors and settings that look like markup, or like a colour, are shown and do nothing."""
    page = html.page_of(hostile_folder)
    parsed = Elements(page)

    assert [tag for tag, _ in parsed.found].count("script") == 5
    assert "img" not in [tag for tag, _ in parsed.found]
    assert not any(name.startswith("on") for _, attributes in parsed.found for name in attributes)
    assert "hacked=1" in parsed.text
    tokens = {text for text in pod_names(charts_of(page)) if "<" in text.replace("<br>", "")}
    assert all(TOKEN.fullmatch(text) or "extra" in text for text in tokens), tokens


def test_two_hostile_runs_do_no_harm_either(hostile_folder, runs):
    """Side by side, or beside a good run, a hostile folder is shown like any other."""
    for other in (hostile_folder, runs / "first"):
        parsed = Elements(html.page_of(hostile_folder, other))
        assert [tag for tag, _ in parsed.found].count("script") == 5
        assert "img" not in [tag for tag, _ in parsed.found]


@pytest.mark.parametrize("word", ["<blue>", "a<b>c", "&amp;", "\u2028", "</script>"])
def test_a_word_in_a_chart_is_never_markup(word):
    """What a chart shows of a file has no angle bracket left."""
    assert "<" not in shown(word)
    assert "<" not in markup.in_script({"x": shown(word), "y": word})


def test_an_empty_run_has_a_page(tmp_path):
    """A run in which nothing happened is shown as such."""
    tables = Tables(**{name: empty_columns(name) for name in ("requests", "pods", "ticks", "scaling")})
    write_run_folder(tmp_path, tables, {"name": "nothing"}, None)

    assert "No request was sent." in Elements(html.page_of(tmp_path)).text


def test_a_long_run_stays_small(tmp_path):
    """200,000 requests, 5,000 pods and 40,000 ticks make a page under 6 MB that keeps the slowest request."""
    rng = np.random.default_rng(1)
    n, p, k = 200_000, 5_000, 40_000
    tables = Tables(**{name: empty_columns(name) for name in ("requests", "pods", "ticks", "scaling")})
    start = np.sort(rng.uniform(0, 86_400, n))
    tables.requests |= {name: np.zeros(n, column.dtype) for name, column in tables.requests.items()}
    latency = rng.lognormal(1, 1, n).round(3)
    tables.requests |= {"id": np.arange(n), "start_s": start, "latency_s": latency, "status": np.full(n, 200)}
    tables.requests["pod"] = np.char.add("pod-", rng.integers(0, p, n).astype(str))
    created = np.sort(rng.uniform(0, 86_000, p))
    tables.pods |= {"pod": np.char.add("pod-", np.arange(p).astype(str)), "created_s": created}
    tables.pods |= {"ready_s": created + 60, "delete_requested_s": created + 300, "gone_s": created + 330}
    tables.ticks = {name: rng.integers(0, 9, k).astype(column.dtype) for name, column in tables.ticks.items()}
    tables.ticks |= {"t_s": np.sort(rng.uniform(0, 86_400, k)), "panic_mode": rng.integers(0, 2, k)}
    tables.scaling |= {name: np.zeros(k, column.dtype) for name, column in tables.scaling.items()}
    tables.scaling |= {"t_s": tables.ticks["t_s"], "desired": rng.integers(0, 9, k)}
    write_run_folder(tmp_path, tables, {"name": "long", "end_s": 86_400.0}, None)

    page = html.page_of(tmp_path)
    drawn = charts_of(page)

    assert len(page.encode()) < MOST_BYTES
    assert max(trace["y"] for trace in [{"y": max(one["y"])} for one in drawn["latencies"]["data"]]) == latency.max()


def test_a_thinned_line_keeps_its_ends_and_extremes():
    """Of a long line the first and last point, the lowest and the highest stay."""
    x = np.arange(100_000.0)
    y = np.sin(x / 1000)
    y[54_321] = 7.0

    kept_x, kept_y = thinned(x, y)

    assert len(kept_x) <= MOST_POINTS
    assert (kept_x[0], kept_x[-1]) == (x[0], x[-1])
    assert kept_y.max() == 7.0
    assert kept_y.min() == y.min()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: root / "nowhere", "no such folder"),
        (lambda root: root, "neither a run"),
        (lambda root: _with(root, "plan.json", "{}"), "holds no plan of a sweep"),
        (lambda root: _with(root, "plan.json", '{"about": {"axes": 3}}'), "holds no plan of a sweep"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(tmp_path, make, says):
    """A folder that is neither a run nor a sweep is named, with what would be right."""
    with pytest.raises(KpasimError, match=says):
        html.page_of(make(tmp_path))


def test_a_broken_table_of_replications_is_named(runs, tmp_path):
    """A replications.parquet that is none is an error of one line, not a traceback."""
    shutil.copytree(runs / "first", tmp_path / "copy")
    (tmp_path / "copy" / "replications.parquet").write_bytes(b"PAR1 no")

    with pytest.raises(RunError, match=r"replications\.parquet: cannot be read"):
        html.page_of(tmp_path / "copy")


def test_the_command_writes_the_page_where_it_is_told(runs, tmp_path):
    """`kpasim report` writes one file, beside the run where -o is not given, or to stdout."""
    target = tmp_path / "page.html"

    done = CliRunner().invoke(cli, ["report", str(runs / "first"), "-o", str(target)])
    streamed = CliRunner().invoke(cli, ["report", str(runs / "first"), "-o", "-"])

    assert done.exit_code == 0
    assert f"Wrote {target}" in done.stderr
    assert target.read_bytes() == streamed.stdout_bytes
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]


def test_the_same_folder_gives_the_same_page(runs):
    """Nothing in a page depends on when it is made."""
    assert html.page_of(runs / "first") == html.page_of(runs / "first")


@chromium.needed
def test_chromium_shows_every_page_without_complaint(pages):
    """Light and dark, every chart of every kind of page is drawn, the console stays silent, the network unused."""
    with chromium.browser() as tab:
        for theme in ("light", "dark"):
            tab.prefer(theme)
            for page in sorted(pages.iterdir()):
                tab.open(page)
                wanted = tab.see("document.querySelectorAll('.chart').length")
                assert wanted > 0
                assert tab.see("document.querySelectorAll('.chart .main-svg').length") >= wanted
                assert tab.see("document.documentElement.dataset.theme") == theme
                assert tab.see("document.documentElement.scrollWidth <= innerWidth"), page.name
        assert tab.complaints == []


PLACES = "[...document.querySelectorAll('.chart')]"
WATCH = """
window.drawn = [];
new MutationObserver(() => {
  for (const one of document.querySelectorAll('.chart')) {
    if (one.querySelector('.main-svg') && !drawn.some(each => each[0] === one.id)) {
      drawn.push([one.id, 'shownMs' in document.documentElement.dataset]);
    }
  }
}).observe(document, { childList: true, subtree: true });
"""
"""Notes in which order charts come, and whether the first screen had been painted by then."""


def order_of_charts(page, act=""):
    """Names of the charts as they are drawn, those drawn before the first screen was painted, and all from the top."""
    with chromium.browser(height=1400) as tab:
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        when = f"addEventListener('DOMContentLoaded', () => {{ {act} }});"
        tab.call("Page.addScriptToEvaluateOnNewDocument", source=when)
        tab.open(page)
        assert tab.complaints == []
        shown_ms, drawn_ms = (int(tab.see(f"document.documentElement.dataset.{name}Ms")) for name in ("shown", "drawn"))
        assert 0 < shown_ms <= drawn_ms  # whole milliseconds
        drawn = tab.see("drawn")
        early = [name for name, after in drawn if not after]
        return [name for name, _ in drawn], early, tab.see(f"{PLACES}.map(one => one.id)")


@chromium.needed
def test_what_is_on_the_screen_is_drawn_first(pages):
    """The charts of the first screen are painted before any other is drawn; then come the others from top to bottom."""
    names, early, places = order_of_charts(pages / "run.html")

    assert names == places
    assert early == ["chart-scaling"]


@chromium.needed
def test_a_chart_that_is_scrolled_to_comes_next(pages):
    """Whoever goes to the end of the page at once does not wait for what lies between."""
    names, _, places = order_of_charts(pages / "run.html", f"{PLACES}.at(-1).scrollIntoView();")

    assert names[:2] == ["chart-scaling", "chart-money"]
    assert sorted(names) == sorted(places)


@chromium.needed
def test_what_is_printed_is_drawn(pages):
    """Printing draws every chart that is still to come."""
    names, early, places = order_of_charts(pages / "run.html", "dispatchEvent(new Event('beforeprint'));")

    assert names == early == places


@chromium.needed
def test_keys_mouse_and_switch_work(pages):
    """Arrow keys and the mouse tell why it scaled; the switch turns the page dark, and it stays so."""
    with chromium.browser() as tab:
        tab.prefer("light")
        tab.open(pages / "run.html")
        tab.see("document.getElementById('chart-scaling').focus()")
        for _ in range(4):
            tab.press("ArrowRight")
        assert "the panic window asks for it" in tab.see("document.getElementById('spoken-scaling').textContent")
        place = "document.getElementById('chart-scaling')"
        tab.see(f"{place}.scrollIntoView()")
        left, top, width, height = tab.see(
            f"(() => {{ const r = {place}.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; }})()"
        )
        hover = "[...document.querySelectorAll('#chart-scaling .hoverlayer text')].map(e => e.textContent).join(' ')"
        tab.point(left + 0.3 * width, top + 0.3 * height)
        tab.point(left + 0.5 * width, top + 0.3 * height)
        tab.wait(f"{hover}.includes('asks for it')")
        assert "ready" in tab.see(hover)

        light = tab.see("getComputedStyle(document.body).backgroundColor")
        tab.see("document.getElementById('theme').click()")
        dark = tab.see("getComputedStyle(document.body).backgroundColor")
        assert light != dark
        assert tab.see("document.getElementById('theme').getAttribute('aria-pressed')") == "true"
        tab.wait("document.querySelector('#chart-scaling .xtick text').style.fill === 'rgb(236, 239, 241)'")
        tab.open(pages / "run.html")
        assert tab.see("document.documentElement.dataset.theme") == "dark"
        assert tab.complaints == []


@chromium.needed
def test_a_hostile_page_does_nothing_in_chromium(hostile_folder, tmp_path):
    """The worst run folder is shown, its charts are drawn, and none of its scripts runs."""
    write_text(tmp_path / "page.html", html.page_of(hostile_folder))
    with chromium.browser() as tab:
        tab.open(tmp_path / "page.html")

        assert tab.see("typeof window.hacked") == "undefined"
        assert tab.see("document.querySelectorAll('.chart .main-svg').length") > 0
        assert tab.complaints == []


@chromium.needed
def test_a_narrow_screen_shows_it_too(pages):
    """On a telephone nothing is wider than the screen but tables, which scroll by themselves."""
    with chromium.browser(400, 800) as tab:
        tab.open(pages / "pair.html")

        assert tab.see("document.documentElement.scrollWidth") <= tab.see("innerWidth")
        assert tab.complaints == []


def _with(root: Path, name: str, content: str) -> Path:
    (root / name).write_text(content, encoding="utf-8")
    return root
