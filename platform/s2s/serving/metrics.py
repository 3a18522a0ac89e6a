"""Figures of the door for Prometheus, as `/metrics` shows them. Those of replicas and queues Ray exports itself."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Figures:
    """Requests by route and status, seconds, bytes in and out, and pixels by model."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("s2s_requests", "requests", ["method", "route", "status"], registry=self._registry)
        self._seconds = Histogram("s2s_request_seconds", "from request to answer", ["route"], registry=self._registry, buckets=BUCKETS)
        self._bytes = Counter("s2s_section_bytes", "of sections that came and went", ["direction"], registry=self._registry)
        self._imputed = Counter("s2s_imputations", "answers by model", ["model", "out_of_domain"], registry=self._registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is a path as it was declared, never one that a stranger chose."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_imputation(self, model: str, *, is_out_of_domain: bool, received: int, sent: int) -> None:
        """Count an answer."""
        self._imputed.labels(model, str(is_out_of_domain).lower()).inc()
        self._bytes.labels("in").inc(received)
        self._bytes.labels("out").inc(sent)

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self._registry)
