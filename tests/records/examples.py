"""One valid file of each kind that `read` knows, as bytes, and the pods of a watch."""

import gzip
import json
from pathlib import Path

HEY = Path(__file__).parent.parent / "results" / "hey"
FILES = Path(__file__).with_name("files")

VEGETA_JSON = "\n".join(
    json.dumps(
        {
            "attack": "",
            "seq": i,
            "code": code,
            "timestamp": f"2026-03-01T10:00:{i:02d}.123456789+01:00",
            "latency": latency,
            "bytes_out": 0,
            "bytes_in": 3,
            "error": error,
            "body": "YWJj",
            "method": "GET",
            "url": "http://a/",
            "headers": None,
        }
    )
    for i, code, latency, error in [
        (2, 200, 1_500_000_000, ""),
        (0, 200, 9_000_000_000, ""),
        (1, 503, 20_000_000, "503 Service Unavailable"),
        (3, 0, 30_000_000_000, 'Get "http://a/": context deadline exceeded (Client.Timeout exceeded)'),
        (4, 0, 1_000_000, "connect: connection refused"),
    ]
)

VEGETA_CSV = (
    "1772355600000000000,200,9000000000,0,3,,YWJj,,0,GET,http://a/,\n"
    "1772355600500000000,0,30000000000,0,0,net/http: request timed out,,,1,GET,http://a/,\n"
)


def k6_point(time, value, status, error=None):
    """A line that k6 writes for one request's duration."""
    tags = {"method": "GET", "status": status, "url": "http://a/", "expected_response": "true"}
    if error:
        tags["error"] = error
    data = {"time": time, "value": value, "tags": tags}
    return json.dumps({"metric": "http_req_duration", "type": "Point", "data": data})


K6_JSON = "\n".join(
    [
        '{"type":"Metric","data":{"name":"http_req_duration","type":"trend","contains":"time"},"metric":"http_req_duration"}',
        k6_point("2026-03-01T10:00:10.5+00:00", 10500, "200"),
        '{"metric":"http_reqs","type":"Point","data":{"time":"2026-03-01T10:00:10.5Z","value":1,"tags":{}}}',
        k6_point("2026-03-01T10:00:03.25Z", 2250.0, "500"),
        k6_point("2026-03-01T10:01:01.000Z", 60000, "0", "request timeout"),
    ]
)

K6_CSV = (
    "metric_name,timestamp,metric_value,check,error,error_code,group,method,name,proto,scenario,status,subproto,"
    "tls_version,url,extra_tags\n"
    "http_reqs,1772355610,1.000000,,,,,GET,http://a/,HTTP/1.1,default,200,,,http://a/,\n"
    "http_req_duration,1772355610,10500.000000,,,,,GET,http://a/,HTTP/1.1,default,200,,,http://a/,\n"
    "http_req_duration,1772355660,60000.000000,,request timeout,1050,,GET,http://a/,HTTP/1.1,default,0,,,http://a/,\n"
)

AZURE_2019 = (
    "HashOwner,HashApp,HashFunction,Trigger," + ",".join(map(str, range(1, 1441))) + "\n"
    "o1,a1,f1,http," + ",".join("2" if i == 1 else "0" for i in range(1440)) + "\n"
    "o1,a1,f2,timer," + ",".join(["1"] * 1440) + "\n"
    "o2,a2,f3,queue," + ",".join(["0"] * 1440) + "\n"
)

AZURE_2019_DURATIONS = (
    "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,"
    "percentile_Average_25,percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n"
    "o1,a1,f1,1500,4,1000,2000,1000,1010,1200,1500,1800,1990,2000\n"
)

AZURE_2021 = "app,func,end_timestamp,duration\na1,f1,12.5,2.5\na1,f2,10.25,10.25\na2,f3,100,0.001\n"

GENTD26_LATENCY = "value,container_ip,timestamp_anon\n3000.0,aa,1662859347.0\n31000.0,bb,1662859340.0\n"

GENTD26_QPS = "timestamp_anon,value,container_ip,request_type\n1662859176.0,0.09,,API Requests\n"

PLAIN = "when,Latency (ms),status\n0.5,1500,200\n0.25,20000,504\n,300,\n"

NAMED = "timestamp,responseTime_ms,Status-Code,class\n2026-03-01 10:00:01,1500,200,a\n2026-03-01T10:00:00Z,20000,0,b\n"


