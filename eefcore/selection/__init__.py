"""Select what to train on: EEF Algorithm 1, lines 8 and 10-14.

Important states, solutions and the training set are pure functions of trajectories; orders choose among solutions.
"""
