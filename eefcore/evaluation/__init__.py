"""Measure trajectories: win rate, reward, navigation skills (EEF Tables 3 and 4), and statistics with intervals.

Every number is an `Estimate` with a 95 % interval; methods are compared in pairs on the same tasks.
"""
