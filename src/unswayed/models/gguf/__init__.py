"""Models that come as GGUF files: read, converted to safetensors, checked."""
