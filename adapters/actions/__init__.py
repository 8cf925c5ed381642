"""The four action embeddings of "Decision Transformer With Tokenized Action Space" (Annett & Andersen), with readouts.

Actions are scaled here, -1 to 1 between the environment's bounds (see `transfer.models.scales`).

| class | tokens per step | a token stands for |
|---|---|---|
| `ActionEmbedding` | 1 | the whole action, by one linear map (the Decision Transformer) |
| `ActionTokenizedEmbedding` | 1 | the whole action, as a sum of one table row per dimension |
| `ActionSpreadEmbedding` | A | one action dimension, by a linear map of its value |
| `ActionTokenizedSpreadEmbedding` | A | one action dimension, by the table row of its bin |

`ranges` says how a token knows its dimension: "per-dimension" table rows (eq. 4), "shared+index" rows with a learned
vector per dimension, or not at all ("shared"). Where tokens know it, the readout of spread embeddings does too.
"""
