"""Keep runs on disk: stage folders, resumable journals, typed records, content hashes and costs.

Only this package knows where things lie. A finished stage is a folder; that it exists is the proof.
"""
