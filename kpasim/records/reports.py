"""Files that hold no single requests or starts: known by their content, refused with the way on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_HEY = "run hey -o csv, or hey without -o for a report that kpasim reads"

_SERIES = re.compile(r'# TYPE \w+ [a-z]+\n|\{__name__="|\{\s*"status":\s*"success",\s*"data":\s*\{')
"""How OpenMetrics, a dump of promtool and an answer of Prometheus' API begin."""

REPORTS: tuple[tuple[Callable[[str], bool], str], ...] = (
    (
        lambda text: bool(_SERIES.match(text)),
        "holds series of Prometheus and no single requests (kpasim observe FILE reads those of Knative; write a rate "
        "over time as a workload of kind: steps, with phases: [{rate: 0.5, duration: 60s}, ...])",
    ),
    (
        lambda text: "Success rate:" in text and "Summary:" in text,
        "is a report of oha, which holds no single requests (oha --output-format csv does)",
    ),
    (
        lambda text: bool(re.search(r"^\s*Count:\s+\d+", text, re.M)) and "Summary:" in text,
        "is a report of ghz, which holds no single requests (ghz -O json does)",
    ),
    (
        lambda text: bool(re.search(r"^Running .+ test @ ", text, re.M)),
        f"is a report of wrk, which holds four percentiles and no single requests ({_HEY})",
    ),
    (
        lambda text: "This is ApacheBench" in text or "Concurrency Level:" in text,
        "is a report of ApacheBench, which holds no single requests (ab -g FILE does)",
    ),
    (
        lambda text: text.startswith("Percentage served,"),
        "holds the percentiles of ApacheBench and no single requests (ab -g FILE does)",
    ),
    (
        lambda text: text.lstrip().startswith("Requests      [total, rate"),
        "is a report of vegeta, which holds no single requests (vegeta encode --to csv does)",
    ),
    (
        lambda text: "\x06Result\x01" in text[:40],
        "holds vegeta's results in its own encoding (vegeta encode --to csv FILE)",
    ),
    (
        lambda text: bool(re.search(r"^Aggregated Function Time : count", text, re.M)),
        "is a report of Fortio, whose JSON holds the distribution (fortio load -json FILE)",
    ),
    (
        lambda text: bool(re.match(r"Bombarding \S+ ", text)),
        f"is a report of bombardier, which holds no single requests ({_HEY})",
    ),
    (
        lambda text: bool(re.match(r"Benchmarking \S+ .*\bconnection", text)),
        f"is a report of plow, which holds no single requests ({_HEY})",
    ),
    (
        lambda text: bool(re.match(r"\d{16}\t\d{3}\t\d+\n", text)),
        "is a log of h2load: give it a header (printf 'start\\tstatus\\tduration\\n') and --column unit=us",
    ),
    (
        lambda text: text.startswith("RUN\t") and "\nREQUEST\t" in text,
        f"is a log of Gatling, which kpasim does not read ({_HEY})",
    ),
    (
        lambda text: bool(re.match(r"\s*Value\s+Percentile\s+TotalCount", text)),
        f"holds percentiles of HdrHistogram and no single requests ({_HEY})",
    ),
    (
        lambda text: text.startswith(("Method,Name,Error,Occurrences", "Count,Message,Traceback,Nodes")),
        "holds Locust's errors and no requests (locust --json holds the distribution)",
    ),
    (
        lambda text: text.startswith("Timestamp,User Count,"),
        "is Locust's history: one row a second and no single requests (locust --json holds the distribution)",
    ),
    (
        lambda text: text.startswith("Type,Name,Request Count,"),
        "holds Locust's statistics and no single requests (locust --json holds the distribution)",
    ),
    (
        lambda text: "<testResults" in text[:1000],
        "is JMeter's XML (run jmeter -Jjmeter.save.saveservice.output_format=csv for a file that kpasim reads)",
    ),
    (
        lambda text: text.startswith("Label,# Samples,"),
        "is an aggregate report of JMeter, which holds no single requests (the file of jmeter -l does)",
    ),
    (
        lambda text: bool(re.match(r"\d{13},\d+,[^\n]*,(true|false),", text)),
        "is JMeter's CSV without its header (run jmeter -Jjmeter.save.saveservice.print_field_names=true)",
    ),
    (
        lambda text: bool(re.search(r"^\s*http_req_duration\.*:\s+avg=", text, re.M)),
        "is a report of k6, which holds no single requests (k6 run --out json=FILE does)",
    ),
    (
        lambda text: bool(re.search(r"^\W*Transactions\W+\d+", text)) and "vailability" in text,
        f"is a report of siege, which holds no single requests ({_HEY})",
    ),
    (
        lambda text: bool(re.search(r"^(NAMESPACE\s+)?NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE", text, re.M)),
        "is a table of kubectl, without the moments of the starts "
        "(kubectl get pods -o json, or with -w --output-watch-events -o json)",
    ),
    (
        lambda text: bool(re.match(r"(NAMESPACE\s+)?LAST SEEN\s+TYPE\s+REASON", text)),
        "is a table of Kubernetes' events (kubectl get pods -o json has the moments of the starts)",
    ),
    (
        lambda text: bool(re.match(r"Name:\s+\S+\s*\nNamespace:\s", text)),
        "is what kubectl describe prints (kubectl get pods -o json)",
    ),
    (
        lambda text: bool(re.search(r"^kind: *(Pod|List|PodList)\b", text, re.M)),
        "holds pods as YAML (kubectl get pods -o json)",
    ),
)
"""What a text is told from, and what its refusal says."""


