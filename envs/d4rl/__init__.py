"""D4RL's own HDF5 files, imported as local Minari datasets."""
