"""The txt2img service that kpasim deploys: a diffusers pipeline behind AUTOMATIC1111's HTTP interface.

It knows nothing of the simulator. One process loads one model and answers ``POST /sdapi/v1/txt2img`` and ``img2img``; a
bounded queue stands before it, and the process says on ``/readyz`` when it can serve and on ``/metrics`` what its start
was made of.

| module | what it holds |
| --- | --- |
| ``settings`` | what an operator chooses |
| ``schema`` | what a client may send, and why a request is refused |
| ``samplers`` | AUTOMATIC1111's sampler names in diffusers' words |
| ``models`` | building or loading a pipeline, making images with it |
| ``admission`` | how many run, how many wait, who is refused |
| ``metrics`` | counters as Prometheus reads them |
| ``service`` | the state of one process: loading, ready, serving, leaving |
| ``pictures`` | pictures that clients send |
| ``http`` | bodies and errors, as all routes read and write them |
| ``app`` | the routes that generate, probes, metrics |
| ``catalogue`` | lists, options and switches |
| ``page`` | the page at ``/`` |
| ``process`` | the process itself: socket, signals, exit |
| ``command`` | the command line |
"""
