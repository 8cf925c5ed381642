"""The parts that know one environment, the methods that order them, and building adapters out of them.

`KINDS` is the table of plug-ins: part -> kind -> where its class lives, as a string that is imported on the first use.
"""

# The folder lies in the root of the repository. One file must not load under two module names.
if not __name__.startswith("transfer."):
    raise ImportError("import transfer.adapters, not adapters (see setup.cfg, package_dir)")

KINDS = {
    "method": {
        "dt": "transfer.adapters.methods.dt:DT",
        "bc": "transfer.adapters.methods.bc:BC",
        "udrl": "transfer.adapters.methods.udrl:UDRL",
    },
    "state": {
        "linear": "transfer.adapters.states.linear:LinearState",
        "mlp": "transfer.adapters.states.mlp:MLPState",
    },
    "action": {
        "ActionEmbedding": "transfer.adapters.actions.whole:ActionEmbedding",
        "ActionTokenizedEmbedding": "transfer.adapters.actions.whole:ActionTokenizedEmbedding",
        "ActionSpreadEmbedding": "transfer.adapters.actions.spread:ActionSpreadEmbedding",
        "ActionTokenizedSpreadEmbedding": "transfer.adapters.actions.spread:ActionTokenizedSpreadEmbedding",
    },
    "tokenizer": {
        "quantile": "transfer.adapters.tokenizers.quantile:QuantileTokenizer",
        "uniform": "transfer.adapters.tokenizers.uniform:UniformTokenizer",
        "mu-law": "transfer.adapters.tokenizers.mu_law:MuLawTokenizer",
    },
    "tuning": {
        "ia3": "transfer.adapters.tuning.ia3:IA3",
        "lora": "transfer.adapters.tuning.lora:LoRA",
        "layernorm": "transfer.adapters.tuning.layernorm:LayerNormTuning",
        "bitfit": "transfer.adapters.tuning.bitfit:BitFit",
        "several": "transfer.adapters.tuning.several:Several",
    },
    "column": {
        "returns": "transfer.adapters.conditions.returns:returns_to_go",
        "horizon": "transfer.adapters.conditions.horizon:steps_to_go",
    },
    "filter": {
        "best-episodes": "transfer.adapters.filters.best_episodes:best_episodes",
        "expert": "transfer.adapters.filters.expert:expert",
    },
}
