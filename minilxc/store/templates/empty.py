"""The template none: a config, and an empty folder for somebody else to fill."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from minilxc.store import ids
from minilxc.store.templates import Template

if TYPE_CHECKING:
    from minilxc.store.templates import Section, Site


class Empty(Template):
    """An empty root file system."""

    name = "none"
    ordinary = True

    def fill(self, site: Site) -> tuple[Section, ...]:
        """Make the folder."""
        ids.act_as_root(site.maps, lambda: os.mkdir(site.root, 0o755))
        return ()
