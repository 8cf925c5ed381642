"""The checks behind `transfer data check`. Each takes the survey of a dataset and returns findings."""
