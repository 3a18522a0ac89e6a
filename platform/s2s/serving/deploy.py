"""Starting and stopping the service on a Ray cluster.

Decision: the service belongs to the cluster, not to the command that started it. `s2s serve` stays and shuts it down in order when it is
told to; killed, it leaves a service that goes on, and the next `s2s serve` takes it over.
"""

import logging
from typing import Any

from fastapi import FastAPI

from s2s.contracts.service import ServiceConfig
from s2s.contracts.settings import Settings, load_settings
from s2s.errors import StackError
from s2s.orchestration.cluster import join

APP = "s2s"
"""Name of the application in Serve."""
DRAIN_S = 30.0
"""How long a replica that is taken down has for what it works on."""
HEALTH_S = 5.0


class Door:
    """The deployment of the door; its application is built where it runs."""

    def __init__(self, config: str, imputers: Any, runner: Any) -> None:  # noqa: ANN401 - Serve hands handles in
        from s2s.serving.service import make_service

        self._service = make_service(ServiceConfig.model_validate_json(config), load_settings(is_local=False), imputers)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build what answers."""
        from s2s.serving.app import build_app

        return build_app(self._service)


def application(config: ServiceConfig) -> Any:  # noqa: ANN401 - Serve's type is private
    """The service as Serve deploys it: door, imputers, runner of jobs.

    Args:
        config: Of the service.
    """
    from ray import serve

    from s2s.serving.imputer import ImputerReplica
    from s2s.serving.runner import JobRunner

    text, replicas = config.model_dump_json(), config.replicas
    calm: dict[str, Any] = {"graceful_shutdown_timeout_s": DRAIN_S, "health_check_period_s": HEALTH_S, "health_check_timeout_s": 30.0}
    imputers = serve.deployment(
        name="imputers",
        max_ongoing_requests=replicas.ongoing,
        max_queued_requests=replicas.queued,
        autoscaling_config={
            "min_replicas": replicas.min,
            "max_replicas": replicas.max,
            "target_ongoing_requests": max(1, replicas.ongoing // 2),
            "downscale_delay_s": 120,
        },
        ray_actor_options={"num_cpus": replicas.cpus, "num_gpus": replicas.gpus},
        **calm,
    )(ImputerReplica)
    runner = serve.deployment(name="jobs", num_replicas=1, ray_actor_options={"num_cpus": 0}, **calm)(JobRunner)
    door = serve.deployment(name="door", num_replicas=1, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0}, **calm)(
        serve.ingress()(Door)
    )
    return door.bind(text, imputers.bind(text), runner.bind(text))


def build(arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - Serve's type is private
    """For `serve deploy` and KubeRay: `import_path: s2s.serving.deploy:build`, `args` as in `infra/serve.yaml`."""
    return application(ServiceConfig.model_validate({"kind": "service", "version": 1, **arguments}))


def start(config: ServiceConfig, settings: Settings) -> str:
    """Start the service, or take over one that runs, and wait until it answers.

    Args:
        config: Of the service.
        settings: Name the Ray head.

    Returns:
        Its URL.

    Raises:
        StackError: no Ray head, or the service did not come up.
    """
    join(settings)
    from ray import serve
    from ray.exceptions import RayError

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    options: dict[str, Any] = {"host": config.host, "port": config.port, "request_timeout_s": config.limits.seconds + 10}
    if config.tls is not None:
        options |= {"ssl_certfile": config.tls.certificate, "ssl_keyfile": config.tls.key}
    try:
        serve.start(proxy_location="HeadOnly", http_options=options)
        serve.run(application(config), name=APP, route_prefix="/")
    except (RayError, RuntimeError) as error:
        reason = str(error).strip().splitlines()
        raise StackError(f"expected the service to come up, it did not: {reason[0] if reason else type(error).__name__}") from None
    scheme = "https" if config.tls is not None else "http"
    return f"{scheme}://{config.host}:{config.port}"


def stop(settings: Settings) -> None:
    """Shut the service down: what is being answered is answered first.

    Raises:
        StackError: no Ray head.
    """
    join(settings)
    from ray import serve

    serve.shutdown()  # type: ignore[no-untyped-call]
