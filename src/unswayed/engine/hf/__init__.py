"""The engine on Transformers and PEFT: samples, scores and learns in one process."""
