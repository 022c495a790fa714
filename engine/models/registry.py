"""Name -> model. A new model is one file beside this one and one line here."""

from collections.abc import Mapping
from typing import Any, Final

from engine.config import validate
from engine.errors import ConfigError
from engine.models.ads import Ads
from engine.models.ads_pfp_svac import AdsPfpSvac
from engine.models.base import ModelContext, RuntimeModel
from engine.models.erd import Erd
from engine.models.gbm_mf import GbmMf
from engine.models.iirc import Iirc
from engine.models.jad import Jad
from engine.models.knn_cl import KnnCl
from engine.models.lsvm_der import LsvmDer
from engine.models.msd import Msd
from engine.models.pca_ad import PcaAd
from engine.models.perm_derivative import PermDerivative
from engine.models.pfp import Pfp
from engine.models.spg import Spg
from engine.models.svm_sp import SvmSp
from engine.models.xgb_snap import XgbSnap

MODELS: Final[dict[str, type[RuntimeModel]]] = {
    model.name: model
    for model in (Ads, AdsPfpSvac, Erd, Iirc, Jad, Msd, PermDerivative, Pfp, Spg, SvmSp, GbmMf, XgbSnap, KnnCl, LsvmDer, PcaAd)
}


def signal_names() -> list[str]:
    """Every known signal, sorted."""
    return sorted(MODELS)


def get_model(name: str) -> type[RuntimeModel]:
    """The class of a signal.

    Raises
    ------
    ConfigError
        For an unknown name, listing the known ones.
    """
    if name not in MODELS:
        raise ConfigError(f"signal {name!r} is not known; choose one of: {', '.join(signal_names())}")
    return MODELS[name]


def make_model(name: str, params: Mapping[str, Any], context: ModelContext) -> RuntimeModel:
    """A fresh model; parameters that are not given take their defaults.

    Raises
    ------
    ConfigError
        For an unknown signal or parameter, or a value out of range: naming it and what is allowed.
    """
    cls = get_model(name)
    return cls(validate(cls.Params, params, f"the parameters of signal {name}"), context)
