"""Readouts: hidden vectors at the positions that predict an action -> the action, and the loss.

`WholeRegression` reads one vector per step, the two spread readouts one vector per action dimension. Losses are
(sum, count) over real tokens, so padding and the split of a batch over processes never change their ratio. Actions are
scaled, -1 to 1. Spread readouts are handed the `Bins` of their adapter, None where it has none; only the one over bins
looks at them.
"""
