"""The networks and images that the engine is tested with serve the specs too."""

from tests.measuring.conftest import convolutions, smooth_images, subject  # noqa: F401 -- fixtures
