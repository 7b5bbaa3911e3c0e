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
#: The band is this wide, Hz: a delay of half its inverse turns the phase by half a turn over it.
_BAND_HZ = 187.5e6
#: Minimum share of the signal that solving a delay regains, of an antenna whose delay is wrong.
_REGAINED = 0.75


class Fault(StrEnum):
    """What is wrong with an antenna."""

    NO_DATA = "no data"
    """All of its data are flagged: by the correlator, or for want of a solution."""
    DEAD = "dead"
    """Its data are noise. Swapped polarisations look like this where only parallel hands exist."""
    LOW_GAIN = "low gain"
    """Its signal is weaker than the caltable set says."""
    DELAY = "wrong delay"
    """Its phases turn over the band."""
    PHASES = "unstable phases"
    """Its phases vary within the observation."""


@dataclass(frozen=True)
class AntennaEvidence:
    """The evidence that one observation has about one antenna.

    Amplitudes are relative to the model of the field and to the median antenna. None: not measured.
    """

    data: float  #: Share of its visibilities that aren't flagged.
    lost: float = 0.0  #: Share of the integrations in which it has no signal.
    gain: float | None = None  #: Amplitude of its signal, whatever the phases are.
    gain_error: float | None = None  #: Standard deviation of `gain`.
    #: Share of the amplitude of its signal that has one phase over time and frequency, before
    #: in-field calibration.
    coherence: float | None = None
    kept: float | None = None  #: The same with the gains of in-field calibration.
    error: float | None = None  #: Standard deviation of `coherence` and `kept`.
    delay_ns: float = 0.0  #: Largest delay that in-field calibration found, ns.
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
        if not _certain(self.coherence, self.error, USEFUL):
            return None
        assert self.coherence is not None
        regained = self.kept is not None and self.kept > _REGAINED
        turns = abs(self.delay_ns) * 1e-9 * _BAND_HZ
        return Fault.DELAY if regained and turns > 0.5 else Fault.PHASES

    @property
    def is_useless(self) -> bool:
        """Return whether an image is certainly better without the antenna."""
        return self._kept_below(SIGMA)

    @property
    def may_be_useless(self) -> bool:
        """Return whether nothing shows that the antenna does an image any good."""
        return self.kept is None or self._kept_below(-SIGMA)

    def _kept_below(self, sigma: float) -> bool:
        # Integrations without signal are left out in any case.
        return any(
            _certain(share, error, USEFUL, sigma)
            for share, error in ((self.gain, self.gain_error), (self.kept, self.error))
        )

    def in_words(self) -> str:
        """Return the evidence for the fault, or of health, in a few words."""
        fault = self.fault
        if fault is Fault.NO_DATA:
            return f"{1 - self.data:.0%} of its data are flagged"
        if fault is Fault.DEAD and self.lost:
            return f"no signal in {self.lost:.0%} of the observation"
        if fault in (Fault.DEAD, Fault.LOW_GAIN):
            return f"{self.gain:.2f} of the amplitude of the other antennas"
        if fault is Fault.DELAY:
            return f"a delay of {self.delay_ns:+.1f} ns"
        if self.coherence is None:
            return "not examined"
        return f"{self.coherence:.0%} of its signal is coherent"


#: Evidence by name of the antenna.
Evidence = Mapping[str, AntennaEvidence]


def faults(evidence: Evidence) -> dict[str, str]:
    """Return the antennas at fault, with what is wrong with them."""
    return {
        name: f"{one.fault}: {one.in_words()}"
        for name, one in evidence.items()
        if one.fault is not None
    }


def _certain(share: float | None, error: float | None, limit: float, sigma: float = SIGMA) -> bool:
    """Return whether a share is below a limit, by a number of standard deviations."""
    return share is not None and error is not None and share + sigma * error < limit
