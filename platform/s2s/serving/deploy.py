"""Starting and stopping the service on a Ray cluster.

Decision: the service belongs to the cluster, not to the command that started it. `s2s serve` stays and shuts it down in order when it is
told to; killed, it leaves a service that goes on, and the next `s2s serve` takes it over.
"""

import json
import logging
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from fastapi import FastAPI

from s2s.contracts.service import ServiceConfig
from s2s.contracts.settings import Settings, load_settings
from s2s.errors import MissingError, StackError, reason_of
from s2s.orchestration.cluster import join

APP = "s2s"
"""Name of the application in Serve."""
DRAIN_S = 30.0
"""How long a replica that is taken down has for what it works on."""
HEALTH_S = 5.0
ANSWER_S = 20.0
"""How long the door has to answer once it is deployed."""


class Door:
    """The deployment of the door; its application is built where it runs."""

    def __init__(self, config: str, imputers: Any, runner: Any) -> None:  # noqa: ANN401 - Serve hands handles in
        from s2s.serving.service import make_service

        self._service = make_service(ServiceConfig.model_validate_json(config), load_settings(is_local=False), imputers)

    async def drain(self) -> None:
        """Let requests end and nobody in."""
        await self._service.drain.finish(DRAIN_S)

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
        MissingError: a certificate, key or page that is not there.
        StackError: no Ray head, or the service did not come up.
    """
    check_files(config)
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
        serve.shutdown()  # type: ignore[no-untyped-call]  # else Serve keeps the port that it did not get
        raise StackError(f"expected the service to come up, it did not: {reason_of(error, -1)}") from None
    url = f"{'https' if config.tls is not None else 'http'}://{config.host}:{config.port}"
    if not _answers(url, config):
        serve.shutdown()  # type: ignore[no-untyped-call]
        raise StackError(
            f"expected the service to answer at {url}, it does not; another program may have this port, or a service was up at another "
            "one, which is stopped now: choose --set port=..., or say it again"
        )
    return url


def check_files(config: ServiceConfig) -> None:
    """Refuse settings that name files which are not there.

    Raises:
        MissingError: no such certificate, key or page.
    """
    tls = {} if config.tls is None else {"tls.certificate": config.tls.certificate, "tls.key": config.tls.key}
    for name, file in tls.items():
        if not Path(file).is_file():
            raise MissingError(f"expected a file for {name} of the service, found none at {file}")
    if config.page is not None and not Path(config.page).expanduser().joinpath("index.html").is_file():
        raise MissingError(f"expected a page for page of the service, found no index.html in {config.page}; `s2s page build` makes one")


def _answers(url: str, config: ServiceConfig) -> bool:
    """Whether it is our door that answers."""
    trusting = None
    if config.tls is not None:
        trusting = ssl.create_default_context(cafile=config.tls.certificate)
        trusting.check_hostname = False  # it is known by its certificate
    end = time.monotonic() + ANSWER_S
    while time.monotonic() < end:
        try:
            with urlopen(f"{url}/healthz", timeout=ANSWER_S, context=trusting) as answer:  # noqa: S310 - our own URL
                return bool(json.loads(answer.read(1000)) == {"status": "ok"})
        except (OSError, ValueError):
            time.sleep(0.5)
    return False


def stop(settings: Settings) -> None:
    """Shut the service down: what is being answered is answered first.

    Raises:
        StackError: no Ray head.
    """
    join(settings)
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    with suppress(RayError, RayServeException, TimeoutError):  # where there is no door, nobody waits for an answer
        serve.get_app_handle(APP).drain.remote().result(timeout_s=DRAIN_S + ANSWER_S)
    serve.shutdown()  # type: ignore[no-untyped-call]
