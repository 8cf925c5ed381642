"""Small trainable changes of a frozen trunk that belong to the adapter."""
