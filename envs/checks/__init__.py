"""The doctor: checks of a dataset. Each takes the survey of a dataset and returns findings."""
