"""Measurements that are run by hand, on a machine that does nothing else."""
