"""The bed's vLLM as an image, for clusters whose pods cannot mount a folder of this machine."""

from pathlib import Path

from tests.bed import images
from tests.bed.archive import PATH, Image, write_archive, write_layer
from tests.bed.vllm import vllm

REFERENCE = "bed.local/vllm:1"


def write(archive: Path) -> str:
    """Write the image (some gigabytes) as a docker-archive; returns its reference."""
    images.make_base()
    home = vllm()
    environment = home.folder / "venv"  # at its own path inside, too: its links and scripts say it
    layer = archive.with_suffix(".layer")
    try:
        write_layer(layer, {str(environment): environment, str(home.cache): home.cache})
        settings = {"Env": [f"PATH={environment}/bin:{PATH}", f"VLLM_CACHE_ROOT={home.cache}"]}
        write_archive(archive, [Image(REFERENCE, [images.base_layer(), layer], settings=settings)])
    finally:
        layer.unlink(missing_ok=True)
    return REFERENCE
