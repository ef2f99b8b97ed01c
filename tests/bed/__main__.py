"""`python -m tests.bed`: build the parts, start and end a cluster to play with, see what there is."""

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.bed import containerd, debian, folders, node, pieces, vllm, vllm_image, wheel
from tests.bed.build import build
from tests.bed.cluster import OwnCluster, running_cluster
from tests.bed.failure import BedError
from tests.bed.images import PYTHON, image_from_dockerfile
from tests.bed.pieces import PIECES
from tests.bed.running import beds, end_remains


def say(line: str) -> None:
    print(line, flush=True)


def run_build(arguments: argparse.Namespace) -> None:
    build(say, with_cluster=True if arguments.cluster else None)


def run_up(arguments: argparse.Namespace) -> None:
    if found := running_cluster():
        say(f"A cluster is up already: export KUBECONFIG={found.kubeconfig}")
        found.close()
        return
    build(say, with_cluster=True)
    began = time.monotonic()
    own = OwnCluster(say)
    try:
        cluster = own.start()
        say(f"Up in {time.monotonic() - began:.0f} s.")
        for name, value in vars(cluster.addresses).items():
            say(f"  {name:10} {value}")
        say(f"export KUBECONFIG={cluster.kubeconfig}")
        say(f"export PATH={':'.join(client_folders())}:$PATH    # kubectl and helm")
        if arguments.foreground:
            say("Ctrl-C ends it.")
            while True:
                time.sleep(3600)
        own.detach()
        say("`python -m tests.bed down` (or `make bed-down`) ends it.")
    except KeyboardInterrupt:
        say("Ending the cluster.")
    finally:
        own.stop()


def client_folders() -> list[str]:
    """Folders with the kubectl and helm that fit the cluster."""
    return sorted({str(pieces.binary(name).parent) for name in wheel.CLIENTS.binaries})


def run_down(_: argparse.Namespace) -> None:
    for line in end_remains(detached=True):
        say(line)


def run_status(_: argparse.Namespace) -> None:
    """What is built, what runs, and whether this machine can run the cluster tier."""
    for piece in PIECES:
        say(f"{piece.name:12} {'built' if piece.built() else 'not built'}")
    say(f"{'vllm':12} {'built' if vllm.built() else 'not built'}")
    if reason := node.why_not():
        say(reason)
    else:
        say(f"{'images':12} {'built' if containerd.store().exists() else 'not built'}")
        say(
            f"{'packages':12} {', '.join(debian.missing()) + ' missing' if debian.missing() else 'installed'}"
        )
    for bed in beds():
        state = (
            "left by a crash" if not bed.supervised else f"of process {bed.owner.pid}" if bed.owner else "up"
        )
        say(f"{bed.folder.name}: {state}")


def run_image(arguments: argparse.Namespace) -> None:
    """Build an image from a Dockerfile and, when a cluster is up, load it."""
    archive = image_from_dockerfile(arguments.context, arguments.tag, build_args={"BASE": PYTHON})
    say(str(archive))
    if found := running_cluster():
        found.load_image(archive)
        found.close()
        say(f"{arguments.tag} is loaded into the running cluster.")


def run_vllm_image(arguments: argparse.Namespace) -> None:
    """Make the image that MODELROLLOUT_VLLM_IMAGE can name, for another cluster to load."""
    reference = vllm_image.write(arguments.archive)
    say(f"{reference} is in {arguments.archive}: load it there, as by `kind load image-archive`.")


def run_prune(_: argparse.Namespace) -> None:
    """Remove finished parts that the present go.mod files, locks and recipes no longer ask for."""
    keep = {piece.folder() for piece in PIECES} | {each.folder() for each in wheel.ALL}
    keep |= {vllm.folder(), vllm.models_folder(), containerd.store()}
    for pattern in ("pieces/*-*", "vllm-*", "vllm-*/models-*", "store-*"):
        for found in folders.cache_root().glob(pattern):
            if found not in keep:
                shutil.rmtree(found)
                say(f"removed {found}")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tests.bed", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("build", help="make what is missing, once, into the cache folder")
    command.add_argument("--cluster", action="store_true", help="also where the cluster tier cannot run")
    command.set_defaults(run=run_build)
    command = commands.add_parser("up", help="a cluster to play with; stays until `down`")
    command.add_argument("--foreground", action="store_true", help="stay here and end it with Ctrl-C")
    command.set_defaults(run=run_up)
    command = commands.add_parser("down", help="end the cluster of `up` and whatever a crash left behind")
    command.set_defaults(run=run_down)
    command = commands.add_parser("status", help="what is built and what runs")
    command.set_defaults(run=run_status)
    command = commands.add_parser(
        "images", help="build an image from a Dockerfile and load it when a cluster is up"
    )
    command.add_argument("context", type=Path, help="folder with the Dockerfile")
    command.add_argument("tag", help="like bed.local/operator:dev")
    command.set_defaults(run=run_image)
    command = commands.add_parser("vllm-image", help="vLLM for the CPU as an image for another cluster")
    command.add_argument("archive", type=Path, help="the docker-archive to write, like vllm.tar")
    command.set_defaults(run=run_vllm_image)
    command = commands.add_parser("prune", help="remove finished parts that nothing asks for any more")
    command.set_defaults(run=run_prune)
    return top


def main() -> int:
    arguments = parser().parse_args()
    try:
        arguments.run(arguments)
    except BedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; what is finished stays.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
