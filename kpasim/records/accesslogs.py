"""Access logs of gateways and web servers: nginx, Apache, and Envoy (Istio, Kourier, Contour)."""

import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from kpasim.records.record import (
    TIMES,
    MalformedError,
    Record,
    lists_requests,
    moment,
    number,
    read_requests,
    shown,
    status_code,
)
from kpasim.records.source import json_lines, lines

COMMON = re.compile(r'^\S+ \S+ \S+ \[(?P<time>[^\]]{20,40})\] "(?P<request>[^"]*)" (?P<status>\d{3}) \S+(?P<rest>.*)$')
"""The common and the combined log format; nginx stamps the end of a request, in whole seconds."""
ENVOY = re.compile(
    r'^\[(?P<time>\d{4}-\d\d-\d\dT[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d{1,3}) \S+ .*?'
    r"(?P<received>\d+) (?P<sent>\d+) (?P<duration>\d+) (?:\d+|-|\"-\")(?: |$)"
)
"""Envoy's default format and Istio's: the stamp is the start, the third number in a row the duration [ms]."""
_DURATION = re.compile(r'(?:^|[\s"])(?:rt|request_time|urt|duration)[=:]"?(?P<named>\d+\.\d+)')
_OF_INGRESS_NGINX = re.compile(r'" \d+ (?P<number>\d+\.\d{3}) \[')
"""Length and duration of a request in the format of Kubernetes' ingress-nginx, before the name of the upstream."""
_LAST_NUMBER = re.compile(r"(?:^|\s)(?P<number>\d+\.\d{3})\"?$")
_PROBES = ("kube-probe", "Knative-Activator-Probe", "Knative-Ingress-Probe", "Knative-Queue-Proxy")
CLOSED_BY_CLIENT = 499
"""nginx's status of a request whose client closed the connection."""


def read_access_log(path: Path, skip_bad: bool = False) -> Record:
    """One request a line; ``class`` is the path without its query.

    nginx and Apache log whole seconds at the end of a request. Its duration is known where the line names it
    (``rt=`` or ``request_time=`` in seconds), ends with seconds to three decimals or is as ingress-nginx writes it; the
    start is the end minus that.
    """
    whole_seconds = False

    def values_of(text: str) -> Any:
        nonlocal whole_seconds
        if not text.strip():
            return None
        envoy, common = ENVOY.match(text), COMMON.match(text)
        match = envoy or common
        if match is None:
            raise MalformedError("", f"not a line of an access log: {shown(text)}")
        code = status_code(match["status"], "status")
        words = match["request"].split(" ")
        name = words[1].partition("?")[0] if len(words) > 1 else ""
        if envoy is not None:
            begun = moment(match["time"], "time")
            duration = number(match["duration"], "duration", least=0) / 1000
        else:
            whole_seconds = True
            duration = _duration_s(match["rest"])
            begun = _end_unix_s(match["time"]) - (0.0 if np.isnan(duration) else duration)
        given_up = code in {0, CLOSED_BY_CLIENT}
        return begun, duration, 0 if given_up else code, given_up, name

    record = read_requests("access-log", path, skip_bad, lines, {**TIMES, "censored": bool, "class": str}, values_of)
    if whole_seconds:
        record.grain_s = 1.0
        record.notes.append("the log has whole seconds at the end of each request: starts are up to a second off")
        if np.isnan(record.requests["duration_s"]).all():
            record.notes.append("no duration in the log: requests count from their ends (log request_time)")
    return record


@lists_requests("request-log", json_lines, {**TIMES, "class": str}, note="no start times: the load cannot be replayed")
def read_request_log(value: dict[str, Any]) -> Any:
    """The request log of Knative's queue-proxy: one JSON object a request, ``httpRequest.latency`` in seconds.

    Other lines of the container's log and probes are left out. There are no start times.

    Source:
        knative/serving, config/core/configmaps/observability.yaml, ``logging.request-log-template``.
    """
    request = value.get("httpRequest")
    if not isinstance(request, dict) or str(request.get("userAgent", "")).startswith(_PROBES):
        return None
    duration = number(str(request.get("latency", "")).removesuffix("s"), "httpRequest.latency", least=0)
    code = status_code(request.get("status"), "httpRequest.status")
    return math.nan, duration, code, str(request.get("requestUrl", "")).partition("?")[0]


def _end_unix_s(text: str) -> float:
    try:
        return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()
    except ValueError:
        raise MalformedError("time", f"must be as 01/Jan/2026:10:00:00 +0000 (it is {shown(text)})") from None


def _duration_s(rest: str) -> float:
    named, last = _DURATION.search(rest), _OF_INGRESS_NGINX.search(rest) or _LAST_NUMBER.search(rest)
    if named:
        return float(named["named"])
    return float(last["number"]) if last else math.nan
