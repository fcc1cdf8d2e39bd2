"""Rendering and encoding of synthetic videos.

A video is a :class:`Scene`: a background, objects on tracks, a camera that shakes, and pixel noise. Frames
are computed in float64 and rounded once, so that they are the same on every machine.

Files are H.264 in mp4 in which every frame is a key frame with the same quantizer. So a frame is encoded the
same wherever it stands, and a video and its reversal decode to exactly the same frames: compression leaves no
trace of the direction of time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]
Fill = Literal["striped", "dotted"]

VERSION = 1
"""Version of the generator. It goes up with every change of what is rendered or how it is encoded, so that
old files and old trials are not taken for new ones; a test holds the frames of one version fixed."""

QUANTIZER = 16
"""Quantizer of the encoder; at 16 a pixel's brightness is off by less than one level of 255 on average."""


@dataclass(frozen=True)
class Track:
    """Where an object is and how it looks, frame by frame: arrays (T,).

    Attributes:
        x: center, as a fraction of the frame's width, rightward.
        y: center, as a fraction of the frame's height, downward.
        scale: half its size, as a fraction of the frame's width.
        angle: orientation, radians, clockwise on the screen.
        glow: share of white mixed into its colors, 0 to 1.
    """

    x: Array
    y: Array
    scale: Array
    angle: Array
    glow: Array


@dataclass(frozen=True)
class Sprite:
    """An object.

    Attributes:
        shape: its outline, a key of :data:`SHAPES`.
        fill: how its two colors alternate.
        colors: the two colors, (3,) each, 0 to 1.
        period: width of a stripe or dot, in half sizes of the object.
        track: where it is.
    """

    shape: str
    fill: Fill
    colors: tuple[Array, Array]
    period: float
    track: Track


@dataclass(frozen=True)
class Scene:
    """Everything that is in one video.

    Attributes:
        size: height and width of a frame, pixels.
        background: (size + 2 * margin + 1) squared x 3, 0 to 1; the camera moves by at most its margin.
        sprites: objects from back to front.
        camera: (T, 2) displacement (x, y) of the picture, pixels.
        noise: standard deviation of the pixel noise, 0 to 1.
    """

    size: int
    background: Array
    sprites: tuple[Sprite, ...]
    camera: Array
    noise: float


def render_scene(scene: Scene, rng: np.random.Generator) -> Frames:
    """Frames (T, H, W, 3) of ``scene``; ``rng`` draws the pixel noise."""
    margin = (scene.background.shape[0] - scene.size - 1) // 2
    camera = np.clip(scene.camera, -margin, margin)
    canvas = np.stack([_crop_background(scene, margin - shift[0], margin - shift[1]) for shift in camera])
    for sprite in scene.sprites:
        _draw_sprite(canvas, sprite, camera, scene.size)
    canvas += scene.noise * rng.standard_normal(canvas.shape)
    return np.rint(np.clip(canvas, 0.0, 1.0) * 255.0).astype(np.uint8)


def _crop_background(scene: Scene, left: float, top: float) -> Array:
    """The part of the background that begins at (left, top), interpolated between pixels."""
    x, y = int(left), int(top)
    patch = scene.background[y : y + scene.size + 1, x : x + scene.size + 1]
    rows = patch[:-1] + (patch[1:] - patch[:-1]) * (top - y)
    columns: Array = rows[:, :-1] + (rows[:, 1:] - rows[:, :-1]) * (left - x)
    return columns


def _draw_sprite(canvas: Array, sprite: Sprite, camera: Array, size: int) -> None:
    """Blend ``sprite`` into ``canvas`` (T, H, W, 3), with edges one pixel soft."""
    track = sprite.track
    pixels = np.arange(size) + 0.5
    x = pixels[None, None, :] - (track.x * size + camera[:, 0])[:, None, None]
    y = pixels[None, :, None] - (track.y * size + camera[:, 1])[:, None, None]
    cos, sin = np.cos(track.angle)[:, None, None], np.sin(track.angle)[:, None, None]
    radius = np.maximum(track.scale * size, 0.5)[:, None, None]
    u, v = (cos * x + sin * y) / radius, (cos * y - sin * x) / radius
    alpha = np.clip(0.5 - SHAPES[sprite.shape](u, v) * radius, 0.0, 1.0)
    # Colors are worked out for the pixels that the object touches, a tenth of all.
    touched = np.nonzero(alpha)
    u, v, alpha = u[touched], v[touched], alpha[touched][:, None]
    wave = np.cos(np.pi * v / sprite.period)
    if sprite.fill == "dotted":
        wave = wave * np.cos(np.pi * u / sprite.period)
    share = (0.5 + 0.5 * wave)[:, None]
    color = sprite.colors[0] * share + sprite.colors[1] * (1 - share)
    glow = track.glow[touched[0], None]
    canvas[touched] += alpha * (color * (1 - glow) + glow - canvas[touched])


def _box(u: Array, v: Array, width: float, height: float) -> Array:
    return np.maximum(np.abs(u) - width, np.abs(v) - height)


def _disk(u: Array, v: Array) -> Array:
    distance: Array = np.hypot(u, v) - 1.0
    return distance


def _ring(u: Array, v: Array) -> Array:
    return np.abs(np.hypot(u, v) - 0.75) - 0.3


def _square(u: Array, v: Array) -> Array:
    return _box(u, v, 0.85, 0.85)


def _bar(u: Array, v: Array) -> Array:
    return _box(u, v, 1.1, 0.4)


def _triangle(u: Array, v: Array) -> Array:
    distance: Array = np.maximum(0.866 * np.abs(u) + 0.5 * v, -v) - 0.6
    return distance


def _cross(u: Array, v: Array) -> Array:
    return np.minimum(_box(u, v, 1.0, 0.35), _box(u, v, 0.35, 1.0))


def _right_hook(u: Array, v: Array) -> Array:
    """A stem with a foot that points to positive u."""
    return np.minimum(_box(u + 0.45, v, 0.35, 1.0), _box(u - 0.1, v - 0.65, 0.85, 0.35))


def _left_hook(u: Array, v: Array) -> Array:
    return _right_hook(-u, v)


SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "disk": _disk,
    "ring": _ring,
    "square": _square,
    "bar": _bar,
    "triangle": _triangle,
    "cross": _cross,
    "right hook": _right_hook,
    "left hook": _left_hook,
}
"""Signed distance to the outline of each shape, negative inside, in half sizes of the object; it takes
coordinates (u, v) in the same unit from the object's center. A mirror turns one hook into the other."""


def encode_video(path: Path, frames: Frames, fps: int) -> None:
    """Write ``frames`` (T, H, W, 3), of even height and width, as H.264 in mp4, every frame a key frame."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "veryfast", "qp": str(QUANTIZER), "g": "1", "bf": "0", "aq-mode": "0"}
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
