"""A fake cluster on this machine: a small Kubernetes API whose pods are real server processes.

It checks the plumbing and the data plane: the adapter, the servers, the load, the recording. It does not check Knative,
whose decisions it takes from ``kpasim.policy`` like the simulator does.

    client --> gateway.py (ingress, activator, queue-proxies) --> pods (processes, kubelet.py)
    adapter --> apiserver.py --> store.py <-- knative.py, scaler.py, kubelet.py
"""
