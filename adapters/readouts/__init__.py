"""Readouts: hidden vectors at the positions that predict an action -> the action, and the loss.

`WholeRegression` reads one vector per step, the two spread readouts one vector per action dimension. Actions are
scaled, -1 to 1. A loss has a sum and a count; padding contributes to neither, so their ratio does not depend on padding
or on how a batch is split over processes. Spread readouts take the `Bins` of the adapter, or None; only the categorical
one uses them.
"""
