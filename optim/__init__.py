"""Optimizers written for one tensor, run over a module; schedules, clipping, groups."""

from typing import TYPE_CHECKING

from ..config.lazy_exports import lazily

if TYPE_CHECKING:
    from . import schedulers
    from .adafactor import Adafactor
    from .adagrad import Adagrad
    from .adam import Adam
    from .adamw import AdamW
    from .adan import Adan
    from .adaptor import OptimizerAdaptor, engine_report
    from .clipping import ClipGlobalNorm, ClipNorm, ClipValue
    from .errors import ImpureStepError, NonFiniteGradientError
    from .gradients import Gradients, GradientsAccumulator
    from .groups import NORMS, Group
    from .lamb import LAMB
    from .lbfgs import LBFGS
    from .lion import Lion
    from .muon import Muon
    from .rmsprop import RMSprop
    from .schedule_free import ScheduleFreeAdamW
    from .sgd import SGD
    from .simple import SimpleOptimizer
    from .stored.record_types import OptimizerRecord

__all__ = [  # noqa: RUF022  # the order of sorted(), as everywhere
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adan",
    "ClipGlobalNorm",
    "ClipNorm",
    "ClipValue",
    "Gradients",
    "GradientsAccumulator",
    "Group",
    "ImpureStepError",
    "LAMB",
    "LBFGS",
    "Lion",
    "Muon",
    "NORMS",
    "NonFiniteGradientError",
    "OptimizerAdaptor",
    "OptimizerRecord",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
    "SimpleOptimizer",
    "engine_report",
    "schedulers",
]

_HOME = {
    "LAMB": "lamb",
    "LBFGS": "lbfgs",
    "NORMS": "groups",
    "SGD": "sgd",
    "Adafactor": "adafactor",
    "Adagrad": "adagrad",
    "Adam": "adam",
    "AdamW": "adamw",
    "Adan": "adan",
    "ClipGlobalNorm": "clipping",
    "ClipNorm": "clipping",
    "ClipValue": "clipping",
    "Gradients": "gradients",
    "GradientsAccumulator": "gradients",
    "Group": "groups",
    "ImpureStepError": "errors",
    "Lion": "lion",
    "Muon": "muon",
    "NonFiniteGradientError": "errors",
    "OptimizerAdaptor": "adaptor",
    "OptimizerRecord": "stored.record_types",
    "RMSprop": "rmsprop",
    "ScheduleFreeAdamW": "schedule_free",
    "SimpleOptimizer": "simple",
    "engine_report": "adaptor",
}


__getattr__, __dir__ = lazily(__name__, _HOME, ("schedulers",))
