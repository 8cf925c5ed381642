"""The bundled behaviour policies, and datasets made with them."""
