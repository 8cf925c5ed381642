"""Action tokenizers: real numbers -> ids of a small vocabulary per action dimension, and back.

Tokenizers are scikit-learn transformers: `fit` learns, `transform` gives ids, `inverse_transform` values. A fitted one
is two tables, which a checkpoint stores: ascending inner `edges_` and decoded values `centers_`. A model reads them as
`Tables` and encodes with `Bins`, so loading and acting import no scikit-learn.

The id of x is the number of edges <= x, in float32. So `numpy.searchsorted(edges, x, side="right")` and
`torch.searchsorted(edges, x, right=True)` agree, values beyond the data fall into the outermost bins, and the largest
value cannot get an id that is one too high.
"""
