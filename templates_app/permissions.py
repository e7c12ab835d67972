"""What staff need, by the API as in the admin, for templates that are not their own."""

from __future__ import annotations

from typing import Final

# To see the product's drafts; who may change them sees them, too.
VIEW: Final = "templates_app.view_template"
CHANGE: Final = "templates_app.change_template"
DELETE: Final = "templates_app.delete_template"
# To publish for everybody.
PUBLISH: Final = "templates_app.add_templateversion"
