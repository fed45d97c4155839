"""The main job on a generated corpus, in minutes on two cores: record, select, train, compare, report.

`run.py` is the one to read first. Nothing is imported here, so that the command line stays quick.
"""
