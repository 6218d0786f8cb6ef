"""What a score is: plain functions from numpy arrays to numbers.

Gold labels come first, predictions second. Nothing here warns or returns NaN for an ordinary degenerate case; every such case has a rule of its own,
written where it applies: a ratio of nothing to nothing is 0, and a label that occurs nowhere does not enter a mean over labels.
"""