def pod(seconds, *, deleted=None, ended=None, restarts=0, name="sd-00001-deployment-7c9-abcde", uid="u1"):
    """A pod of a Knative revision; ``seconds`` says when each thing happened within 2026-03-01T10:00."""

    def at(key):
        return f"2026-03-01T10:{seconds[key] // 60:02d}:{seconds[key] % 60:02d}Z"

    conditions = [
        {
            "type": kind,
            "status": "True" if key in seconds else "False",
            "lastTransitionTime": at(key if key in seconds else "created"),
        }
        for kind, key in (("PodScheduled", "scheduled"), ("Initialized", "initialized"), ("Ready", "ready"))
    ]
    states = []
    for container, key in (("queue-proxy", "proxy"), ("stable-diffusion", "started")):
        state = {"waiting": {"reason": "ContainerCreating"}}
        if ended is not None:
            state = {
                "terminated": {"startedAt": at(key), "finishedAt": f"2026-03-01T10:{ended // 60:02d}:{ended % 60:02d}Z"}
            }
        elif key in seconds:
            state = {"running": {"startedAt": at(key)}}
        states.append({"name": container, "restartCount": restarts, "state": state})
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": uid,
        "creationTimestamp": at("created"),
        "labels": {"serving.knative.dev/revision": "sd-00001"},
    }
    if deleted is not None:
        until = deleted + 30
        metadata |= {
            "deletionTimestamp": f"2026-03-01T10:{until // 60:02d}:{until % 60:02d}Z",
            "deletionGracePeriodSeconds": 30,
        }
    spec = {"nodeSelector": {"node.kubernetes.io/instance-type": "ecs.gn5i-c8g1.2xlarge"}}
    if "scheduled" in seconds:
        spec["nodeName"] = "virtual-kubelet-a"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": "Pending", "conditions": conditions, "containerStatuses": states},
    }


LIFE = [
    ("ADDED", pod({"created": 0})),
    ("MODIFIED", pod({"created": 0, "scheduled": 25})),
    ("MODIFIED", pod({"created": 0, "scheduled": 25, "initialized": 25, "proxy": 70, "started": 71})),
    ("MODIFIED", pod({"created": 0, "scheduled": 25, "initialized": 25, "proxy": 70, "started": 71, "ready": 110})),
    ("ADDED", pod({"created": 40}, name="sd-00001-deployment-7c9-fghij", uid="u2")),
    # Not ready for a while, and ready again: the first time counts.
    ("MODIFIED", pod({"created": 0, "scheduled": 25, "initialized": 25, "proxy": 70, "started": 71, "ready": 150})),
    (
        "MODIFIED",
        pod(
            {"created": 0, "scheduled": 25, "initialized": 25, "proxy": 70, "started": 71, "ready": 150},
            deleted=300,
            restarts=1,
        ),
    ),
    (
        "DELETED",
        pod({"created": 0, "scheduled": 25, "initialized": 25, "proxy": 70, "started": 71}, deleted=300, ended=331),
    ),
]

KUBECTL_WATCH = "\n".join(json.dumps({"type": kind, "object": state}, indent=4) for kind, state in LIFE) + "\n"
KUBECTL_LIST = json.dumps(
    {"apiVersion": "v1", "items": [LIFE[3][1], LIFE[4][1]], "kind": "List", "metadata": {"resourceVersion": ""}},
    indent=4,
)

TEXTS = {
    "vegeta-json": VEGETA_JSON,
    "vegeta-csv": VEGETA_CSV,
    "k6-json": K6_JSON,
    "k6-csv": K6_CSV,
    "azure-2019": AZURE_2019,
    "azure-2019-durations": AZURE_2019_DURATIONS,
    "azure-2021": AZURE_2021,
    "gentd26-latency": GENTD26_LATENCY,
    "gentd26-qps": GENTD26_QPS,
    "csv": NAMED,
    "kubectl-pods": KUBECTL_WATCH,
}

VALID = {
    **{kind: text.encode() for kind, text in TEXTS.items()},
    "hey-summary": (HEY / "timeouts.txt").read_bytes(),
    "hey-csv": (HEY / "nonmult-mixed.csv").read_bytes(),
    "gentd26": gzip.decompress((FILES / "gentd26-sample.csv.gz").read_bytes()),
}
"""Kind to content."""
