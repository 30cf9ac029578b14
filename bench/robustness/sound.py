"""Edits of the sound, and sounds made up: tones, noise, music-like and speech-like ones."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from random import Random

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph

from bench.robustness.pictures import Params
from bench.robustness.video import SOUND_RATE, Coding, Sound

KINDS = {
    "sound clean": {},
    "sound low bitrate": {"codec": ["aac 48k", "opus 24k", "mp3 32k"]},
    "sound speed": {"speed": [(0.95, 0.99), (1.01, 1.05)]},
    "sound tempo": {"tempo": [(0.95, 0.99), (1.01, 1.05)]},
    "sound pitch": {"pitch": [(0.95, 0.99), (1.01, 1.05)]},
    "sound phone-filmed": {
        "low": (250.0, 400.0),
        "high": (3000.0, 3800.0),
        "echo": (0.15, 0.45),
        "room": (0.1, 0.4),
        "snr_db": (10.0, 20.0),
        "drive": (1.2, 3.0),
        "level": (0.2, 0.5),
        "seed": (0, 10**6),
    },
    "sound mixed": {"over_db": 6.0, "with": ["speech", "music"], "seed": (0, 10**6)},
}
"""The kinds of the tier and the ranges of their numbers, drawn as those of `edits`. "sound mixed":
the reference is `over_db` louder than what is mixed in."""

CODINGS = {
    "aac 128k": Coding(sound_bits=128_000),
    "aac 48k": Coding(sound_bits=48_000),
    "opus 24k": Coding(suffix=".mkv", sound_codec="libopus", sound_bits=24_000),
    "mp3 32k": Coding(sound_codec="libmp3lame", sound_bits=32_000),
}


def edited(sound: Sound, kind: str, p: Params) -> tuple[Sound, float]:
    """The edited sound, and how many times faster it now plays."""
    if kind == "sound speed":
        return faster(sound, p["speed"]), p["speed"]
    if kind == "sound tempo":
        return stretched(sound, p["tempo"]), p["tempo"]
    if kind == "sound pitch":
        return faster(stretched(sound, 1 / p["pitch"]), p["pitch"]), 1.0
    if kind == "sound phone-filmed":
        return phone_filmed(sound, p), 1.0
    if kind == "sound mixed":
        return mixed(sound, p), 1.0
    return sound, 1.0


def level(sound: Sound) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(sound)))) + 1e-9


def faster(sound: Sound, speed: float) -> Sound:
    """Played at another speed: the pitch follows."""
    if not sound.size or speed == 1.0:
        return sound
    at = np.arange(int(sound.size / speed)) * speed
    return np.interp(at, np.arange(sound.size), sound).astype(np.float32)


def stretched(sound: Sound, tempo: float) -> Sound:
    """Another tempo, the same pitch."""
    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=SOUND_RATE, format="flt", layout="mono", time_base=Fraction(1, SOUND_RATE)
    )
    stretch, sink = graph.add("atempo", str(tempo)), graph.add("abuffersink")
    source.link_to(stretch)
    stretch.link_to(sink)
    graph.configure()
    frame = AudioFrame.from_ndarray(sound[None, :].copy(), format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
    graph.push(frame)
    graph.push(None)
    parts = []
    while True:
        try:
            pulled = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            break
        parts.append(pulled.to_ndarray().reshape(-1))  # type: ignore[union-attr]
    return np.concatenate(parts) if parts else sound[:0]


def band(sound: Sound, low: float, high: float) -> Sound:
    """Only what lies between the two frequencies, in Hz."""
    spectrum = np.fft.rfft(sound)
    hertz = np.fft.rfftfreq(sound.size, 1 / SOUND_RATE)
    below = 1 / (1 + (low / np.maximum(hertz, 1)) ** 6)
    above = 1 / (1 + (hertz / high) ** 8)
    return np.fft.irfft(spectrum * below * above, sound.size).astype(np.float32)


def phone_filmed(sound: Sound, p: Params) -> Sound:
    """A loudspeaker in a room, recorded by a phone."""
    rng = np.random.default_rng(p["seed"])
    tail = rng.standard_normal(round(p["room"] * SOUND_RATE)) * p["echo"] * 0.05
    tail *= np.exp(-np.linspace(0, 6, tail.size))
    tail[0] = 1.0
    size = sound.size + tail.size
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[: sound.size]
    heard = band(wet.astype(np.float32), p["low"], p["high"])
    heard /= level(heard)
    hiss = band(rng.standard_normal(sound.size).astype(np.float32), 100, 6000)
    heard += hiss / level(hiss) * 10 ** (-p["snr_db"] / 20)
    seconds = np.arange(sound.size) / SOUND_RATE
    swell = 1 + p["level"] * np.sin(seconds * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    clipped = np.tanh(heard * swell * 0.25 * p["drive"]) / p["drive"]
    return (clipped * 0.9).astype(np.float32)


def mixed(sound: Sound, p: Params) -> Sound:
    seconds = sound.size / SOUND_RATE
    other = MADE[p["with"]](Random(p["seed"]), seconds)[: sound.size]
    other = np.pad(other, (0, sound.size - other.size))
    other *= level(sound) / level(other) * 10 ** (-p["over_db"] / 20)
    both = sound + other
    return (both / max(1.0, float(np.abs(both).max()))).astype(np.float32)


def tone(rng: Random, seconds: float) -> Sound:
    at = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    return (0.3 * np.sin(at * 2 * np.pi * rng.uniform(200, 2000))).astype(np.float32)


def hiss(rng: Random, seconds: float) -> Sound:
    noise = np.random.default_rng(rng.getrandbits(32))
    sound = noise.standard_normal(round(seconds * SOUND_RATE)).astype(np.float32) * 0.1
    return band(sound, rng.uniform(30, 300), rng.uniform(1000, 12000))


def silence(rng: Random, seconds: float) -> Sound:
    return np.zeros(round(seconds * SOUND_RATE), np.float32)


def speech(rng: Random, seconds: float) -> Sound:
    """Voiced syllables with moving formants, and pauses; no words."""
    out = np.zeros(round(seconds * SOUND_RATE), np.float32)
    at, base = 0.0, rng.uniform(90, 220)
    while at < seconds - 0.3:
        long = rng.uniform(0.1, 0.28)
        pitch = base * rng.uniform(0.85, 1.25)
        time = np.arange(round(long * SOUND_RATE)) / SOUND_RATE
        formants = (rng.uniform(300, 800), rng.uniform(900, 2300), 2700.0)
        syllable = np.zeros_like(time)
        for number in range(1, int(3500 / pitch)):
            hertz = number * pitch
            gain = sum(np.exp(-(((hertz - f) / 180) ** 2)) for f in formants) + 0.03
            syllable += gain * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) / number**0.5
        syllable *= np.sin(np.pi * time / long) ** 0.5
        start = round(at * SOUND_RATE)
        part = out[start : start + time.size]
        part += (syllable[: part.size] * rng.uniform(0.1, 0.2)).astype(np.float32)
        at += long + (rng.uniform(0.3, 0.8) if rng.random() < 0.15 else rng.uniform(0.01, 0.06))
    return np.clip(out, -1, 1)


def music(rng: Random, seconds: float) -> Sound:
    """Random notes of a pentatonic scale over a bass, in an even beat."""
    out = np.zeros(round(seconds * SOUND_RATE), np.float32)
    root, beat = rng.uniform(110, 220), 60 / rng.uniform(80, 150)
    scale = (0, 3, 5, 7, 10, 12, 15, 17)
    for number in range(int(seconds / beat * 2)):
        start = round(number * beat / 2 * SOUND_RATE)
        long = beat * rng.choice([0.5, 1, 2])
        time = np.arange(round(long * SOUND_RATE)) / SOUND_RATE
        fade = np.exp(-4 * time / long) * 0.12
        for step in (rng.choice(scale), -12 if number % 4 == 0 else rng.choice(scale)):
            hertz = root * 2 ** (step / 12)
            wave = sum(np.sin(2 * np.pi * hertz * n * time) / n**1.5 for n in (1, 2, 3, 4))
            part = out[start : start + time.size]
            part += (fade * wave)[: part.size].astype(np.float32)
    return np.clip(out, -1, 1)


MADE: dict[str, Callable[[Random, float], Sound]] = {
    "tone": tone,
    "noise": hiss,
    "silence": silence,
    "speech": speech,
    "music": music,
}
