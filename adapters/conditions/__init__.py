"""Groups that a policy is conditioned on; their embeddings belong to the trunk."""
