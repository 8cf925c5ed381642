"""The four action embeddings of "Decision Transformer With Tokenized Action Space" (Annett & Andersen), with readouts.

All four take and predict scaled actions: -1 to 1 between the environment's bounds (see `transfer.models.steps.scales`).

| class | tokens per step | a token stands for |
|---|---|---|
| `ActionEmbedding` | 1 | the whole action, by one linear map (the Decision Transformer) |
| `ActionTokenizedEmbedding` | 1 | the whole action, as a sum of one table row per dimension |
| `ActionSpreadEmbedding` | A | one action dimension, by a linear map of its value |
| `ActionTokenizedSpreadEmbedding` | A | one action dimension, by the table row of its bin |

`ranges` chooses how a token encodes its dimension: "per-dimension" gives each dimension its own table rows (eq. 4),
"shared+index" adds a learned vector per dimension to shared rows, "shared" does not encode it. With the first two, the
readout of the spread embeddings has weights per dimension as well.
"""
