"""Optimizers written for one tensor, run over a module; schedules, clipping, groups."""

from typing import TYPE_CHECKING

from ..config.lazy_exports import lazily

if TYPE_CHECKING:
    from . import schedulers
    from .adadelta import Adadelta
    from .adafactor import Adafactor
    from .adagrad import Adagrad
    from .adam import Adam
    from .adamax import Adamax
    from .adamw import AdamW
    from .adan import Adan
    from .adaptor import OptimizerAdaptor, engine_report
    from .asgd import ASGD
    from .clipping import ClipGlobalNorm, ClipNorm, ClipValue
    from .errors import (
        ImpureStepError,
        MissingGradientError,
        NonFiniteGradientError,
    )
    from .gradients import Gradients, GradientsAccumulator
    from .groups import NORMS, Group
    from .lamb import LAMB
    from .lbfgs import LBFGS
    from .lion import Lion
    from .muon import Muon
    from .nadam import NAdam
    from .radam import RAdam
    from .rmsprop import RMSprop
    from .rprop import Rprop
    from .schedule_free import ScheduleFreeAdamW
    from .sgd import SGD
    from .simple import SimpleOptimizer
    from .stored.record_types import OptimizerRecord

__all__ = [  # noqa: RUF022  # the order of sorted(), as everywhere
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
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
    "MissingGradientError",
    "Muon",
    "NAdam",
    "NORMS",
    "NonFiniteGradientError",
    "OptimizerAdaptor",
    "OptimizerRecord",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "ScheduleFreeAdamW",
    "SimpleOptimizer",
    "engine_report",
    "schedulers",
]

_HOME = {
    "ASGD": "asgd",
    "LAMB": "lamb",
    "LBFGS": "lbfgs",
    "NORMS": "groups",
    "SGD": "sgd",
    "Adadelta": "adadelta",
    "Adafactor": "adafactor",
    "Adagrad": "adagrad",
    "Adam": "adam",
    "AdamW": "adamw",
    "Adamax": "adamax",
    "Adan": "adan",
    "ClipGlobalNorm": "clipping",
    "ClipNorm": "clipping",
    "ClipValue": "clipping",
    "Gradients": "gradients",
    "GradientsAccumulator": "gradients",
    "Group": "groups",
    "ImpureStepError": "errors",
    "Lion": "lion",
    "MissingGradientError": "errors",
    "Muon": "muon",
    "NAdam": "nadam",
    "NonFiniteGradientError": "errors",
    "OptimizerAdaptor": "adaptor",
    "OptimizerRecord": "stored.record_types",
    "RAdam": "radam",
    "RMSprop": "rmsprop",
    "Rprop": "rprop",
    "ScheduleFreeAdamW": "schedule_free",
    "SimpleOptimizer": "simple",
    "engine_report": "adaptor",
}


__getattr__, __dir__ = lazily(__name__, _HOME, ("schedulers",))
