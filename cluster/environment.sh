# What every process of ours needs on a node: read by ~/.bashrc of the cluster's account, and before `ray start`.
# Ray sources ~/.bashrc before each command it runs over ssh, so `ray exec`, `ray submit` and `ray down` find all this.

export SPYMASTER_HOME=/opt/spymaster                # the checkout, at the same place on every node
export SPYMASTER_LAKE=/srv/spymaster/lake           # the data: one folder, seen by every node under this path
export NUMBA_CACHE_DIR="$HOME/.cache/spymaster"     # compiled kernels: each node its own
case ":$PATH:" in
    *":$SPYMASTER_HOME/.venv/bin:"*) ;;
    *) export PATH="$SPYMASTER_HOME/.venv/bin:$PATH" ;;
esac

export RAY_AUTH_MODE=token                          # every node has the same ~/.ray/auth_token
export RAY_USAGE_STATS_ENABLED=0
export RAY_USAGE_STATS_REPORT_URL=http://127.0.0.1:9/   # Ray sends one "disabled" note all the same; nobody listens there
export RAY_ENABLE_UV_RUN_RUNTIME_ENV=0
export MLFLOW_DISABLE_TELEMETRY=true

# `ray up` asks for the second autoscaler unless told otherwise, and with it some workers of a local cluster never join.
export RAY_enable_autoscaler_v2=0
unset RAY_CLOUD_INSTANCE_ID RAY_NODE_TYPE_NAME
