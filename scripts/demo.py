"""What ``make demo`` runs: two networks from PyTorch to labels, with the commands a user types.

AlexNet has random weights here, so it shows the pipeline on photographs; ``digits`` is trained, so
its answers can be compared with what the images show.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from lrn_deploy.export import ExportOptions, current_bundle
from lrn_deploy.images.examples import photographs
from lrn_deploy.models.digits_data import digit_images

FOLDER = Path("demo")
BRIEFLY = ("--seconds", "2")
MAGNIFY = 16  # a digit is 8 x 8 pixels, too small to look at


def main() -> int:
    """Run the demo; returns the exit code of the first command that fails, or 0."""
    start = time.perf_counter()
    photos, digits = write_pictures(FOLDER / "images")
    steps = (
        deploy("alexnet"),
        deploy("digits"),
        ["tune", f"{FOLDER}/digits", "--min-agreement", "0.99", "--max-batch", "1", *BRIEFLY],
        ["classify", f"{FOLDER}/alexnet", str(photos), "--top", "3"],
        ["classify", f"{FOLDER}/digits", str(digits), "--top", "2"],
    )
    for words in steps:
        print(f"\n$ lrn-deploy {' '.join(words)}", flush=True)
        code = subprocess.run([sys.executable, "-m", "lrn_deploy", *words], check=False).returncode
        if code:
            print(f"\nThe demo stopped: that command ended with exit code {code}.")
            return code
    print(WHAT_NEXT.format(folder=FOLDER, photos=photos, seconds=time.perf_counter() - start))
    return 0


def deploy(name: str) -> list[str]:
    """The command that deploys a network; replaces what another version of this program left."""
    path = FOLDER / name
    words = ["deploy", name, "-o", str(path)]
    stale = path.exists() and current_bundle(ExportOptions(factory=name), path) is None
    return [*words, "--force"] if stale else words


def write_pictures(folder: Path) -> tuple[Path, Path]:
    """Write the pictures to classify; returns the folders of photographs and of digits."""
    photos, digits = folder / "photographs", folder / "digits"
    for target in (photos, digits):
        target.mkdir(parents=True, exist_ok=True)
    for picture in photographs():
        picture.image.save(photos / picture.name, quality=95)
    for picture in digit_images(10):
        size = (picture.image.width * MAGNIFY, picture.image.height * MAGNIFY)
        picture.image.resize(size, Image.Resampling.NEAREST).save(digits / picture.name)
    return photos, digits


WHAT_NEXT = """
Done in {seconds:.0f} s. {folder}/ now holds:
  {folder}/alexnet   AlexNet with random weights: its graph, a TensorRT engine (built, not run),
                 samples and parity report
  {folder}/digits    a small trained network with LRN, 8 x 8 digits to labels, and the fastest way
                 to run it here that keeps 99 % of its answers
  {folder}/images    the photographs and digits that were classified

Try next:
  .venv/bin/lrn-deploy inspect {folder}/alexnet
  .venv/bin/lrn-deploy validate {folder}/alexnet --layerwise
  .venv/bin/lrn-deploy tune {folder}/alexnet --max-error 3e-2
  .venv/bin/lrn-deploy report {folder}/digits
  .venv/bin/lrn-server {folder}/digits
  .venv/bin/lrn-deploy classify {folder}/alexnet YOUR_PHOTO.jpg
  .venv/bin/lrn-deploy export alexnet --weights YOUR_CHECKPOINT.pt -o my-alexnet
  .venv/bin/lrn-deploy doctor"""


if __name__ == "__main__":
    sys.exit(main())
