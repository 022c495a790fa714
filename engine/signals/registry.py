"""Name -> signal. A new signal is one file beside this one and one line here."""

from collections.abc import Mapping
from typing import Any, Final

from engine.config import validate
from engine.errors import ConfigError
from engine.signals.base import SignalContext, SignalLike
from engine.signals.learned.gbm_mf import GbmMf
from engine.signals.learned.knn_cl import KnnCl
from engine.signals.learned.lsvm_der import LsvmDer
from engine.signals.learned.pca_ad import PcaAd
from engine.signals.learned.svm_sp import SvmSp
from engine.signals.learned.xgb_snap import XgbSnap
from engine.signals.statistical.ads import Ads
from engine.signals.statistical.ads_pfp_svac import AdsPfpSvac
from engine.signals.statistical.erd import Erd
from engine.signals.statistical.iirc import Iirc
from engine.signals.statistical.jad import Jad
from engine.signals.statistical.msd import Msd
from engine.signals.statistical.perm_derivative import PermDerivative
from engine.signals.statistical.pfp import Pfp
from engine.signals.statistical.spg import Spg

SIGNALS: Final[dict[str, type[SignalLike]]] = {
    signal.name: signal
    for signal in (Ads, AdsPfpSvac, Erd, Iirc, Jad, Msd, PermDerivative, Pfp, Spg, SvmSp, GbmMf, XgbSnap, KnnCl, LsvmDer, PcaAd)
}


def signal_names() -> list[str]:
    """Every known signal, sorted."""
    return sorted(SIGNALS)


def get_signal(name: str) -> type[SignalLike]:
    """The class of a signal.

    Raises
    ------
    ConfigError
        For an unknown name, listing the known ones.
    """
    if name not in SIGNALS:
        raise ConfigError(f"signal {name!r} is not known; choose one of: {', '.join(signal_names())}")
    return SIGNALS[name]


def make_signal(name: str, params: Mapping[str, Any], context: SignalContext) -> SignalLike:
    """A fresh signal; parameters that are not given take their defaults.

    Raises
    ------
    ConfigError
        For an unknown signal or parameter, or a value out of range: naming it and what is allowed.
    """
    cls = get_signal(name)
    return cls(validate(cls.Params, params, f"the parameters of signal {name}"), context)
