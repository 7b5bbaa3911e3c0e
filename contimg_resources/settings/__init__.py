"""All settings, each with its default and its meaning.

Belongs here: values that an operator may want to change. They come from ``CONTIMG_*`` environment
variables (nested with two underscores, ``CONTIMG_IMAGING__ROBUST=0``), then from the TOML file
that ``CONTIMG_CONFIG`` names, then from the defaults.
Doesn't: constants of the instrument (see `contimg_resources.instrument`) and paths of products
(see `contimg_resources.core.naming`).
"""

from contimg_resources.settings.observations import (
    AntennaSettings,
    ArrivalSettings,
    CalibrationSettings,
    CasaSettings,
    ImagingSettings,
    PrimaryBeamSettings,
    SubBandSettings,
)
from contimg_resources.settings.platform import (
    AlertSettings,
    ClusterSettings,
    DashboardSettings,
    ExportSettings,
    RetentionSettings,
    SensorSettings,
    SkySettings,
)
from contimg_resources.settings.surveys import (
    CatalogueSettings,
    CutoutSettings,
    EseSettings,
    FindingSettings,
    MosaicSettings,
    PhotometrySettings,
    VariabilitySettings,
)
from contimg_resources.settings.whole import Settings, load_settings

__all__ = [
    "AlertSettings",
    "AntennaSettings",
    "ArrivalSettings",
    "CalibrationSettings",
    "CasaSettings",
    "CatalogueSettings",
    "ClusterSettings",
    "CutoutSettings",
    "DashboardSettings",
    "EseSettings",
    "ExportSettings",
    "FindingSettings",
    "ImagingSettings",
    "MosaicSettings",
    "PhotometrySettings",
    "PrimaryBeamSettings",
    "RetentionSettings",
    "SensorSettings",
    "Settings",
    "SkySettings",
    "SubBandSettings",
    "VariabilitySettings",
    "load_settings",
]
