"""Files that hold no single requests or starts: known by their content, refused with the way on."""

from __future__ import annotations

import re
from typing import Any

_HEY = "run hey -o csv, or hey without -o for a report that kpasim reads"
_LOCUST = "locust --json holds the distribution"
_PODS = "kubectl get pods -o json"


def _report(tool: str, way_on: str = _HEY) -> str:
    return f"is a report of {tool}, which holds no single requests ({way_on})"


_REPORTS = {
    # OpenMetrics, a dump of promtool, an answer of Prometheus' API
    r'\A(# TYPE \w+ [a-z]+\n|\{__name__="|\{\s*"status":\s*"success",\s*"data":\s*\{)': (
        "holds series of Prometheus and no single requests (kpasim observe FILE reads those of Knative; write a rate "
        "over time as a workload of kind: steps, with phases: [{rate: 0.5, duration: 60s}, ...])"
    ),
    r"(?m)^Summary:\n[ \t]+Success rate:": _report("oha", "oha --output-format csv does"),
    r"(?m)^Summary:\n([ \t]+Name:.*\n)?[ \t]+Count:\s+\d": _report("ghz", "ghz -O json does"),
    r"(?m)^Running .+ test @ ": f"is a report of wrk, which holds four percentiles and no single requests ({_HEY})",
    r"This is ApacheBench|Concurrency Level:": _report("ApacheBench", "ab -g FILE does"),
    r"\APercentage served,": "holds the percentiles of ApacheBench and no single requests (ab -g FILE does)",
    r"\ARequests      \[total, rate": _report("vegeta", "vegeta encode --to csv does"),
    r"(?s)\A.{0,40}?\x06Result\x01": "holds vegeta's results in its own encoding (vegeta encode --to csv FILE)",
    r"(?m)^Aggregated Function Time : count": (
        "is a report of Fortio, whose JSON holds the distribution (fortio load -json FILE)"
    ),
    r"\ABombarding \S+ ": _report("bombardier"),
    r"\ABenchmarking \S+ .*\bconnection": _report("plow"),
    r"\A\d{16}\t\d{3}\t\d+\n": (
        "is a log of h2load: give it a header (printf 'start\\tstatus\\tduration\\n') and --column unit=us"
    ),
    r"(?s)\ARUN\t.*?\nREQUEST\t": f"is a log of Gatling, which kpasim does not read ({_HEY})",
    r"\A\s*Value\s+Percentile\s+TotalCount": f"holds percentiles of HdrHistogram and no single requests ({_HEY})",
    r"\A(Method,Name,Error,Occurrences|Count,Message,Traceback,Nodes)": (
        f"holds Locust's errors and no requests ({_LOCUST})"
    ),
    r"\ATimestamp,User Count,": f"is Locust's history: one row a second and no single requests ({_LOCUST})",
    r"\AType,Name,Request Count,": f"holds Locust's statistics and no single requests ({_LOCUST})",
    r"(?s)\A.{0,1000}?<testResults": (
        "is JMeter's XML (run jmeter -Jjmeter.save.saveservice.output_format=csv for a file that kpasim reads)"
    ),
    r"\ALabel,# Samples,": (
        "is an aggregate report of JMeter, which holds no single requests (the file of jmeter -l does)"
    ),
    r"\A\d{13},\d+,.*,(true|false),": (
        "is JMeter's CSV without its header (run jmeter -Jjmeter.save.saveservice.print_field_names=true)"
    ),
    r"(?m)^[ \t]*http_req_duration\.*:\s+avg=": _report("k6", "k6 run --out json=FILE does"),
    r"(?s)\A\W*Transactions\W+\d.*?vailability": _report("siege"),
    r"(?m)^(NAMESPACE\s+)?NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE": (
        f"is a table of kubectl, without the moments of the starts ({_PODS}, or with -w --output-watch-events -o json)"
    ),
    r"\A(NAMESPACE\s+)?LAST SEEN\s+TYPE\s+REASON": (
        f"is a table of Kubernetes' events ({_PODS} has the moments of the starts)"
    ),
    r"\AName:\s+\S+\s*\nNamespace:\s": f"is what kubectl describe prints ({_PODS})",
    r"(?m)^kind: *(Pod|List|PodList)\b": f"holds pods as YAML ({_PODS})",
}
"""Why a file is refused, by what tells its kind; no form takes long for any text."""


_REPORTS_IN_JSON: tuple[tuple[set[str], str], ...] = (
    ({"latencies", "requests", "success"}, _report("vegeta", "vegeta encode --to json does")),
    (
        {"metrics.http_req_duration"},
        "is a summary of k6, which holds no single requests (k6 run --out json=FILE does)",
    ),
    ({"connections", "latency", "2xx"}, _report("autocannon")),
    ({"spec.numberOfConnections", "result"}, _report("bombardier")),
    ({"transactions", "availability", "response_time"}, _report("siege")),
    ({"Total.pct1ResTime"}, "holds JMeter's statistics and no single requests (the file of jmeter -l does)"),
    (
        {"num_prompts", "completed", "duration"},
        f"is a report of vLLM's benchmark, which holds no duration of a request ({_HEY})",
    ),
    ({"experiments"}, f"holds the profile of GenAI-Perf, which kpasim does not read ({_HEY})"),
    ({"aggregate", "intermediate"}, _report("Artillery")),
    ({"summary", "responseTimeHistogram"}, _report("oha", "oha --output-format csv does")),
)
"""The same for JSON, by the keys of the object and of those in it."""


def refusal_of_text(start: str) -> str | None:
    """Why a text of a known kind cannot be read, and what would do; ``None`` where its kind is not known."""
    return next((refusal for form, refusal in _REPORTS.items() if re.search(form, start)), None)


def refusal_of_json(value: Any) -> str | None:
    """The same for the first object of a JSON file."""
    if not isinstance(value, dict):
        return None
    items = value.get("items")
    first = items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else value
    if "Event" in {value.get("kind"), first.get("kind")} or value.get("kind") == "EventList":
        return f"holds events of Kubernetes ({_PODS} has the moments of the starts)"
    keys = {*value, *(f"{key}.{name}" for key, part in value.items() if isinstance(part, dict) for name in part)}
    return next((refusal for known, refusal in _REPORTS_IN_JSON if known <= keys), None)