def refusal_of_text(start: str) -> str | None:
    """Why a text of a known kind cannot be read, and what would do; ``None`` where its kind is not known."""
    return next((message for known, message in REPORTS if known(start)), None)


def refusal_of_json(value: Any) -> str | None:
    """The same for the first object of a JSON file."""
    if not isinstance(value, dict):
        return None
    keys = set(value)
    items = value.get("items")
    first = items[0] if isinstance(items, list) and items and isinstance(items[0], dict) else value
    if "Event" in {value.get("kind"), first.get("kind")} or value.get("kind") == "EventList":
        return "holds events of Kubernetes (kubectl get pods -o json has the moments of the starts)"
    if {"latencies", "requests", "success"} <= keys:
        return "is a report of vegeta, which holds no single requests (vegeta encode --to json does)"
    if "metrics" in keys and isinstance(value["metrics"], dict) and "http_req_duration" in value["metrics"]:
        return "is a summary of k6, which holds no single requests (k6 run --out json=FILE does)"
    if {"connections", "latency", "2xx"} <= keys:
        return f"is a report of autocannon, which holds no single requests ({_HEY})"
    if {"spec", "result"} <= keys and isinstance(value["spec"], dict) and "numberOfConnections" in value["spec"]:
        return f"is a report of bombardier, which holds no single requests ({_HEY})"
    if {"transactions", "availability", "response_time"} <= keys:
        return f"is a report of siege, which holds no single requests ({_HEY})"
    if isinstance(value.get("Total"), dict) and "pct1ResTime" in value["Total"]:
        return "holds JMeter's statistics and no single requests (the file of jmeter -l does)"
    if {"num_prompts", "completed", "duration"} <= keys:
        return f"is a report of vLLM's benchmark, which holds no duration of a request ({_HEY})"
    if "experiments" in keys and isinstance(value["experiments"], list):
        return f"holds the profile of GenAI-Perf, which kpasim does not read ({_HEY})"
    if {"aggregate", "intermediate"} <= keys:
        return f"is a report of Artillery, which holds no single requests ({_HEY})"
    if {"summary", "responseTimeHistogram"} <= keys:
        return "is a report of oha, which holds no single requests (oha --output-format csv does)"
    return None
