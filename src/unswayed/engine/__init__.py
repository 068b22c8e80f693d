"""Token ids in, token ids and tensors out: sampling, scoring and gradients."""
