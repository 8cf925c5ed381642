"""Programs that a reader follows from top to bottom: pretrain, adapt, run, evaluate, show."""
