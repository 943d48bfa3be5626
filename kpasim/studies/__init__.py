"""Questions asked of many runs.

A study is a module, and its parts lie in a folder:

  run.py          one experiment, many replications; statistics.py keeps figures alone, explain.py says why it scaled
  sweep.py        many settings; parts in grid/
  tune.py         the cheapest settings that meet your SLOs; parts in search/
  calibrate.py    models from measured files; parts in fit/
  compare.py      a prediction beside a measured run; parts in measured/
  check/          problems of a manifest or an experiment, found before a simulation
  execution/      engines, processes and capacity; runner.py hands out replications, prices.py what an hour costs
"""
