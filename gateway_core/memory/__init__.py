"""Whether memory is so short that nothing new may begin."""

from gateway_core.memory.watch import MEMORY, MemoryWatch, Usage

__all__ = ("MEMORY", "MemoryWatch", "Usage")
