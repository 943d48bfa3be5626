"""Questions asked of many runs.

A study is a module, and its parts lie in a folder:

  run.py          one experiment, many replications; statistics.py keeps figures alone, explain.py says why it scaled
  sweep.py        many settings; parts in grid/
  tune.py         the cheapest settings that meet your SLOs; parts in search/
  calibrate.py    models from measured files; parts in fit/
  compare.py      a prediction beside a measured run; parts in measured/
  check/          what is surprising in a manifest or an experiment before anything is played
  playing/        what plays for all of them; plays.py hands out replications, prices.py what an hour costs
"""
