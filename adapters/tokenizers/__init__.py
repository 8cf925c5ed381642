"""Action tokenizers: real numbers to a small vocabulary per action dimension, and back.

Letters in shapes: N values in the data, A action dimensions, U distinct values of one dimension.

Every tokenizer ends up as two tables, which is all a checkpoint needs: ascending inner `edges_` and decode values
`centers_`. The id of x is the number of edges <= x, in float32, so `numpy.searchsorted(edges, x, side="right")` and
`torch.searchsorted(edges, x, right=True)` agree, values beyond the data fall into the outermost bins, and the top of
a range cannot produce an id one too high.
"""
