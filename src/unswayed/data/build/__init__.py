"""From questions and perturbations to pairs files with a manifest."""
