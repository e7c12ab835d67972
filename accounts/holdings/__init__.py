"""What is held of a user, everywhere: told, exported and erased.

Lower apps don't know what upper ones hold. So each app that holds something registers a ``Holder``
when it is ready, as models are registered with the admin.
"""

from accounts.holdings.document import Document, json_document, lines_document
from accounts.holdings.holder import Holder, register

__all__ = ("Document", "Holder", "json_document", "lines_document", "register")
