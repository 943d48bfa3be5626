"""`kpasim ui`: a page on this machine that simulates while a setting is moved.

The page computes nothing: every number comes from the functions that the commands call, in a process of its own that
can be stopped.
"""
