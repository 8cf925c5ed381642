"""Action tokenizers: real numbers -> ids of a small vocabulary per action dimension, and back.

A fitted tokenizer is two tables, which a checkpoint stores: ascending inner `edges_` and decoded values `centers_`. The
id of x is the number of edges <= x, in float32. So `numpy.searchsorted(edges, x, side="right")` and
`torch.searchsorted(edges, x, right=True)` agree, values beyond the data fall into the outermost bins, and the largest
value cannot get an id that is one too high.
"""
