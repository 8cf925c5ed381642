"""Methods: the groups of a step and their order, what is predicted, and on which command."""
