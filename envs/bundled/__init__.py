"""The bundled behaviour policies and the datasets that are made with them."""
