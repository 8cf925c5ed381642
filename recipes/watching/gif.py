"""Episodes as animated images."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer.storage.files import write_bytes


def gif_bytes(frames: NDArray[np.uint8], fps: int) -> bytes:
    """Frames (T, H, W, 3) as an endless GIF."""
    import imageio.v3 as imageio

    stream = io.BytesIO()
    imageio.imwrite(stream, frames, extension=".gif", duration=1000 / fps, loop=0)
    return stream.getvalue()


def write_gif(file: Path, frames: NDArray[np.uint8], fps: int) -> Path:
    """Write frames (T, H, W, 3) as a GIF; a link at `file` is followed."""
    write_bytes(file.resolve(), gif_bytes(frames, fps))
    return file


def gif_summary(tag: str, frames: NDArray[np.uint8], fps: int) -> Any:
    """A TensorBoard summary with frames (T, H, W, 3) as a GIF.

    `SummaryWriter.add_video` needs moviepy, which forces an old pillow; the format inside is the same.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    _, height, width, colours = frames.shape
    image = Summary.Image(height=height, width=width, colorspace=colours, encoded_image_string=gif_bytes(frames, fps))
    return Summary(value=[Summary.Value(tag=tag, image=image)])
