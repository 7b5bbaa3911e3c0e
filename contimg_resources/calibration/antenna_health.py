"""The health of antennas in one observation.

Belongs here: the evidence that an observation has about an antenna, the faults that follow from it.
Doesn't: measuring the evidence (see `contimg_resources.imaging.in_field.evidence`), more than one
observation (see `.antenna_record`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: An antenna is at fault when this share of its signal, or less, is useful. Of N antennas with
#: equal noise, the S/N of a point source grows by leaving out one of which a share e of the signal
#: is useful when ``1 - 2 / N > (1 - 2 (1 - e) / N)^2``, thus for ``e < 1 / 2``; artefacts that the
#: rest of its signal makes count besides.
USEFUL = 0.5
#: Number of standard deviations by which a share has to be below the limit.
SIGMA = 3.0
#: Minimum share of the integrations without signal, of a dead antenna.
_DEAD_SHARE = 0.5
#: Maximum amplitude of a dead antenna, relative to the others.
_DEAD_GAIN = 0.1
#: Maximum share of unflagged data of an antenna without data.
_NO_DATA = 0.05
#: Minimum coherence between integrations of stable phases: they change by less than 60 deg.
_STABLE = 0.5
#: A delay of half the inverse of the band's width turns the phase by half a turn over it; ns.
_DELAY_NS = 0.5e9 / 187.5e6
#: Maximum share that is coherent with in-field calibration, of an antenna at fault; between this
#: and `USEFUL`, bright sources that it resolves may be the reason.
_INCOHERENT = 0.3


class Fault(StrEnum):
    """What is wrong with an antenna."""

    NO_DATA = "no data"
    """All of its data are flagged: by the correlator, or for want of a solution."""
    DEAD = "dead"
    """Its data are noise. Swapped polarisations look like this where only parallel hands exist."""
    LOW_GAIN = "low gain"
    """Its signal is weaker than the caltable set says."""
    PHASES = "unstable phases"
    """Its phases change from integration to integration."""
    DELAY = "wrong delay"
    """Its phases turn over the band."""
    INCOHERENT = "incoherent signal"
    """Its signal doesn't agree with the field, whatever its gains are."""


@dataclass(frozen=True)
class AntennaEvidence:
    """The evidence that one observation has about one antenna.

    None: not measured.
    """

    data: float  #: Share of its visibilities that aren't flagged.
    lost: float = 0.0  #: Share of the integrations in which it has no signal.
    #: Amplitude of its signal over that of the model, relative to antennas as far from the middle
    #: of the array, which resolve sources as much.
    gain: float | None = None
    gain_error: float | None = None  #: Standard deviation of `gain`.
    #: Mean cosine of the change of its phase from one integration to the next.
    coherence: float | None = None
    coherence_error: float | None = None  #: Standard deviation of `coherence`.
    #: Share of the amplitude of its signal that has one phase over time and frequency, with the
    #: gains of in-field calibration.
    kept: float | None = None
    kept_error: float | None = None  #: Standard deviation of `kept`.
    delay_ns: float = 0.0  #: Median of the delays that in-field calibration found, ns.
    phase_rms_deg: float = 0.0  #: Rms of the phases that in-field calibration applies, degrees.

    @property
    def is_examined(self) -> bool:
        """Return whether the observation shows the health of the antenna."""
        return self.data <= _NO_DATA or self.lost >= _DEAD_SHARE or self.coherence is not None

    @property
    def fault(self) -> Fault | None:
        """Return what is wrong with the antenna; None: nothing, or nothing certain."""
        if self.data <= _NO_DATA:
            return Fault.NO_DATA
        if self.lost >= _DEAD_SHARE:
            return Fault.DEAD
        if _certain(self.gain, self.gain_error, _DEAD_GAIN):
            return Fault.DEAD
        if _certain(self.gain, self.gain_error, USEFUL):
            return Fault.LOW_GAIN
        if _certain(self.coherence, self.coherence_error, _STABLE):
            return Fault.PHASES
        if abs(self.delay_ns) > _DELAY_NS:
            return Fault.DELAY
        return Fault.INCOHERENT if _certain(self.kept, self.kept_error, _INCOHERENT) else None

    @property
    def is_useless(self) -> bool:
        """Return whether an image is certainly better without what the antenna has of a signal."""
        # Integrations without signal are left out in any case.
        return self.lost < 1 and self._below(USEFUL, SIGMA)

    @property
    def may_be_useless(self) -> bool:
        """Return whether nothing shows that the antenna does an image any good."""
        return self.kept is None or self._below(USEFUL, -SIGMA)

    def _below(self, limit: float, sigma: float) -> bool:
        return any(
            _certain(share, error, limit, sigma)
            for share, error in ((self.gain, self.gain_error), (self.kept, self.kept_error))
        )

    def in_words(self) -> str:
        """Return the evidence for the fault, or of health, in a few words."""
        fault = self.fault
        if fault is Fault.NO_DATA:
            return f"{1 - self.data:.0%} of its data are flagged"
        if fault is Fault.DEAD and self.lost:
            return f"no signal in {self.lost:.0%} of the observation"
        if fault in (Fault.DEAD, Fault.LOW_GAIN):
            return f"{self.gain:.2f} of the amplitude of other antennas"
        if fault is Fault.PHASES:
            return f"coherence {self.coherence:.2f} between integrations"
        if fault is Fault.DELAY:
            return f"a delay of {self.delay_ns:+.1f} ns"
        if self.kept is None:
            return "not examined"
        return f"{self.kept:.0%} of its signal agrees with the field"


#: Evidence by name of the antenna.
Evidence = Mapping[str, AntennaEvidence]


def faults(evidence: Evidence) -> dict[str, str]:
    """Return the antennas at fault, with what is wrong with them."""
    return {name: told(one) for name, one in evidence.items() if one.fault is not None}


def told(one: AntennaEvidence) -> str:
    """Return the fault, if there is one, and the evidence in words."""
    return f"{one.fault}: {one.in_words()}" if one.fault else one.in_words()


def _certain(share: float | None, error: float | None, limit: float, sigma: float = SIGMA) -> bool:
    """Return whether a share is below a limit, by a number of standard deviations."""
    return share is not None and error is not None and share + sigma * error < limit
