#!/usr/bin/env python3
"""Makes the waiting music: a calm loop of 24 s, our own, without a seam. Usage: music.py FILE.wav"""
import math
import struct
import sys
import wave

RATE = 8000
BEAT = 0.75                     # seconds: 80 a minute
BARS = 8                        # of four beats: 24 s
LENGTH = int(BARS * 4 * BEAT * RATE)

# A pad chord a bar, and the notes that are plucked over it (MIDI numbers).
CHORDS = [
    ((48, 55, 59, 64), (72, 67, 76, 71)),   # C major 7
    ((45, 52, 55, 60), (72, 69, 76, 67)),   # A minor 7
    ((41, 48, 52, 57), (69, 72, 76, 72)),   # F major 7
    ((43, 50, 57, 62), (74, 71, 67, 69)),   # G 9, no third
    ((40, 47, 55, 62), (71, 67, 74, 71)),   # E minor 7
    ((45, 52, 55, 60), (72, 76, 69, 64)),   # A minor 7
    ((38, 45, 53, 60), (69, 65, 72, 77)),   # D minor 7
    ((43, 50, 53, 59), (74, 71, 77, 74)),   # G 7
]

mix = [0.0] * LENGTH


def hertz(note):
    return 440.0 * 2 ** ((note - 69) / 12)


def add(start, length, loudness, note, envelope, overtones):
    """Adds a note; what rings past the end comes back at the beginning, so that the loop has no seam."""
    first = int(start * RATE)
    turn = 2 * math.pi * hertz(note) / RATE
    for step in range(int(length * RATE)):
        level = loudness * envelope(step / RATE, length)
        sound = sum(weight * math.sin(turn * step * n) for n, weight in overtones)
        mix[(first + step) % LENGTH] += level * sound


def swell(at, length):
    return math.sin(math.pi * at / length) ** 2


def pluck(at, length):
    return min(at / 0.008, 1.0) * math.exp(-3.2 * at) * min((length - at) / 0.1, 1.0)


for bar, (chord, melody) in enumerate(CHORDS):
    start = bar * 4 * BEAT
    for note in chord:
        # Twice a bar long: each chord melts into the next one.
        add(start - 2 * BEAT, 8 * BEAT, 0.16, note + 12, swell, ((1, 1.0), (2, 0.25), (3, 0.08)))
    for beat, note in enumerate(melody):
        add(start + beat * BEAT, 2.2, 0.20, note, pluck, ((1, 1.0), (2, 0.35), (4, 0.06)))

peak = max(abs(sample) for sample in mix)
with wave.open(sys.argv[1], "wb") as out:
    out.setnchannels(1)
    out.setsampwidth(2)
    out.setframerate(RATE)
    out.writeframes(b"".join(struct.pack("<h", round(sample / peak * 20000)) for sample in mix))
