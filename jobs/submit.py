"""Hand a command of s2s to a Ray cluster under an id of your choice: `python jobs/submit.py breast-1 atlas run jobs/atlas.yaml`.

The folder of the YAML travels with the job, and nothing else: files that it names must lie in the bucket. An id is taken once, so that
the same call by mistake starts nothing. The token is read from RAY_AUTH_TOKEN_PATH.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path


def main(words: list[str] | None = None) -> None:
    """Submit the job; what goes wrong ends the process with one line."""
    parser = argparse.ArgumentParser(description="Hand a command of s2s to a Ray cluster.")
    parser.add_argument("--address", default="http://127.0.0.1:8265", help="Ray's dashboard, or the tunnel to it; default: %(default)s")
    parser.add_argument("id", help="name of the job; each can be used once")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what follows `s2s`; the folder of its YAML travels with the job")
    given = parser.parse_args(words)
    yamls = [word for word in given.command if word.endswith((".yaml", ".yml"))]
    if len(yamls) != 1 or not Path(yamls[0]).is_file():
        sys.exit(f"expected a command with one YAML that exists, such as `atlas run jobs/atlas.yaml`, got {shlex.join(given.command)!r}")
    if os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ["RAY_AUTH_MODE"] = "token"  # ray reads it when it is imported
    from ray.exceptions import RayError  # noqa: PLC0415
    from ray.job_submission import JobSubmissionClient  # noqa: PLC0415

    entrypoint = shlex.join(["s2s", *(Path(word).name if word in yamls else word for word in given.command)])
    try:
        client = JobSubmissionClient(given.address)
        client.submit_job(entrypoint=entrypoint, submission_id=given.id, runtime_env={"working_dir": str(Path(yamls[0]).parent)})
    except (RayError, RuntimeError, OSError, ValueError) as error:
        said = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        sys.exit(f"{given.address} did not take job {given.id}: {next((line for line in said[::-1] if 'Error: ' in line), said[0])}")
    print(f"{given.id}; follow it with: ray job logs --follow --address {given.address} {given.id}")


if __name__ == "__main__":
    main()
