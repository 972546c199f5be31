"""Makes README.md's animation anew: a training run in JupyterLab in Chromium, frame by frame.

    .venv/bin/python .ci/readme_picture.py
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser_support import lab_browser  # noqa: E402

TARGET = ROOT / ".github" / "training.webp"
FRAMES, SECONDS, WIDTH = 36, 6.0, 760
CELL = """from weightlab.playground.panel import TrainingPanel
panel = TrainingPanel(dataset="spirals", depth=3, width=24, activation="tanh", rule="adam", learning_rate=0.01,
                      batch_size=64, steps=220, pace=30, controls=("learning_rate", "rule", "activation"))
panel"""
STATE = "() => document.querySelector('.weightlab').weightlab.model.get('transport').state"


def main() -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    pictures = []
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(book, Path(folder) / "picture.ipynb")
        with lab_browser(Path(folder)) as lab:
            opened = lab.open("picture.ipynb", width=1280, height=1000)
            opened.run_all()
            panel = opened.page.locator(".weightlab")
            panel.locator("[data-action=start]").click()
            for _ in range(FRAMES):
                opened.page.wait_for_timeout(60)
                png = panel.screenshot()
                pictures.append(Image.open(io.BytesIO(png)).convert("RGB"))
                if opened.page.evaluate(STATE) == "finished":
                    break
            opened.close()
    height = min(picture.height for picture in pictures)
    size = (WIDTH, round(height * WIDTH / pictures[0].width))
    box = (0, 0, pictures[0].width, height)
    frames = [picture.crop(box).resize(size, Image.Resampling.LANCZOS) for picture in pictures]
    pause = round(1000 * SECONDS / len(frames))
    frames[0].save(TARGET, save_all=True, append_images=frames[1:], duration=pause, loop=0, quality=72)
    print(f"{TARGET.relative_to(ROOT)}: {len(frames)} frames, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
