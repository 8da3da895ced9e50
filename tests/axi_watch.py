"""What AXI asks of the accelerator and of who talks to it, checked cycle by cycle on plain numbers.

`Watch` knows nothing of a simulator: it is handed the wires of jc_top.v as they stand right before
a rising edge of the clock, so that a test can also show it what no accelerator of ours would do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from joulecut.hw.config import BEAT_BYTES

PAGE = 4096  # bytes; no burst crosses a multiple of it (AXI4, A3.4.1)
LONGEST = 16  # beats, so that an AXI3 port of a Zynq-7000 takes a burst as it is
OUTSTANDING = 8  # bursts of reads under way, jc_load's promise
INCREMENTING = 1
ADDRESS = ("addr", "len", "size", "burst", "cache", "prot", "id")
CHANNELS = {  # payload, which must not change while valid waits for ready
    "m_axi_aw": ADDRESS,
    "m_axi_w": ("data", "strb", "last"),
    "m_axi_b": ("resp",),
    "m_axi_ar": ADDRESS,
    "m_axi_r": ("data", "resp", "last"),
    "d_axi_ar": ADDRESS,
    "d_axi_r": ("data", "resp", "last"),
    "s_axi_aw": ("addr",),
    "s_axi_w": ("data",),
    "s_axi_b": ("resp",),
    "s_axi_ar": ("addr",),
    "s_axi_r": ("data", "resp"),
}
OURS = (
    "m_axi_aw",
    "m_axi_w",
    "m_axi_ar",
    "d_axi_ar",
    "s_axi_b",
    "s_axi_r",
)  # jc_top drives valid
Read = Callable[[str], int]


class ProtocolError(AssertionError):
    """A rule of AXI, or a promise of the accelerator about its bursts, is broken."""


def must(is_kept: bool, rule: str) -> None:
    """Raises what is broken."""
    if not is_kept:
        raise ProtocolError(rule)


@dataclass
class Watch:
    """Checks one cycle after the other.

    Attributes:
        size: bytes of the memory behind the masters.
        bursts: that were asked for, by channel.
        held: payloads that wait for ready, by channel.
        writes: beats of every burst of writes that has not had its last one.
        beats: of the first of these that have come.
        unanswered: bursts of writes whose beats have all come.
        reads: beats still to come of every burst of reads, by port.
        taken: handshakes of the registers' channels since the reset.
        is_up: was the interrupt, in the last cycle?
        resets: cycles of the present reset.
    """

    size: int
    bursts: dict[str, int] = field(default_factory=dict[str, int])
    held: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    writes: list[int] = field(default_factory=list[int])
    beats: int = 0
    unanswered: int = 0
    reads: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    taken: dict[str, int] = field(default_factory=dict[str, int])
    is_up: bool = False
    resets: int = 0

    def cycle(self, read: Read) -> None:
        """Looks at one cycle.

        Args:
            read: value of a port of jc_top.v right before the clock rises.

        Raises:
            ProtocolError: a rule is broken; the message has the channel and what it showed.
        """
        if not read("aresetn"):
            self._reset(read)
            return
        self.resets = 0
        handshakes = {
            channel: payload
            for channel in CHANNELS
            if (payload := self._handshake(channel, read)) is not None
        }
        # What answers comes after what it answers, not in the same cycle: answers go first.
        self._answers(handshakes)
        for channel, payload in handshakes.items():
            if channel[-2:] in ("aw", "ar") and channel[0] != "s":
                self._address(channel, payload)
        if "m_axi_w" in handshakes:
            self._beat(handshakes["m_axi_w"])
        self._interrupt(bool(read("irq")))

    def is_at_rest(self) -> bool:
        """Has every burst ended, and was every one of writes answered?"""
        return not (self.writes or self.unanswered or any(self.reads.values()))

    def left(self, port: str) -> int:
        """Beats of reads still to come on "m_axi" or "d_axi"."""
        return sum(self.reads.get(port, []))

    def _reset(self, read: Read) -> None:
        """From the second cycle of a reset on, nothing that the accelerator drives is valid."""
        self.resets += 1
        if self.resets > 1:
            for channel in OURS:
                must(not read(channel + "valid"), f"{channel}: valid during a reset")
            must(not read("irq"), "irq: up during a reset")
        for state in (self.held, self.writes, self.reads, self.taken):
            state.clear()
        self.beats = self.unanswered = 0
        self.is_up = False

    def _handshake(self, channel: str, read: Read) -> tuple[int, ...] | None:
        """The payload if it is taken in this cycle."""
        held = self.held.pop(channel, None)
        if not read(channel + "valid"):
            must(held is None, f"{channel}: valid fell before ready came")
            return None
        payload = tuple(read(channel + name) for name in CHANNELS[channel])
        must(
            held is None or held == payload,
            f"{channel}: {CHANNELS[channel]} changed from {held} to {payload} before ready came",
        )
        if read(channel + "ready"):
            return payload
        self.held[channel] = payload
        return None

    def _answers(self, handshakes: dict[str, tuple[int, ...]]) -> None:
        if "m_axi_b" in handshakes:
            must(self.unanswered > 0, "m_axi_b: an answer to nothing")
            self.unanswered -= 1
        for port in ("m_axi", "d_axi"):
            if f"{port}_r" in handshakes:
                last = handshakes[f"{port}_r"][2]
                left = self.reads.get(port, [])
                must(bool(left), f"{port}_r: a beat that nobody asked for")
                left[0] -= 1
                must(
                    bool(last) == (left[0] == 0), f"{port}_r: last is {last}, {left[0]} to come"
                )
                if last:
                    left.pop(0)
        self._registers(handshakes)

    def _registers(self, handshakes: dict[str, tuple[int, ...]]) -> None:
        """A register answers once for each address and, if written, each word of data."""
        for answer, asked in (("s_axi_b", ("s_axi_aw", "s_axi_w")), ("s_axi_r", ("s_axi_ar",))):
            if answer in handshakes or answer in self.held:
                before = self.taken.get(answer, 0)
                for channel in asked:
                    must(self.taken.get(channel, 0) > before, f"{answer}: before {channel}")
        for channel in handshakes:
            if channel.startswith("s_axi"):
                self.taken[channel] = self.taken.get(channel, 0) + 1
            if channel in ("s_axi_b", "s_axi_r"):
                must(handshakes[channel][-1] == 0, f"{channel}: not OKAY")

    def _address(self, channel: str, payload: tuple[int, ...]) -> None:
        address, length, size, burst = payload[:4]
        count = length + 1
        end = address + BEAT_BYTES * count
        where = f"{channel}: {count} beats from {address:#x}"
        must(address % BEAT_BYTES == 0, f"{where}: not a multiple of {BEAT_BYTES}")
        must(address // PAGE == (end - 1) // PAGE, f"{where}: cross a page")
        must(end <= self.size, f"{where}: end outside of the memory")
        must(count <= LONGEST, f"{where}: more than {LONGEST}")
        must((size, burst) == (3, INCREMENTING), f"{where}: size {size}, burst {burst}")
        self.bursts[channel] = self.bursts.get(channel, 0) + 1
        if channel == "m_axi_aw":
            self.writes.append(count)
        else:
            reads = self.reads.setdefault(channel[:5], [])
            reads.append(count)
            must(len(reads) <= OUTSTANDING, f"{where}: burst {len(reads)} under way")

    def _beat(self, payload: tuple[int, ...]) -> None:
        """A beat may come in the cycle of its address, not before: jc_store's promise."""
        _, strobe, last = payload
        must(strobe == (1 << BEAT_BYTES) - 1, f"m_axi_w: strobe {strobe:#x}")
        must(bool(self.writes), "m_axi_w: a beat without an address")
        self.beats += 1
        must(
            bool(last) == (self.beats == self.writes[0]),
            f"m_axi_w: last is {last} in beat {self.beats} of {self.writes[0]}",
        )
        if last:
            self.writes.pop(0)
            self.beats = 0
            self.unanswered += 1

    def _interrupt(self, is_up: bool) -> None:
        """It says that all is in memory: no burst is under way when it comes."""
        must(
            self.is_at_rest() or self.is_up or not is_up,
            f"irq: up, but bursts of writes have {self.writes} beats, {self.unanswered} wait for "
            f"an answer, and bursts of reads have {self.reads} beats to come",
        )
        self.is_up = is_up
