"""A fake cluster on this machine, as a process that ends with ours.

It checks the plumbing (deploying, watching, recording, cleaning up) and the data plane (real clients, a real proxy,
real server processes). It does not check Knative: its autoscaler takes its decisions from ``kpasim.policy``, like the
simulator that it is compared with.
"""

import contextlib
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from kpasim.cluster.errors import ClusterError
from kpasim.cluster.fake.cluster import Options
from kpasim.cluster.fake.kubelet import Image

TXT2IMG = "kpasim.local/txt2img"
"""Image of kpasim's own server; the manifest's ``args`` are its options."""
IMAGES: Mapping[str, Image] = {
    TXT2IMG: Image((sys.executable, "-m", "kpasim.server", "--host", "{host}", "--port", "{port}"))
}
"""What the fake cluster can run."""
DISCLAIMER = (
    "the local cluster is a fake cluster: it tests installation and data plane, not Knative; its decisions come from "
    "the same policy as the prediction"
)

_START_S = 30.0
_STOP_S = 20.0


@contextlib.contextmanager
def local_cluster(options: Options | None = None) -> Iterator[Path]:
    """The kubeconfig of a fake cluster in its own process, which can run `IMAGES` beside those of its options.

    Its context is `fake.cluster.CONTEXT`. It ends with the block, also when this process dies, however that happens.

    Raises:
        ClusterError: It did not start in time.
    """
    options = options or Options()
    options = replace(options, images={**IMAGES, **options.images})
    # A session of its own: Ctrl-C is for us, and we still need it while we clean up.
    process = subprocess.Popen(
        [sys.executable, "-m", "kpasim.cluster.fake"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(options.to_json() + "\n")
        process.stdin.flush()
        # It prints the path when it is ready.
        if not select.select([process.stdout], [], [], _START_S)[0] or not (line := process.stdout.readline()):
            status = process.poll()
            why = f"ended with status {status}" if status is not None else f"said nothing within {_START_S:.0f} s"
            raise ClusterError(f"the local cluster did not start: it {why}")
        yield Path(line.rstrip("\n"))
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()  # its reaper ends the rest
            process.wait()
        process.stdout.close()
