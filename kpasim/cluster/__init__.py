"""The same experiment on a real cluster, or on a stand-in for one."""
