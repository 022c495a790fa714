"""How many replicas the open streams need: Serve asks here instead of counting requests, of which a stream makes none.

Serve pickles this module by value into its controller; so it imports nothing of ours.
"""

from dataclasses import dataclass
from typing import Any, Final

STREAMS: Final = "streams"  # what a replica reports: its open streams
POLICY: Final = "serve.scaling:replicas_for_streams"
UPSCALE_DELAY_S: Final = 5.0
DOWNSCALE_DELAY_S: Final = 20.0
LOOK_BACK_S: Final = 11.0  # Serve wants it longer than the 10 s after which a replica reports


@dataclass(frozen=True)
class Scaling:
    """How many replicas there are: a fixed number, or between two by the streams that are open."""

    replicas: int = 1
    max_replicas: int | None = None  # None: always `replicas`
    streams_per_replica: int = 100
    upscale_delay_s: float = UPSCALE_DELAY_S
    downscale_delay_s: float = DOWNSCALE_DELAY_S

    def options(self) -> dict[str, Any]:
        """Arguments of ``serve.deployment``."""
        if self.max_replicas is None:
            return {"num_replicas": self.replicas}
        return {
            "autoscaling_config": {
                "min_replicas": self.replicas,
                "max_replicas": self.max_replicas,
                "target_ongoing_requests": self.streams_per_replica,
                "upscale_delay_s": self.upscale_delay_s,
                "downscale_delay_s": self.downscale_delay_s,
                "look_back_period_s": LOOK_BACK_S,
                "policy": {"policy_function": POLICY},
            }
        }


def replicas_for_streams(context: Any) -> tuple[float, dict[str, Any]]:
    """How many replicas Serve should run, before its delays and bounds.

    Parameters
    ----------
    context : ray.serve.config.AutoscalingContext
        ``target_ongoing_requests`` of its config is the number of streams that one replica is for.

    Returns
    -------
    float, dict
        Replicas, and a state that is not used. As many as there are while no replica has reported.
    """
    reported = context.raw_metrics.get(STREAMS, {})
    newest = [samples[-1].value for samples in reported.values() if samples]
    if not newest:
        return float(context.target_num_replicas), {}
    return float(-(-sum(newest) // context.config.get_target_ongoing_requests())), {}
