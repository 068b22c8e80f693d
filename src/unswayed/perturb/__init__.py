"""Perturbations: what turns a prompt a model handles well into one where it may not."""

from unswayed.perturb import challenge as _challenge
from unswayed.perturb import choices as _choices
from unswayed.perturb import distractor as _distractor
from unswayed.perturb import feedback as _feedback
from unswayed.perturb import few_shot as _few_shot
from unswayed.perturb import framing as _framing
from unswayed.perturb import jailbreak as _jailbreak
from unswayed.perturb import organisms as _organisms
from unswayed.perturb import safety_awareness as _safety_awareness
from unswayed.perturb import sycophancy as _sycophancy  # registers its families
from unswayed.perturb.base import Perturbation, get, names, perturbation, register
from unswayed.perturb.templates import Family, Phrasing, from_templates

__all__ = ["Family", "Perturbation", "Phrasing", "from_templates", "get", "names", "perturbation", "register"]
del _challenge, _choices, _distractor, _feedback, _few_shot, _framing, _jailbreak, _organisms
del _safety_awareness, _sycophancy
