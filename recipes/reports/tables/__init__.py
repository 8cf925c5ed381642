"""Results folders: the tables of runs as CSV files, written and read again."""
