"""The same experiment on a real cluster, or on a fake cluster on this machine.

validate.py     deploy, calibrate briefly, predict, load, record, compare, clean up
live.py         one run on a cluster, which leaves nothing behind
  discover.py   what kind of cluster it is        deploy.py    the Service: created, adopted, awaited, removed
  watch.py      objects while they change         record.py    what happened, as a run folder's tables
  metrics.py    the autoscaler's own averages     bill.py      what the run may cost
  public.py     what may be written down
  kube.py       calls to the API server, with deadline.py, interrupts.py, objects.py, errors.py
load.py         real clients
local.py        a fake cluster as a process; fake/ is what runs in it
"""
