"""The layer kinds, one file each; each registers itself."""

from medprune.registry import import_members

import_members(__name__)
